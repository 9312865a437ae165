"""Backend tmpfs: scratch space in the guest's memory, gone with its mount."""

from __future__ import annotations

from typing import Annotated, ClassVar

from agent.drivers.base import Driver, Failure, MountCommand, MountContext
from weft.errors import ErrorCode, MountError
from weft.wire.blocks import Block
from weft.wire.fields import declare
from weft.wire.share import ShareMount


class TmpfsBlock(Block, frozen=True, kw_only=True):
    """Memory of the guest."""

    may_be_absent: ClassVar[bool] = True

    size_mb: Annotated[int, declare("Most it may hold, in MiB.", ge=1)] = 64


class TmpfsDriver(Driver):
    """Scratch space that everybody in the guest may write to, unless the share's umask says otherwise."""

    name = "tmpfs"
    block: ClassVar[type[Block]] = TmpfsBlock
    programs = ("mount",)

    def build(self, context: MountContext) -> MountCommand:
        """Build one run of mount(8)."""
        share = context.share
        umask = int(share.umask, 8) if share.umask is not None else 0o000
        options = {
            "size": f"{_block(share).size_mb}m",
            "mode": f"{0o777 & ~umask:o}",
            "uid": str(share.uid or 0),
            "gid": str(share.gid or 0),
        }
        flags = ("nosuid", "nodev", "ro" if share.readonly else "rw")
        joined = ",".join((*flags, *(f"{name}={value}" for name, value in options.items())))
        return MountCommand(
            argv=(str(context.programs["mount"]), "-t", "tmpfs", "-o", joined, "--", context.source, share.mount_point),
            fs_types=frozenset({"tmpfs"}),
            source=context.source,
            is_client=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )

    def classify(self, context: MountContext, failure: Failure) -> MountError:
        """Say that the kernel would not; it hardly ever will not."""
        refuse = f"cannot mount share {context.share.id!r}"
        if failure.exit_code is None:
            return MountError(f"{refuse}: mount did not end in time", code=ErrorCode.TIMEOUT, detail=failure.output)
        if "memory" in failure.output.lower():
            return MountError(f"{refuse}: the guest has no memory left", code=ErrorCode.NO_SPACE, detail=failure.output)
        return MountError(f"{refuse}: mount failed", detail=failure.output)

    def can_apply_live(self, old: ShareMount, new: ShareMount) -> bool:
        """Nothing: what is mounted is lost with its mount, so a change had better be meant."""
        return False


def _block(share: ShareMount) -> TmpfsBlock:
    block = share.block
    assert isinstance(block, TmpfsBlock)
    return block
