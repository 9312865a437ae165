"""Backends that the guest's own kernel mounts: nfs, virtiofs, 9p over virtio, and bind; one mount(8) run each."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from typing import ClassVar

from agent.drivers.base import Driver, Failure, MountCommand, MountContext
from agent.drivers.failures import Sign, build_error, find_sign
from agent.drivers.nfs_options import build_options, build_source
from weft.errors import ErrorCode, MountError
from weft.wire.blocks import BindBlock, Block, NfsBlock, Virtio9pBlock, VirtiofsBlock
from weft.wire.share import ShareMount

ALWAYS = ("nosuid", "nodev")
"""No file of a share gains privileges or reaches a device, unless the guest's settings allow a share to ask for it."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
"""mount(8) finds its helpers and speaks the language that :data:`_SIGNS` knows."""

_DEADLINE_S = 30.0
_TAG = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.:+@-]*\Z", re.ASCII)
"""No path, which mount(8) would look up, and no ``LABEL=``, for which it would search the guest's disks."""


class KernelDriver(Driver):
    """What all backends of the kernel have in common: mount(8) is run, says why it failed, and is gone."""

    programs: ClassVar[tuple[str, ...]] = ("mount",)
    packages = {"mount": "mount", "mount.nfs": "nfs-common"}  # noqa: RUF012 - a ClassVar of the base
    mount_type: ClassVar[str]
    """The type that mount(8) is asked for; empty where options say what to do."""
    fs_types: ClassVar[frozenset[str]]
    signs: ClassVar[tuple[Sign, ...]]

    def _build(self, context: MountContext, what: str, options: Iterable[str], *, source: str | None) -> MountCommand:
        for field in ("uid", "gid", "umask"):
            if getattr(context.share, field) is not None:
                raise MountError(
                    f"cannot mount share {context.share.id!r}: backend {self.name} cannot change the files' {field}",
                    code=ErrorCode.BAD_SPEC,
                )
        kind = ("-t", self.mount_type) if self.mount_type else ()
        access = ("ro",) if context.share.readonly else ("rw",)
        joined = ",".join((*options, *access))
        return MountCommand(
            argv=(str(context.programs["mount"]), *kind, "-o", joined, "--", what, context.share.mount_point),
            fs_types=self.fs_types,
            source=source,
            is_client=False,
            env=ENVIRONMENT,
            deadline_s=_DEADLINE_S,
        )

    def classify(self, context: MountContext, failure: Failure) -> MountError:
        """Name a failed start by what mount(8) printed, in its untranslated words."""
        sign = find_sign(failure.output, (*self.signs, *_SIGNS))
        if sign is not None:
            return build_error(context.share, sign, failure.output)
        refuse = f"cannot mount share {context.share.id!r}"
        if failure.root_errno is not None:
            return MountError(f"{refuse}: its root directory cannot be read", detail=failure.output)
        if failure.exit_code is None:
            return MountError(f"{refuse}: mount did not end in time", code=ErrorCode.TIMEOUT, detail=failure.output)
        if failure.exit_code == 0:
            return MountError(f"{refuse}: mount succeeded, but nothing is mounted", detail=failure.output)
        return MountError(f"{refuse}: mount failed with exit code {failure.exit_code}", detail=failure.output)


class NfsDriver(KernelDriver):
    """
    An NFS export; ``cache.ttl_s`` becomes the lifetime of attributes.

    Args:
        allow_options: Mount options that a share may not set of itself, and are allowed here.
    """

    name = "nfs"
    block: ClassVar[type[Block]] = NfsBlock
    programs = ("mount", "mount.nfs")
    mount_type = "nfs"
    fs_types = frozenset({"nfs", "nfs4"})
    harmless_root_errnos = frozenset({errno.EACCES, errno.EPERM})
    """A server that squashes root may hide the root directory from root and show it to its users."""

    signs = (
        Sign("bad option; for several filesystems", ErrorCode.HELPER_MISSING, "mount.nfs is not installed"),
        Sign("access denied by server", ErrorCode.DENIED, "the server does not export it to this guest", False),
        Sign("Failed to resolve server|Name or service not known", ErrorCode.UNREACHABLE,
             "the server's name is not known"),
        Sign("Connection refused", ErrorCode.UNREACHABLE, "the server refuses connections"),
        Sign("No route to host|Network is unreachable", ErrorCode.UNREACHABLE, "there is no route to the server"),
        Sign("timed out", ErrorCode.UNREACHABLE, "the server does not answer"),
        Sign("RPC prog. not avail|Program not registered", ErrorCode.UNREACHABLE, "no NFS server is running there"),
        Sign("Protocol not supported", ErrorCode.BAD_SPEC, "the server does not speak this version of NFS"),
        Sign("an incorrect mount option was specified", ErrorCode.BAD_SPEC, "one of nfs.options is not known"),
        Sign("No such file or directory", ErrorCode.NOT_FOUND, "the server has no such export"),
        Sign("Stale file handle", ErrorCode.NOT_FOUND, "the server has lost this export"),
    )  # fmt: skip

    def __init__(self, *, allow_options: frozenset[str] = frozenset()) -> None:
        self._allow_options = allow_options

    def build(self, context: MountContext) -> MountCommand:
        """Build a soft mount: a server that is gone gives errors after some 30 s, never processes that cannot end."""
        block = context.share.block
        assert isinstance(block, NfsBlock)
        cache = context.share.cache
        ttl = (f"actimeo={cache.ttl_s}",) if cache is not None and cache.ttl_s else ()
        asked = build_options(block.options, always=ALWAYS, allowed=self._allow_options)
        return self._build(context, build_source(block.server, block.export), (*_SOFT, *ttl, *asked), source=None)


