"""Backends that the guest's own kernel mounts: nfs, virtiofs, 9p over virtio, and bind; one mount(8) run each."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from agent.drivers.base import Driver, Failure, MountCommand, MountContext
from weft.errors import ErrorCode, MountError
from weft.wire.blocks import BindBlock, Block, NfsBlock, Virtio9pBlock, VirtiofsBlock
from weft.wire.share import ShareMount

ALWAYS = ("nosuid", "nodev")
"""No file of a share gains privileges or reaches a device, unless the share's own options say so."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
"""mount(8) finds its helpers and speaks the language that :data:`_CAUSES` knows."""

_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class _Cause:
    """What a text in the output of mount(8) means."""

    text: str
    code: ErrorCode
    reason: str
    is_permanent: bool | None = None


class KernelDriver(Driver):
    """What all backends of the kernel have in common: mount(8) is run, says why it failed, and is gone."""

    programs: ClassVar[tuple[str, ...]] = ("mount",)
    packages = {"mount": "mount", "mount.nfs": "nfs-common"}  # noqa: RUF012 - a ClassVar of the base
    fs_types: ClassVar[frozenset[str]]
    causes: ClassVar[tuple[_Cause, ...]]

    def _build(self, context: MountContext, what: str, options: Iterable[str], *, source: str | None) -> MountCommand:
        for field in ("uid", "gid", "umask"):
            if getattr(context.share, field) is not None:
                raise MountError(
                    f"cannot mount share {context.share.id!r}: backend {self.name} cannot change the files' {field}",
                    code=ErrorCode.BAD_SPEC,
                )
        kind = ("-t", self.name_of_type) if self.name_of_type else ()
        access = ("ro",) if context.share.readonly else ("rw",)
        joined = ",".join((*ALWAYS, *options, *access))
        return MountCommand(
            argv=(str(context.programs["mount"]), *kind, "-o", joined, "--", what, context.share.mount_point),
            fs_types=self.fs_types,
            source=source,
            is_client=False,
            env=ENVIRONMENT,
            deadline_s=_DEADLINE_S,
        )

    @property
    def name_of_type(self) -> str:
        """The type that mount(8) is asked for; empty where options say what to do."""
        return self.name

    def classify(self, context: MountContext, failure: Failure) -> MountError:
        """Name a failed start by what mount(8) printed, in its untranslated words."""
        refuse = f"cannot mount share {context.share.id!r}"
        said = failure.output.lower()
        found = next((cause for cause in (*self.causes, *_CAUSES) if cause.text.lower() in said), None)
        if found is not None:
            return MountError(
                f"{refuse}: {found.reason}", code=found.code, detail=failure.output, is_permanent=found.is_permanent
            )
        if failure.root_errno is not None:
            return MountError(f"{refuse}: its root directory cannot be read", detail=failure.output)
        if failure.exit_code is None:
            return MountError(f"{refuse}: mount did not end in time", code=ErrorCode.TIMEOUT, detail=failure.output)
        if failure.exit_code == 0:
            return MountError(f"{refuse}: mount succeeded, but nothing is mounted", detail=failure.output)
        return MountError(f"{refuse}: mount failed with exit code {failure.exit_code}", detail=failure.output)


class NfsDriver(KernelDriver):
    """An NFS export; ``cache.ttl_s`` becomes the lifetime of attributes."""

    name = "nfs"
    block: ClassVar[type[Block]] = NfsBlock
    programs = ("mount", "mount.nfs")
    fs_types = frozenset({"nfs", "nfs4"})
    harmless_root_errnos = frozenset({errno.EACCES, errno.EPERM})
    """A server that squashes root may hide the root directory from root and show it to its users."""

    def build(self, context: MountContext) -> MountCommand:
        """Build a soft mount: a server that is gone gives errors after some 30 s, never processes that cannot end."""
        block = context.share.block
        assert isinstance(block, NfsBlock)
        cache = context.share.cache
        ttl = (f"actimeo={cache.ttl_s}",) if cache is not None and cache.ttl_s else ()
        server = f"[{block.server}]" if ":" in block.server and not block.server.startswith("[") else block.server
        options = (*_SOFT, *ttl, *_checked_options(block.options))
        return self._build(context, f"{server}:{block.export}", options, source=None)

    causes = (
        _Cause("bad option; for several filesystems", ErrorCode.HELPER_MISSING, "mount.nfs is not installed"),
        _Cause("access denied by server", ErrorCode.DENIED, "the server does not export it to this guest", False),
        _Cause("Failed to resolve server", ErrorCode.UNREACHABLE, "the server's name is not known"),
        _Cause("Name or service not known", ErrorCode.UNREACHABLE, "the server's name is not known"),
        _Cause("Connection refused", ErrorCode.UNREACHABLE, "the server refuses connections"),
        _Cause("No route to host", ErrorCode.UNREACHABLE, "there is no route to the server"),
        _Cause("Network is unreachable", ErrorCode.UNREACHABLE, "there is no route to the server"),
        _Cause("timed out", ErrorCode.UNREACHABLE, "the server does not answer"),
        _Cause("RPC prog. not avail", ErrorCode.UNREACHABLE, "no NFS server is running there"),
        _Cause("Program not registered", ErrorCode.UNREACHABLE, "no NFS server is running there"),
        _Cause("Protocol not supported", ErrorCode.BAD_SPEC, "the server does not speak this version of NFS"),
        _Cause("an incorrect mount option was specified", ErrorCode.BAD_SPEC, "one of nfs.options is not known"),
        _Cause("No such file or directory", ErrorCode.NOT_FOUND, "the server has no such export"),
        _Cause("Stale file handle", ErrorCode.NOT_FOUND, "the server has lost this export"),
    )  # fmt: skip


