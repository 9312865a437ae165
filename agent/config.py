"""Configuration: flags over environment over file over defaults, checked as a whole, in one frozen value."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.identity import AUTO
from agent.mounts.policy import DEFAULT_ROOTS
from weft.errors import ConfigError, DecodeError, SubjectError
from weft.link.options import DEFAULT_SERVER, LinkOptions, server_problem
from weft.logs import LEVELS
from weft.wire.ids import parse_vm_id
from weft.wire.mountset import MAX_SHARES
from weft.wire.paths import parse_absolute_path

DEFAULT_FILE = Path("/etc/weft/agent.toml")
DEFAULT_RUN_DIR = Path("/run/weft-agent")
DEFAULT_STATE_DIR = Path("/var/lib/weft")
ENVIRONMENT_PREFIX = "WEFT_"
MOST_SHARES = 4096
"""Planning for so many keeps the agent from everything else for a second on a slow machine; its watchdog waits 30."""

MAX_RUN_DIR_BYTES = 60
"""A UNIX socket's path has 107 bytes; clients' control sockets lie in ``<run_dir>/private/<12 characters>/``."""


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """
    Everything an agent can be told.

    Attributes:
        vm: The VM id, or ``auto``.
        nats: URLs of the broker's servers.
        creds: NATS credentials file.
        tls_ca: Certificates to trust instead of the system's.
        tls_cert: Client certificate.
        tls_key: Its private key.
        state_dir: Ledger and caches; survives reboots.
        run_dir: Control socket, and private directories of mounts; until the next boot.
        allow: Roots below which shares may be mounted; what the guest runs from stays closed.
        allow_source: Roots below which directories of the guest may be shown; likewise.
        allow_option: Options of backends that touch files of this guest, run commands here or change what a mount may
            do, and are allowed; ``name``, or ``name=value`` for an NFS option.
        client_paths: Paths that FUSE clients see besides what their shares name, read-only: a client's libraries,
            certificates that an allowed option names.
        client_writable_paths: The same for what clients may change: a cache on a disk of its own.
        allow_type: Types of rclone remotes that are otherwise refused, and may then do whatever rclone can as root.
        shield: Whether directories made for mount points are closed to users while nothing is mounted on them.
        share_mounts: Boot file.
        probe_interval_s: Between two questions to each mount whether it answers.
        probe_deadline_s: Until a silent mount counts as hung.
        abort_after_s: Until a hang that goes on is ended by force; None for never.
        heartbeat_s: Longest time between two reports.
        max_shares: How many shares this guest takes; a list of more is refused, and what stands stays.
        read_interval_s: Time between two reads of the stored state.
        create_stream: Whether to create a missing stream (development only).
        log_level: Least important events to log.
        file: Where settings were looked for.
    """

    vm: str = AUTO
    nats: tuple[str, ...] = (DEFAULT_SERVER,)
    creds: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    state_dir: Path = DEFAULT_STATE_DIR
    run_dir: Path = DEFAULT_RUN_DIR
    allow: tuple[str, ...] = DEFAULT_ROOTS
    allow_source: tuple[str, ...] = DEFAULT_ROOTS
    allow_option: tuple[str, ...] = ()
    client_paths: tuple[str, ...] = ()
    client_writable_paths: tuple[str, ...] = ()
    allow_type: tuple[str, ...] = ()
    shield: bool = False
    share_mounts: Path | None = None
    probe_interval_s: float = 15.0
    probe_deadline_s: float = 5.0
    abort_after_s: float | None = None
    heartbeat_s: float = 30.0
    read_interval_s: float = 60.0
    max_shares: int = MAX_SHARES
    create_stream: bool = False
    log_level: str = "info"
    file: Path = DEFAULT_FILE

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the agent reads, wherever it lies."""
        named = (self.file, self.creds, self.tls_ca, self.tls_cert, self.tls_key, self.share_mounts)
        return tuple(path for path in named if path is not None)


def _vm(value: Any) -> str:
    return AUTO if value == AUTO else parse_vm_id(value)


def _servers(value: Any) -> tuple[str, ...]:
    servers = tuple(each.strip() for each in _texts(value, ",") if each.strip())
    if not servers:
        raise ValueError("it names no server")
    for server in servers:
        if (problem := server_problem(server)) is not None:
            raise ValueError(problem.partition(": ")[2])
    return servers


def _texts(value: Any, separator: str) -> list[str]:
    if isinstance(value, str):
        return value.split(separator)
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return list(value)
    raise ValueError(f"{value!r:.60} is neither a text nor a list of texts")


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError(f"{value!r:.60} is not a path")
    return Path(value).absolute()


def _run_dir(value: Any) -> Path:
    path = _path(value)
    if len(str(path).encode()) > MAX_RUN_DIR_BYTES:
        raise ValueError(f"{str(path)!r} is longer than {MAX_RUN_DIR_BYTES} bytes, too long for UNIX sockets below it")
    return path


