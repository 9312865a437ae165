"""Daemon mode (``-c`` alone): start oneself again with ``-f`` in a session of its own, and wait for its outcome."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from tests.fakes.cfs_client.outcome import decode_outcome, encode_outcome

STATUS_VARIABLE = "DAEMONIZE_STATUS_FD"


def start(argv: Sequence[str]) -> int:
    """
    Start the foreground client that *argv* asks for and return the exit code: 0 when it is mounted, else 1.

    The failure text holds the whole environment, as the real client's does.
    """
    if len(argv) <= 1:
        print("Mount failed: startDaemon failed: cannot use null arguments")
        return 1
    program = os.path.abspath(argv[0])
    arguments = ["-f", *argv[1:]]
    if "-c" in arguments[:-1]:
        place = arguments.index("-c") + 1
        arguments[place] = os.path.abspath(arguments[place])
    environment = {**os.environ, "GODEBUG": "madvdontneed=1"}
    reason = _run(program, arguments, environment)
    if reason is None:
        return 0
    listed = " ".join(f"{name}={value}" for name, value in environment.items())
    print(
        f"Mount failed: startDaemon failed: daemon start failed, cmd({program}) args([{' '.join(arguments)}]) "
        f"env([{listed}]) err(readFromProcess: sub-process: {reason})\n"
    )
    return 1


def _run(program: str, arguments: Sequence[str], environment: dict[str, str]) -> str | None:
    reading, writing = os.pipe()
    with open(reading, "rb") as outcome:
        try:
            subprocess.Popen(
                [program, *arguments],
                env={**environment, STATUS_VARIABLE: str(writing)},
                pass_fds=[writing],
                start_new_session=True,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        finally:
            os.close(writing)
        return decode_outcome(outcome.read())


def signal_outcome(reason: str | None) -> None:
    """Tell whoever waits on the descriptor named in the environment, if any, and close it."""
    number = os.environ.pop(STATUS_VARIABLE, None)
    if number is None:
        return
    with open(int(number), "wb") as status:
        status.write(encode_outcome(reason))