class VirtiofsDriver(KernelDriver):
    """A directory of the host over virtiofs."""

    name = "virtiofs"
    block: ClassVar[type[Block]] = VirtiofsBlock
    fs_types = frozenset({"virtiofs"})

    def build(self, context: MountContext) -> MountCommand:
        """Build the mount of a tag."""
        tag = _tag_of(context.share)
        return self._build(context, tag, (), source=tag)

    causes = (_Cause("wrong fs type, bad option", ErrorCode.NOT_FOUND, "the host offers no device with this tag"),)


class Virtio9pDriver(KernelDriver):
    """A directory of the host over 9p."""

    name = "virtio9p"
    block: ClassVar[type[Block]] = Virtio9pBlock
    fs_types = frozenset({"9p"})

    def build(self, context: MountContext) -> MountCommand:
        """Build the mount of a tag; every user of the guest is itself towards the host."""
        tag = _tag_of(context.share)
        return self._build(context, tag, _NINE_P, source=tag)

    @property
    def name_of_type(self) -> str:
        """The kernel's word for it."""
        return "9p"

    causes = (
        _Cause("does not exist", ErrorCode.NOT_FOUND, "the host offers no device with this tag"),
        _Cause("No such file or directory", ErrorCode.NOT_FOUND, "the host offers no device with this tag"),
    )


class BindDriver(KernelDriver):
    """A directory of the guest at a second place."""

    name = "bind"
    block: ClassVar[type[Block]] = BindBlock
    fs_types = frozenset()

    def build(self, context: MountContext) -> MountCommand:
        """Build a bind mount; read-only for this place alone."""
        return self._build(context, _bind_source(context.share), ("bind",), source=None)

    def source_paths(self, share: ShareMount) -> tuple[str, ...]:
        """Name the directory that is shown."""
        return (_bind_source(share),)

    @property
    def name_of_type(self) -> str:
        """None: the type is that of what is shown."""
        return ""

    causes = (
        _Cause("does not exist", ErrorCode.NOT_FOUND, "its source does not exist"),
        _Cause("No such file or directory", ErrorCode.NOT_FOUND, "its source does not exist"),
        _Cause("not a directory", ErrorCode.NOT_FOUND, "its source is no directory"),
    )


_CAUSES = (
    _Cause("unknown filesystem type", ErrorCode.HELPER_MISSING, "the guest's kernel has no such file system"),
    _Cause("must be superuser", ErrorCode.INTERNAL, "the agent may not mount (it must run as root)", True),
    _Cause("permission denied", ErrorCode.DENIED, "the kernel refuses it"),
    _Cause("already mounted or mount point busy", ErrorCode.BUSY, "it is in use already"),
    _Cause("mount point does not exist", ErrorCode.NOT_FOUND, "its mount point is gone"),
    _Cause("No space left on device", ErrorCode.NO_SPACE, "the guest may not mount any more file systems"),
)
"""In the words of util-linux 2.38 and nfs-utils 2.6, looked for after a backend's own."""

_SOFT = ("soft", "timeo=100", "retrans=2", "retry=0")
"""10 s for an answer, asked three times (30 s), then an error; the agent, not mount.nfs, tries again."""

_NINE_P = ("trans=virtio", "version=9p2000.L", "access=client", "msize=262144")
"""The Linux dialect with the guest's own permission checks; larger messages than the default's 8 to 128 KiB."""

_REFUSED = frozenset(
    (
        "bind rbind move remount loop offset sizelimit encryption user users owner group nouser nofail auto helper "
        "uhelper shared slave private unbindable rshared rslave rprivate runbindable"
    ).split(" ")
)
"""Words with which mount(8) would do something else than mount this share, or for somebody else."""


def _checked_options(text: str) -> tuple[str, ...]:
    options = tuple(option for option in text.split(",") if option)
    for option in options:
        word = option.partition("=")[0]
        if word.lower() in _REFUSED or word.lower().startswith(("x-", "-")) or '"' in option:
            raise MountError(f"cannot use nfs.options: {word!r} is not allowed", code=ErrorCode.BAD_SPEC)
    return options


def _tag_of(share: ShareMount) -> str:
    block = share.block
    assert isinstance(block, VirtiofsBlock | Virtio9pBlock)
    return block.tag or share.id


def _bind_source(share: ShareMount) -> str:
    block = share.block
    assert isinstance(block, BindBlock)
    return block.source