def _roots(value: Any) -> tuple[str, ...]:
    return tuple(parse_absolute_path(each, field="root") for each in _texts(value, ":") if each)


def _options(value: Any) -> tuple[str, ...]:
    return tuple(each.strip() for each in _texts(value, ",") if each.strip())


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{value!r:.60} is not a number of seconds") from exc
    if isinstance(value, bool) or not 1 <= seconds <= 86400:
        raise ValueError(f"{value!r:.60} is not between 1 and 86400 seconds")
    return seconds


def _share_count(value: Any) -> int:
    try:
        count = int(str(value))
    except ValueError as exc:
        raise ValueError(f"{value!r:.60} is not a number of shares") from exc
    if isinstance(value, bool) or not 1 <= count <= MOST_SHARES:
        raise ValueError(f"{value!r:.60} is not between 1 and {MOST_SHARES} shares")
    return count


def _switch(value: Any) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    text = str(value).lower()
    if text not in known:
        raise ValueError(f"{value!r:.60} is neither true nor false")
    return known[text]


def _level(value: Any) -> str:
    if value not in LEVELS:
        raise ValueError(f"{value!r:.60} is none of {', '.join(LEVELS)}")
    return str(value)


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "vm": _vm,
    "nats": _servers,
    "creds": _path,
    "tls_ca": _path,
    "tls_cert": _path,
    "tls_key": _path,
    "state_dir": _path,
    "run_dir": _run_dir,
    "allow": _roots,
    "allow_source": _roots,
    "allow_option": _options,
    "client_paths": _roots,
    "client_writable_paths": _roots,
    "allow_type": _options,
    "shield": _switch,
    "share_mounts": _path,
    "probe_interval_s": _seconds,
    "probe_deadline_s": _seconds,
    "abort_after_s": _seconds,
    "heartbeat_s": _seconds,
    "read_interval_s": _seconds,
    "max_shares": _share_count,
    "create_stream": _switch,
    "log_level": _level,
}


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str], *, file: Path | None = None) -> AgentConfig:
    """
    Put the configuration together.

    Args:
        flags: By field name; None and an empty list mean not given.
        environ: ``WEFT_<FIELD>``; empty means not given. Lists of servers are separated by commas, of roots by colons.
        file: A TOML file with the same names, which must exist; by default ``/etc/weft/agent.toml``, if it does.

    Raises:
        ConfigError: Every problem there is, each with the place it stands at.
    """
    named = file or (Path(environ["WEFT_CONFIG"]) if environ.get("WEFT_CONFIG") else None)
    path = named or DEFAULT_FILE
    problems: list[str] = []
    from_file = _read_file(path, is_required=named is not None, problems=problems)
    problems += [f"{path}: {name}: there is no such setting" for name in from_file if name not in _PARSERS]
    sources: list[tuple[str, Mapping[str, Any]]] = [
        ("--", {name.replace("_", "-"): value for name, value in flags.items() if value not in (None, [], ())}),
        (ENVIRONMENT_PREFIX, {name: value for name, value in environ.items() if value}),
        (f"{path}: ", from_file),
    ]
    values: dict[str, Any] = {}
    for name, parse in _PARSERS.items():
        keys = (name.replace("_", "-"), ENVIRONMENT_PREFIX + name.upper(), name)
        found = next(
            ((place, key, given[key]) for key, (place, given) in zip(keys, sources, strict=True) if key in given), None
        )
        if found is None:
            continue
        place, key, value = found
        try:
            values[name] = parse(value)
        except (ValueError, SubjectError, DecodeError) as exc:
            where = key if place == ENVIRONMENT_PREFIX else place + key
            problems.append(f"{where}: {exc}")
    if ("tls_cert" in values) != ("tls_key" in values):
        problems.append("tls_cert, tls_key: one is of no use without the other")
    if problems:
        raise ConfigError(problems)
    return AgentConfig(**values, file=path.absolute())


def build_link_options(config: AgentConfig, vm: str, *, name: str) -> LinkOptions:
    """
    Build what the guest *vm* connects with.

    Raises:
        ConfigError: the settings make no sense together.
    """
    return LinkOptions(
        servers=config.nats,
        name=name,
        creds=config.creds,
        tls_ca=config.tls_ca,
        tls_cert=config.tls_cert,
        tls_key=config.tls_key,
        inbox_prefix=f"_INBOX_{vm}",
    )


def _read_file(path: Path, *, is_required: bool, problems: list[str]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if is_required:
            problems.append(f"{path}: there is no such file")
    except OSError as exc:
        problems.append(f"{path}: {exc.strerror}")
    except RecursionError:
        problems.append(f"{path}: it is nested too deeply")
    except ValueError as exc:  # no TOML, no UTF-8, or a number of thousands of digits
        problems.append(f"{path}: {exc}")
    return {}