class TagDriver(KernelDriver):
    """A directory of the host, found by the tag of its device."""

    options: ClassVar[tuple[str, ...]] = ()

    def build(self, context: MountContext) -> MountCommand:
        """Build the mount of a tag."""
        block = context.share.block
        assert isinstance(block, VirtiofsBlock | Virtio9pBlock)
        tag = block.tag or context.share.id
        if not _TAG.match(tag):
            raise MountError(
                f"cannot use tag {tag!r} of share {context.share.id!r}: it must be letters, digits and any of '._:+@-'",
                code=ErrorCode.BAD_SPEC,
            )
        return self._build(context, tag, (*self.options, *ALWAYS), source=tag)


class VirtiofsDriver(TagDriver):
    """A directory of the host over virtiofs."""

    name = "virtiofs"
    block: ClassVar[type[Block]] = VirtiofsBlock
    mount_type = "virtiofs"
    fs_types = frozenset({"virtiofs"})
    signs = (Sign("wrong fs type, bad option", ErrorCode.NOT_FOUND, "the host offers no device with this tag"),)


class Virtio9pDriver(TagDriver):
    """A directory of the host over 9p; every user of the guest is itself towards the host."""

    name = "virtio9p"
    block: ClassVar[type[Block]] = Virtio9pBlock
    mount_type = "9p"
    fs_types = frozenset({"9p"})
    options = ("trans=virtio", "version=9p2000.L", "access=client", "msize=262144")
    """The Linux dialect with the guest's own permission checks; larger messages than the default's 8 to 128 KiB."""
    signs = (
        Sign(
            "special device .* does not exist|No such file or directory",
            ErrorCode.NOT_FOUND,
            "the host offers no device with this tag",
        ),
    )


class BindDriver(KernelDriver):
    """A directory of the guest at a second place."""

    name = "bind"
    block: ClassVar[type[Block]] = BindBlock
    mount_type = ""
    fs_types = frozenset()

    signs = (
        Sign(
            "special device .* does not exist|No such file or directory",
            ErrorCode.NOT_FOUND,
            "its source does not exist",
        ),
        Sign("not a directory", ErrorCode.NOT_FOUND, "its source is no directory"),
        Sign("kernel older than", ErrorCode.HELPER_MISSING, "the guest's kernel is older than 5.12"),
    )

    def build(self, context: MountContext) -> MountCommand:
        """Build a bind mount; read-only for this place alone."""
        return self._build(context, _bind_source(context.share), ("bind", *ALWAYS), source=None)

    def source_paths(self, share: ShareMount) -> tuple[str, ...]:
        """Name the directory that is shown."""
        return (_bind_source(share),)


REPLACED = "the mount point was replaced while it was being mounted"

_SIGNS = (
    Sign("mount point was replaced", ErrorCode.DENIED, REPLACED, False),
    Sign("unknown filesystem type", ErrorCode.HELPER_MISSING, "the guest's kernel has no such file system"),
    Sign("must be superuser", ErrorCode.INTERNAL, "the agent may not mount (it must run as root)", True),
    Sign("permission denied", ErrorCode.DENIED, "the kernel refuses it"),
    Sign("already mounted or mount point busy", ErrorCode.BUSY, "it is in use already"),
    Sign("mount point does not exist", ErrorCode.NOT_FOUND, "its mount point is gone"),
    Sign("No space left on device", ErrorCode.NO_SPACE, "the guest may not mount any more file systems"),
)
"""In the words of util-linux 2.38 and nfs-utils 2.6, looked for after a backend's own."""

_SOFT = ("soft", "timeo=100", "retrans=2", "retry=0")
"""10 s for an answer, asked three times (30 s), then an error; the agent, not mount.nfs, tries again."""


def _bind_source(share: ShareMount) -> str:
    block = share.block
    assert isinstance(block, BindBlock)
    return block.source
