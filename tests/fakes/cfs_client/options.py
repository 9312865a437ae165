"""What a cfs-client configuration means: its keys, their types, and which values are silently ignored."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Value = str | int | bool

STRINGS = {
    key: ""
    for key in (
        "mountPoint volName owner masterAddr logDir warnLogDir logLevel profPort clientKey ticketHost certFile "
        "accessKey secretKey subdir ebsEndpoint ebsServerPath ebsBlockSize bcacheDir fileSystemName debugCluster "
        "consulAddr consulMeta ipFilter pushAddr"
    ).split()
} | {"bcacheFilterFiles": "py;pyx;sh;yaml;conf;pt;pth;log;out"}

BOOLS = {
    key: False
    for key in (
        "locallyProf rdonly writecache keepcache followerRead maximallyRead authenticate enableHTTPS disableDcache "
        "enableXattr enablePosixACL enableUnixPermission disableMountSubtype enableBcacheOnlyForNotSSD aheadReadEnable "
        "forceRemoteCache metaCacheAcceleration enablePid"
    ).split()
} | {
    key: True
    for key in ("nearRead", "fsyncOnClose", "enableAudit", "enableAsyncFlush", "stopWarmMeta", "exporterEnable")
}

INTS = {
    key: -1
    for key in (
        "icacheTimeout lookupValid attrValid readRate writeRate enSyncWrite autoInvalData maxcpus reqChanCnt"
    ).split()
} | {
    "volType": 0,
    "readThreads": 10,
    "writeThreads": 10,
    "metaSendTimeout": 600,
    "buffersTotalLimit": 32768,
    "buffersChanSize": 256,
    "maxStreamerLimit": 0,
    "bcacheBatchCnt": 100_000,
    "bcacheCheckIntervalS": 300,
    "requestTimeout": 0,
    "clientOpTimeOut": 300,
    "tcpAliveTime": 0,
    "snapshotReadSeq": 0,
    "streamRetryTimeout": 0,
    "aheadReadTotalMemGB": 10,
    "aheadReadBlockTimeOut": 3,
    "aheadReadWindowCnt": 8,
    "minReadAheadSize": 10_485_760,
    "readDirLimit": 500,
    "maxWarmUpConcurrency": 2,
    "minimumNlinkReadDir": 10_000,
    "inodeLruLimit": 10_000_000,
    "fuseServeThreads": 0,
    "exporterPort": 0,
}

DEFAULTS: dict[str, Value] = {**STRINGS, **BOOLS, **INTS}
SWITCHES = frozenset({"f", "v", "n", "r"})
"""Flags of the program itself that take no value; ``-c``, ``-s`` and ``-p`` take one."""


class UsageError(Exception):
    """A flag that Go's flag package refuses; the client then exits with 2."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line, taken apart: the program's own flags and the option values given as flags."""

    flags: Mapping[str, str]
    overrides: Mapping[str, str]


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Take *argv* (without the program) apart as Go's flag package does: ``-key value``, ``-key=value``, ``--key``."""
    flags: dict[str, str] = {}
    overrides: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        if not word.startswith("-") or word == "-":
            break
        name, has_value, value = word.lstrip("-").partition("=")
        if name in SWITCHES:
            flags[name] = value if has_value else "true"
            continue
        if name not in DEFAULTS and name not in ("c", "s", "p"):
            raise UsageError(f"flag provided but not defined: -{name}")
        if not has_value:
            following = next(words, None)
            if following is None:
                raise UsageError(f"flag needs an argument: -{name}")
            value = following
        (overrides if name in DEFAULTS else flags)[name] = value
    return Arguments(flags, overrides)


def load_file(path: str) -> dict[str, object]:
    """Read the configuration; a missing or malformed one is an empty one, as the client never says so."""
    try:
        document = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def parse_options(file: Mapping[str, object], overrides: Mapping[str, str]) -> dict[str, Value]:
    """
    Decide every option's value: flag, then file, then default.

    Strings must be JSON strings, bools take true/false or "true"/"false", anything else leaves the default;
    an int that cannot be parsed is 0.
    """
    return {key: _value(key, overrides[key]) if overrides.get(key) else _value(key, file.get(key)) for key in DEFAULTS}


def _value(key: str, given: object) -> Value:
    default = DEFAULTS[key]
    match default:
        case bool():
            return _parse_bool(given, default=default)
        case str():
            return given if isinstance(given, str) else default
        case int():
            return default if given is None else _parse_int(given)


def _parse_bool(given: object, *, default: bool) -> bool:
    if isinstance(given, bool):
        return given
    return {"true": True, "false": False}.get(given, default) if isinstance(given, str) else default


def _parse_int(given: object) -> int:
    try:
        return int(given) if isinstance(given, str | int | float) else 0
    except ValueError:
        return 0


def describe(options: Mapping[str, Value]) -> Iterator[str]:
    """Yield the line the client prints for each option, the secret key's included."""
    names = {bool: "bool", int: "int64", str: "string"}
    for key, value in options.items():
        shown = str(value).lower() if isinstance(value, bool) else value
        yield f"keyword[{key}] value[{shown}] type[{names[type(value)]}]"


@dataclass(frozen=True, slots=True)
class MountOptions:
    """The options this stand-in acts upon."""

    mount_point: str
    volume: str
    owner: str
    masters: tuple[str, ...]
    log_dir: Path
    prof_port: str
    is_prof_local: bool
    has_exporter: bool
    exporter_port: int
    is_read_only: bool
    access_key: str
    secret_key: str
    subdir: str
    file_system_name: str
    has_subtype: bool
    checks_permissions: bool
    attr_valid_s: float
    lookup_valid_s: float
    request_timeout_s: float


class MandatoryError(Exception):
    """A mandatory field is missing."""


def build_mount_options(options: Mapping[str, Value]) -> MountOptions:
    """
    Build the settings of one mount.

    Cached attributes live 0 s unless the configuration says otherwise (the real client: 30 s), so that a test that
    writes into a volume's directory sees it in the mount at once.

    Raises:
        MandatoryError: mountPoint, volName, owner or masterAddr is empty.
    """
    mount_point = os.path.abspath(str(options["mountPoint"]))
    volume, owner, master = (str(options[key]) for key in ("volName", "owner", "masterAddr"))
    if not (options["mountPoint"] and volume and owner and master):
        raise MandatoryError(
            "invalid config file: lack of mandatory fields, "
            f"mountPoint({mount_point}), volName({volume}), owner({owner}), masterAddr({master})"
        )
    return MountOptions(
        mount_point=mount_point,
        volume=volume,
        owner=owner,
        masters=tuple(part.strip() for part in master.split(",") if part.strip()),
        log_dir=Path(str(options["logDir"]) or "/var/log/chubaofs") / "client",
        prof_port=str(options["profPort"]),
        is_prof_local=bool(options["locallyProf"]),
        has_exporter=bool(options["exporterEnable"]),
        exporter_port=int(options["exporterPort"]),
        is_read_only=bool(options["rdonly"]),
        access_key=str(options["accessKey"]),
        secret_key=str(options["secretKey"]),
        subdir=str(options["subdir"]),
        file_system_name=str(options["fileSystemName"]) or f"cubefs-{volume}",
        has_subtype=not options["disableMountSubtype"],
        checks_permissions=bool(options["enableUnixPermission"] or options["enablePosixACL"]),
        attr_valid_s=max(0, int(options["attrValid"])),
        lookup_valid_s=max(0, int(options["lookupValid"])),
        request_timeout_s=float(options["requestTimeout"]),
    )
