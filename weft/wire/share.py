"""ShareMount: the wish to mount one share at one mount point."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from weft.errors import DecodeError, SubjectError
from weft.wire.blocks import (
    DEFAULT_BACKEND,
    BindBlock,
    Block,
    CubefsBlock,
    NfsBlock,
    RcloneBlock,
    Virtio9pBlock,
    VirtiofsBlock,
    backend_problems,
    block_type,
    known_backends,
)
from weft.wire.fields import Change, Secrecy, declare, field_infos
from weft.wire.ids import ShareId, parse_share_id
from weft.wire.paths import MountPoint, parse_mount_point
from weft.wire.redact import redacted_value, secrets_in
from weft.wire.tolerant import Tolerant, from_builtins, to_builtins


class Action(enum.StrEnum):
    """What a single ShareMount asks for; the empty text means mount."""

    DEFAULT = ""
    MOUNT = "mount"
    UNMOUNT = "unmount"


class Cache(Tolerant, frozen=True, kw_only=True):
    """Limits of the client's cache; each driver translates them."""

    size_mb: Annotated[int, declare("Most that may be cached on the guest's disk or in memory, in MiB.", ge=0)] = 0
    ttl_s: Annotated[int, declare("How long a listing may be old, in seconds.", ge=0)] = 0


_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
_OwnerId = Annotated[int, msgspec.Meta(ge=0, lt=2**32 - 1)]
"""The largest 32-bit number means "leave as it is" to the kernel."""
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_UMASK = re.compile(r"^0?[0-7]{3}\Z")


class ShareMount(Tolerant, frozen=True, kw_only=True):
    """
    One share and where a guest should mount it.

    Constructing one checks everything that can be known without a guest.

    Raises:
        DecodeError: a field is missing, out of range or contradicts another; the text names it and its value.

    Source:
        The field's existing wire format (``id`` to ``cubefs``), so that publishers and agents in Go interoperate.
    """

    id: Annotated[str, declare("Names the share; a later message with the same id replaces it.", change=Change.NONE)]
    action: Annotated[Action, declare("Mount (also when empty) or unmount.", change=Change.NONE)] = Action.DEFAULT
    backend: Annotated[str, declare("Driver that mounts it; cubefs when empty.")] = ""
    mount_point: Annotated[str, declare("Absolute path in the guest.")] = ""
    readonly: Annotated[bool, declare("Whether the guest may only read.")] = False
    cubefs: Annotated[CubefsBlock | None, declare("Where the data is, for backend cubefs.")] = None
    rclone: Annotated[RcloneBlock | None, declare("Where the data is, for backend rclone.")] = None
    nfs: Annotated[NfsBlock | None, declare("Where the data is, for backend nfs.")] = None
    virtiofs: Annotated[VirtiofsBlock | None, declare("Where the data is, for backend virtiofs.")] = None
    virtio9p: Annotated[Virtio9pBlock | None, declare("Where the data is, for backend virtio9p.")] = None
    bind: Annotated[BindBlock | None, declare("Where the data is, for backend bind.")] = None
    priority: Annotated[
        _Int32, declare("Which of overlapping shares serves a path: the one with the highest.", change=Change.NONE)
    ] = 0
    uid: Annotated[_OwnerId | None, declare("User that owns the files, as guests see them.")] = None
    gid: Annotated[_OwnerId | None, declare("Group that owns the files, as guests see them.")] = None
    umask: Annotated[str | None, declare("Permission bits that are taken away, octal, for example '0022'.")] = None
    cache: Annotated[Cache | None, declare("Limits of the client's cache.")] = None
    refresh: Annotated[
        int,
        declare("Raise it to drop cached listings and try again now; nothing is remounted.", change=Change.LIVE, ge=0),
    ] = 0
    expires_at: Annotated[
        _Instant | None, declare("When the guest unmounts the share by its own clock.", change=Change.NONE)
    ] = None

    def __post_init__(self) -> None:
        try:
            parse_share_id(self.id)
        except SubjectError as exc:
            raise DecodeError(str(exc), field="id") from exc
        if self.mount_point:
            parsed = parse_mount_point(self.mount_point)
            if parsed != self.mount_point:
                msgspec.structs.force_setattr(self, "mount_point", parsed)
        if self.is_unmount:
            return
        if not self.mount_point:
            raise DecodeError("cannot mount a share without mount_point", field="mount_point", share_id=self.id)
        if self.umask is not None and not _UMASK.match(self.umask):
            raise DecodeError(f"cannot use umask {self.umask!r}: it is not octal like '0022'", field="umask")
        self._check_block()

    def _check_block(self) -> None:
        struct = block_type(self.backend_name)
        if struct is None:
            why = "; ".join((f"known are {', '.join(known_backends())}", *backend_problems()))
            raise DecodeError(f"cannot use backend {self.backend!r}: {why}", field="backend")
        if struct.may_be_absent or self._raw_block() is not None:
            _ = self.block
            return
        raise DecodeError(
            f"cannot use backend {self.backend_name!r} without its {self.backend_name} block", field=self.backend_name
        )

    def _raw_block(self) -> Any:
        return (
            getattr(self, self.backend_name, None)
            if self.backend_name in _BLOCK_FIELDS
            else self.extra.get(self.backend_name)
        )

    @property
    def share_id(self) -> ShareId:
        """The id, as the checked type."""
        return ShareId(self.id)

    @property
    def path(self) -> MountPoint:
        """The mount point, as the checked type."""
        return MountPoint(self.mount_point)

    @property
    def is_unmount(self) -> bool:
        """Whether the share is to be taken away."""
        return self.action is Action.UNMOUNT

    @property
    def backend_name(self) -> str:
        """The backend, with the empty text resolved."""
        return self.backend or DEFAULT_BACKEND

    @property
    def block(self) -> Block:
        """
        The block of this share's backend, also of a backend from another package.

        Raises:
            DecodeError: the block of a registered backend does not fit its struct.
        """
        struct = block_type(self.backend_name)
        assert struct is not None, "checked at construction"
        raw = self._raw_block()
        if isinstance(raw, Block):
            return raw
        return from_builtins(struct, raw or {}, what=f"share {self.id!r}")


