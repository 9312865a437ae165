"""Builds the cfs-client configuration of a share: which keys are ours, which an operator may set, and of what type."""

from __future__ import annotations

import difflib
from pathlib import PurePath
from typing import Any, Final

import msgspec

from weft.errors import DeniedError, ErrorCode, MountError
from weft.wire.blocks import CubefsBlock
from weft.wire.share import ShareMount

_TEXTS: Final = frozenset(
    (
        "logLevel clientKey ticketHost certFile ebsEndpoint ebsServerPath ebsBlockSize bcacheDir bcacheFilterFiles "
        "debugCluster"
    ).split(" ")
)
_SWITCHES: Final = frozenset(
    (
        "writecache keepcache followerRead nearRead maximallyRead authenticate enableHTTPS disableDcache fsyncOnClose "
        "enableXattr enablePosixACL enableAudit enableBcacheOnlyForNotSSD aheadReadEnable forceRemoteCache "
        "enableAsyncFlush stopWarmMeta metaCacheAcceleration"
    ).split(" ")
)
_NUMBERS: Final = frozenset(
    (
        "icacheTimeout lookupValid attrValid readRate writeRate enSyncWrite autoInvalData maxcpus reqChanCnt volType "
        "readThreads writeThreads metaSendTimeout buffersTotalLimit buffersChanSize maxStreamerLimit bcacheBatchCnt "
        "bcacheCheckIntervalS tcpAliveTime snapshotReadSeq streamRetryTimeout aheadReadTotalMemGB "
        "aheadReadBlockTimeOut aheadReadWindowCnt minReadAheadSize readDirLimit maxWarmUpConcurrency "
        "minimumNlinkReadDir inodeLruLimit fuseServeThreads"
    ).split(" ")
)
_OURS: Final = frozenset(
    (
        "mountPoint volName owner masterAddr accessKey secretKey subdir rdonly logDir warnLogDir fileSystemName "
        "disableMountSubtype enableUnixPermission locallyProf profPort exporterEnable exporterPort enablePid "
        "consulAddr consulMeta ipFilter pushAddr clientOpTimeOut requestTimeout"
    ).split(" ")
)
"""Set by us: what the share says elsewhere, what tells our mounts apart, and everything that listens or reports."""
_GUEST_FILES: Final = frozenset({"certFile", "bcacheDir"})
"""Make the client, which runs as root, read or fill files of the guest."""


def build_config(
    share: ShareMount, block: CubefsBlock, *, source: str, log_dir: PurePath, allowed: frozenset[str]
) -> bytes:
    """
    Build the JSON document for ``-c``.

    Texts and switches must have exactly the JSON type that the client expects: it ignores everything else silently.

    Args:
        share: The spec.
        block: Its cubefs block.
        source: What mountinfo shall show.
        log_dir: Private to this mount.
        allowed: Options that this guest allows although they touch its files.

    Raises:
        MountError: an option is unknown, of the wrong type, ours, or refused by this guest.
    """
    config: dict[str, Any] = {
        "mountPoint": share.mount_point,
        "volName": block.volume,
        "owner": block.owner,
        "masterAddr": ",".join(block.masters),
        "rdonly": share.readonly,
        "subdir": block.subdir,
        "accessKey": block.access_key,
        "secretKey": block.secret_key,
        "fileSystemName": source,
        "logDir": str(log_dir),
        "logLevel": "error",
        "enableAudit": False,  # one line per operation would fill the run directory, which is memory
        "enableUnixPermission": True,
        "locallyProf": True,  # the client may not listen at all; this is the second lock
        "exporterEnable": False,
        "requestTimeout": 0,  # with any other value 3.5.3 ends, or hangs for ever, when a late answer arrives
        "clientOpTimeOut": 0,  # otherwise requestTimeout must be larger; this one only logs
    }
    for key in ("subdir", "accessKey", "secretKey"):
        if not config[key]:
            del config[key]
    if share.cache is not None and share.cache.ttl_s:
        # size_mb needs no counterpart: the client itself keeps no file contents between reads
        config |= dict.fromkeys(("lookupValid", "attrValid", "icacheTimeout"), share.cache.ttl_s)
    for name, value in block.options.items():
        config[name] = _option(share, name, value, allowed)
    return msgspec.json.format(msgspec.json.encode(config), indent=1)


def _option(share: ShareMount, name: str, value: Any, allowed: frozenset[str]) -> Any:
    known = _TEXTS | _SWITCHES | _NUMBERS
    if name in _OURS:
        raise _bad(share, f"option {name!r} is set by weft")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise _bad(share, f"cfs-client has no option {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    if name in _GUEST_FILES and name not in allowed:
        raise DeniedError(f"cannot mount share {share.id!r}: this guest does not allow the cubefs option {name!r}")
    if name in _TEXTS:
        return str(value)
    if name in _SWITCHES:
        if value in (True, False, "true", "false") and isinstance(value, bool | str):
            return value in (True, "true")
        raise _bad(share, f"option {name!r} must be true or false")
    try:
        return int(str(value))
    except ValueError:
        raise _bad(share, f"option {name!r} must be a whole number") from None


def _bad(share: ShareMount, why: str) -> MountError:
    return MountError(f"cannot mount share {share.id!r}: {why}", code=ErrorCode.BAD_SPEC)
