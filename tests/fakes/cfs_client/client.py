"""The stand-in client from its command line to its exit: ask the masters, mount, serve, exit as the real one does."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from tests.fakes.cfs_client import daemon, listeners, mounting
from tests.fakes.cfs_client.masters import MasterError, Masters
from tests.fakes.cfs_client.options import (
    MandatoryError,
    MountOptions,
    UsageError,
    build_mount_options,
    describe,
    load_file,
    parse_arguments,
    parse_options,
)
from tests.fakes.cfs_client.passthrough import Passthrough, Stall, serve

VERSION = "CubeFS Client\nVersion : v3.5.3\nBranch  : HEAD\nCommit  : stand-in\nBuild   : go1.20 linux amd64\n"
FATAL_SIGNALS = {
    signal.SIGTERM: "terminated",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGABRT: "aborted",
    signal.SIGALRM: "alarm clock",
    signal.SIGPROF: "profiling timer expired",
    signal.SIGSYS: "bad system call",
    signal.SIGXCPU: "CPU time limit exceeded",
}
IGNORED_SIGNALS = (signal.SIGHUP, signal.SIGPIPE, signal.SIGURG, signal.SIGUSR1)
DELETION_CHECK_S = 120.0


def main(argv: Sequence[str], *, time_scale: float) -> int:
    """
    Run the client.

    Args:
        argv: Its whole command line, the program first.
        time_scale: Factor for its built-in delays, not for those in its configuration; 1 is the real client's.
            ``CFS_STANDIN_TIME_SCALE`` overrides it.
    """
    time_scale = float(os.environ.get("CFS_STANDIN_TIME_SCALE", time_scale))
    try:
        arguments = parse_arguments(argv[1:])
    except UsageError as error:
        print(f"{error}\nUsage of {argv[0]}:", file=sys.stderr)
        return 2
    if arguments.flags.get("v") == "true":
        print(VERSION, end="")
        return 0
    if arguments.flags.get("f") != "true":
        return daemon.start(argv)
    print("maxprocs: Leaving GOMAXPROCS=2: CPU quota undefined", file=sys.stderr, flush=True)
    options = parse_options(load_file(arguments.flags.get("c", "")), arguments.overrides)
    for line in describe(options):
        print(line)
    sys.stdout.flush()
    try:
        mount_options = build_mount_options(options)
    except MandatoryError as error:
        _fail_on_stdout(f"parse mount opt failed: {error}")
    return Client(mount_options, Masters(mount_options.masters, time_scale), listed=list(describe(options))).run()


class Client:
    """One foreground client, from its first question to the masters until its mount is gone."""

    def __init__(self, options: MountOptions, masters: Masters, *, listed: list[str]) -> None:
        self.options = options
        self.masters = masters
        self.listed = listed
        self.output: TextIO = sys.stderr

    def run(self) -> int:
        """Mount, serve until somebody unmounts, and return the exit code; failures exit at once."""
        self._ask_for_volume()
        self._prepare_directories()
        self._intercept_signals()
        self._check_permission()
        try:
            device, volume = self._mount()
        except (mounting.MountFailure, MasterError, OSError) as error:
            self._fail_in_log(f"mount failed: {error}")
        daemon.signal_outcome(None)
        listeners.open_exporter(self.options)
        (self.options.log_dir / "fuseclient.pid").write_text(str(os.getpid()))
        threading.Thread(target=self._watch_for_deletion, daemon=True).start()
        # in a thread of its own: the main thread must stay free for Python to handle signals
        server = threading.Thread(target=self._serve, args=(device, volume))
        server.start()
        server.join()
        self._log("exit normally")
        self.output.flush()
        os._exit(0)  # as after a signal: nothing of Python's own shutdown may delay or fail the exit

    def _ask_for_volume(self) -> None:
        try:
            self.masters.persist(
                lambda: self.masters.get("/admin/getVol", name=self.options.volume), gives_up_on=("vol not exists",)
            )
        except MasterError as error:
            _fail_on_stdout(f"parse mount opt from master failed: {error}")

    def _prepare_directories(self) -> None:
        module_dir = self.options.log_dir / "client"
        try:
            module_dir.mkdir(parents=True, exist_ok=True)
            (self.options.log_dir / self.options.volume).mkdir(exist_ok=True)
        except OSError as error:
            _fail_on_stdout(f"Init log dir fail: {_go_text('mkdir', error)}")
        try:
            os.stat(self.options.mount_point)
        except OSError:
            try:
                os.mkdir(self.options.mount_point, 0o755)
            except OSError as error:
                _fail_on_stdout(f"Init.MountPoint mkdir failed error {_go_text('mkdir', error)}")
        path = module_dir / "output.log"
        last_exit = _last_exit(path)
        self.output = path.open("a", buffering=1)
        path.chmod(0o644)
        self._log(VERSION.rstrip())
        self._log("*** Final Mount Options ***")
        for line in self.listed:
            self._log(line)
        self._log("*** End ***")
        if last_exit:
            self._log(f"LastExitInfo: {last_exit}")
        os.dup2(self.output.fileno(), 2)

    def _intercept_signals(self) -> None:
        for number in FATAL_SIGNALS:
            signal.signal(number, self._die)
        for number in IGNORED_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _die(self, number: int, frame: FrameType | None) -> NoReturn:
        name = FATAL_SIGNALS[signal.Signals(number)]
        text = f"Killed due to a received signal ({name})[{os.getpid()}-{self.options.mount_point}]\n"
        os.write(self.output.fileno(), text.encode())
        os._exit(1)

    def _check_permission(self) -> None:
        if not self.options.access_key:
            return
        try:
            is_read_only = self.masters.persist(self._is_limited_to_reading)
        except MasterError as error:
            self._fail_in_log(f"check permission failed: {error}")
        if is_read_only:
            self.options = replace(self.options, is_read_only=True)

    def _is_limited_to_reading(self) -> bool:
        user = self.masters.get("/user/akInfo", ak=self.options.access_key)
        if user["secret_key"] != self.options.secret_key:
            raise MasterError("no permission")
        if self.options.volume in user["policy"]["own_vols"]:
            return False
        rights = user["policy"]["authorized_vols"].get(self.options.volume, [])
        if not rights:
            raise MasterError("no permission")
        return "perm:builtin:Writable" not in rights

    def _mount(self) -> tuple[int, Mapping[str, Any]]:
        mounting.check_not_mounted(self.options.mount_point)
        query = {"name": self.options.volume}
        if not self.options.access_key:
            query["authKey"] = hashlib.md5(self.options.owner.encode()).hexdigest()
        volume: Mapping[str, Any] = self.masters.persist(
            lambda: self.masters.get("/client/vol", **query),
            gives_up_on=("vol not exists", "client and server auth key do not match"),
        )
        self._root_of(volume)
        listeners.open_control_listener(self.options, time_scale=self.masters.time_scale, warn=self._log)
        return mounting.mount(self.options), volume

    def _root_of(self, volume: Mapping[str, Any]) -> Path:
        root = Path(volume["StandInDirectory"])
        subdir = self.options.subdir.strip("/")
        if not subdir:
            return root
        for name in subdir.split("/"):
            root = root / name
            if not root.exists():
                raise mounting.MountFailure(
                    f"GetRootIno: Lookup failed, subdir({subdir}/) err(no such file or directory)"
                )
        if not root.is_dir():
            raise mounting.MountFailure(f"GetRootIno: not directory, subdir({subdir}/)")
        return root

    def _serve(self, device: int, volume: Mapping[str, Any]) -> None:
        stall = Stall(Path(volume["StandInStallMarker"]), timeout_s=self.options.request_timeout_s)
        serve(
            device,
            Passthrough(self._root_of(volume), stall),
            attr_valid_s=self.options.attr_valid_s,
            lookup_valid_s=self.options.lookup_valid_s,
        )

    def _watch_for_deletion(self) -> None:
        while True:
            time.sleep(DELETION_CHECK_S * self.masters.time_scale)
            try:
                self.masters.get("/admin/getVol", name=self.options.volume)
            except MasterError as error:
                if str(error) == "vol not exists":
                    self._log(f"volume {self.options.volume} not exist, stop client")
                    os._exit(1)

    def _log(self, text: str) -> None:
        print(f"{time.strftime('%Y/%m/%d %H:%M:%S')} {text}", file=self.output)

    def _fail_in_log(self, reason: str) -> NoReturn:
        self._log(f"[fuse.go 451] {reason}")
        daemon.signal_outcome(f"[fuse.go 451] {reason}")
        os._exit(1)


def _fail_on_stdout(reason: str) -> NoReturn:
    print(f"[fuse.go 312] {reason}\n", flush=True)
    daemon.signal_outcome(f"[fuse.go 312] {reason}\n")
    os._exit(1)


def _go_text(verb: str, error: OSError) -> str:
    return f"{verb} {error.filename}: {(error.strerror or '').lower()}"


def _last_exit(log: Path) -> str | None:
    """Say how the run before ended, from its log: NORMAL, ABNORMAL, UNKNOWN, or ``None`` when there was none."""
    if not log.exists():
        return None
    _, found, run = log.read_text(errors="replace").rpartition("CubeFS Client")
    if not found:
        return None
    if "exit normally" in run:
        return "NORMAL"
    return "ABNORMAL" if "received signal" in run else "UNKNOWN"