_BLOCK_FIELDS = frozenset({"cubefs", "rclone", "nfs", "virtiofs", "virtio9p", "bind"})


def parse_share(obj: object) -> ShareMount:
    """
    Build a ShareMount from decoded JSON.

    An unmount needs only its id: blocks that do not fit are kept as they came, unread.

    Args:
        obj: What a JSON decoder returned.

    Raises:
        DecodeError: with the share's id where it could be read.
    """
    if not isinstance(obj, dict):
        raise DecodeError(f"cannot decode a share from {_kind(obj)}: it must be an object")
    share_id = obj.get("id")
    if share_id is None or share_id == "":
        raise DecodeError("cannot decode a share without id", field="id")
    what = f"share {share_id!r}" if isinstance(share_id, str) else "a share"
    readable = _readable_id(share_id)
    try:
        if obj.get("action") == Action.UNMOUNT:
            bare = {key: value for key, value in obj.items() if key not in _BLOCK_FIELDS}
            return from_builtins(ShareMount, bare, what=what)
        return from_builtins(ShareMount, obj, what=what)
    except DecodeError as exc:
        reason = exc.reason if repr(share_id) in exc.reason else f"{exc.reason} (share {share_id!r})"
        raise DecodeError(reason, field=exc.field, share_id=readable) from exc


def _readable_id(value: object) -> str | None:
    try:
        return parse_share_id(value)
    except SubjectError:
        return None


def _kind(obj: object) -> str:
    match obj:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "an array"
        case _:
            return type(obj).__name__


def share_to_builtins(share: ShareMount) -> dict[str, Any]:
    """Convert to plain values in wire order; ``id`` and ``mount_point`` always stand, as Go publishers write them."""
    values = to_builtins(share)
    head = {"id": share.id}
    for key in ("action", "backend"):
        if key in values:
            head[key] = values[key]
    return {**head, "mount_point": share.mount_point, **values}


def redacted_share(share: ShareMount) -> dict[str, Any]:
    """Convert to plain values with every secret replaced, for operators' eyes."""
    values = share_to_builtins(share)
    struct = block_type(share.backend_name)
    for key, value in values.items():
        block = struct if key == share.backend_name and struct is not None else _block_struct(key)
        if block is not None and isinstance(value, dict):
            values[key] = _redacted(block, value)
    return values


def redacted_block(backend: str, block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a backend's block with every secret replaced, for operators' eyes."""
    return _redacted(block_type(backend) or Block, block)


def _redacted(struct: type[Block], block: Mapping[str, Any]) -> dict[str, Any]:
    infos = field_infos(struct)
    return {
        name: redacted_value(item, infos[name].secrecy if name in infos else Secrecy.SECRET_VALUES)
        for name, item in block.items()
    }


def _block_struct(key: str) -> type[Block] | None:
    return block_type(key) if key in _BLOCK_FIELDS else None


def share_secrets(share: ShareMount) -> frozenset[str]:
    """Collect every secret text in *share*, for redacting what a client says about it."""
    return frozenset(_secrets(share))


def _secrets(share: ShareMount) -> Iterator[str]:
    if share.is_unmount:
        return
    infos = field_infos(type(share.block))
    for name, value in to_builtins(share.block).items():
        yield from secrets_in(value, infos[name].secrecy if name in infos else Secrecy.SECRET_VALUES)
