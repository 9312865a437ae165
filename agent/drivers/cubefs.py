"""The cubefs driver: one cfs-client in the foreground per share, with a configuration that only root can read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from agent.drivers.base import Driver, Failure, MountCommand, MountContext, PrivateFile
from agent.drivers.cubefs_config import build_config
from agent.drivers.cubefs_master import check_access
from agent.drivers.failures import Sign, classify
from agent.drivers.programs import build_environment, build_links
from agent.drivers.short_run import VersionOnce
from weft.errors import ErrorCode, MountError
from weft.wire.blocks import Block, CubefsBlock
from weft.wire.share import ShareMount

_CONFIG: Final = "client.json"
_LOG_DIR: Final = "log"
_START_DEADLINE_S: Final = 20.0
"""It mounts in 0.2 s, or says no at once, or retries for 75 s; what it retries was asked of the masters before."""
_OUTCOME: Final = b"daemonize.outcomeMsg"
_SUCCESS: Final = b"\x01\x01\x00"
_TEXT: Final = re.compile(rb"[\x20-\x7e\t\n]{4,}")

_NOISE: Final = re.compile(r"\bkeyword\[|^maxprocs:")
"""It begins with a line for each of its options."""

_SIGNS: Final = (
    Sign("vol not exists", ErrorCode.NOT_FOUND, "CubeFS has no such volume", is_permanent=True),
    Sign("auth key do not match", ErrorCode.AUTH, "the owner does not own the volume"),
    Sign("access key not exists", ErrorCode.AUTH, "CubeFS does not know the access key"),
    Sign("acl permission", ErrorCode.DENIED, "CubeFS refuses this guest's address"),
    Sign("no permission", ErrorCode.AUTH, "the secret key is wrong, or the access key has no right on the volume"),
    Sign(r"GetRootIno: .*(no such file|not directory)", ErrorCode.NOT_FOUND, "the volume has no such subdir", True),
    Sign("has been mounted", ErrorCode.OCCUPIED, "its mount point is in use"),
    Sign("mkdir failed .*file exists", ErrorCode.OCCUPIED, "a dead mount is on its mount point"),
    Sign("mkdir failed", ErrorCode.NOT_FOUND, "its mount point cannot be made"),
    Sign(r'exec: "fusermount"', ErrorCode.FUSE_MISSING, "fusermount is not installed (package fuse3)"),
    Sign("failed to execute mount", ErrorCode.HELPER_MISSING, "mount is not installed"),
    Sign("/dev/fuse|fuse device not found", ErrorCode.FUSE_MISSING, "this guest has no usable /dev/fuse"),
    Sign("lack of mandatory fields", ErrorCode.INTERNAL, "cfs-client cannot read its configuration"),
    Sign("no space left", ErrorCode.NO_SPACE, "no space is left for the client's files"),
    Sign("Init log dir fail", ErrorCode.INTERNAL, "the client's log directory cannot be made"),
    Sign("unknown status: .*status\\(400\\)", ErrorCode.BAD_SPEC, "CubeFS does not accept the name of the volume"),
    Sign(
        "connection refused|no route to host|network is unreachable|no such host|i/o timeout|Client.Timeout exceeded"
        "|connection reset",
        ErrorCode.UNREACHABLE,
        "no CubeFS master answers",
    ),
)


class CubefsDriver(Driver):
    """
    Mounts CubeFS volumes.

    Args:
        allow_options: Options that make the client touch files of this guest and are allowed here nevertheless.
    """

    name = "cubefs"
    block: ClassVar[type[Block]] = CubefsBlock
    programs = ("cfs-client", "fusermount3", "mount")
    packages: ClassVar[Mapping[str, str]] = {
        "cfs-client": "the client of your CubeFS release",
        "fusermount3": "fuse3",
        "mount": "mount",
    }

    def __init__(self, *, allow_options: frozenset[str] = frozenset()) -> None:
        self._allow_options = allow_options
        self._version = VersionOnce("-v", pattern=r"(?i)version\W+v?(\d[\w.-]*)")

    def build(self, context: MountContext) -> MountCommand:
        self.require_programs(context.programs)
        share, block = context.share, _block(context.share)
        for field in ("uid", "gid", "umask"):
            if getattr(share, field) is not None:
                raise MountError(
                    f"cannot mount share {share.id!r}: cubefs shows the volume's own owners and cannot change {field}",
                    code=ErrorCode.BAD_SPEC,
                )
        config = build_config(
            share,
            block,
            source=context.source,
            log_dir=context.private_dir / _LOG_DIR,
            allowed=self._allow_options,
        )
        return MountCommand(
            argv=(str(context.programs["cfs-client"]), "-f", "-c", str(context.private_dir / _CONFIG)),
            fs_types=frozenset({"fuse.cubefs"}),
            source=context.source,
            env=build_environment(context.private_dir),
            files=(PrivateFile(_CONFIG, config),),
            directories=("bin", _LOG_DIR),
            links=build_links(context.programs, {"fusermount": "fusermount3", "mount": "mount"}),
            status_fd_variable="DAEMONIZE_STATUS_FD",
            log_files=(f"{_LOG_DIR}/client/client/output.log",),
            deadline_s=_START_DEADLINE_S,
            capabilities=frozenset({"CAP_SYS_RESOURCE"}),
            may_listen=False,  # its control port asks nobody for a password, and ends the client for who asks
        )

    def classify(self, context: MountContext, failure: Failure) -> MountError:
        said = "\n".join(line for line in failure.output.splitlines() if not _NOISE.search(line))
        return classify(context.share, replace(failure, output=said), "cfs-client", _SIGNS)

    def find_start_failure(self, message: bytes) -> str | None:
        """Read the gob that the client leaves: after the name of the type comes the value, with the reason in it."""
        _, name, value = message.rpartition(_OUTCOME)
        if not name or value.endswith(_SUCCESS) or not value.endswith(b"\0"):
            return None
        return max(_TEXT.findall(value), key=len, default=b"").decode() or None

    async def find_version(self, programs: Mapping[str, Path]) -> str | None:
        return await self._version.find(programs.get("cfs-client"))

    async def check(self, context: MountContext, *, deadline_s: float) -> None:
        self.build(context)
        await check_access(context.share.id, _block(context.share), deadline_s=deadline_s)


def _block(share: ShareMount) -> CubefsBlock:
    block: Any = share.block
    assert isinstance(block, CubefsBlock), "the engine chose the driver by the share's backend"
    return block
