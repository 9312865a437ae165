"""A VM's message in the stream (pure): what the last one says, and the bytes of the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from controlplane.stored import StoredMessage
from weft.errors import DecodeError
from weft.wire.codec import decode_message
from weft.wire.ids import ShareId, VmId
from weft.wire.mountset import CatalogMark
from weft.wire.share import ShareMount


class _Element(msgspec.Struct):
    id: Any = None


class _Mark(msgspec.Struct):
    id: str
    seq: int


class _Frame(msgspec.Struct):
    revision: int = 0
    catalog: _Mark | None = None
    shares: msgspec.Raw = msgspec.Raw()
    gone: list[str] | None = None


_FRAMES = msgspec.json.Decoder(_Frame)
_ELEMENTS = msgspec.json.Decoder(list[_Element])
_PIECES = msgspec.json.Decoder(list[msgspec.Raw])
FRAME_FIELDS = frozenset({"vm", "revision", "catalog", "shares", "gone"})
"""Names a share's own unknown fields must not have if it is to stand at the top level."""


class LastMessage:
    """
    The last message on a VM's subject, decoded only as far as it is asked about.

    Args:
        message: As the stream holds it.
    """

    def __init__(self, message: StoredMessage) -> None:
        self.seq = message.seq
        self._data = message.data
        self._frame = _decode_frame(message.data)

    @property
    def is_set(self) -> bool:
        """Whether it is a complete list; otherwise it is a single share, or nothing anybody can read."""
        return self._frame is not None and bool(bytes(self._frame.shares))

    def has_data(self, data: bytes) -> bool:
        """Say whether it is exactly *data*."""
        return self._data == data

    @property
    def revision(self) -> int:
        """Its revision, 0 where it has none."""
        return max(0, self._frame.revision) if self._frame is not None and self.is_set else 0

    @property
    def mark(self) -> CatalogMark | None:
        """The catalog it was computed from."""
        if self._frame is None or self._frame.catalog is None:
            return None
        return CatalogMark(id=self._frame.catalog.id, seq=self._frame.catalog.seq)

    @property
    def gone(self) -> frozenset[ShareId]:
        """Ids it says must go."""
        return frozenset(ShareId(item) for item in (self._frame.gone or ())) if self._frame else frozenset()

    @cached_property
    def share_ids(self) -> frozenset[ShareId]:
        """Ids in its list; of elements without a readable id nothing is known."""
        if self._frame is None or not self.is_set:
            return frozenset()
        try:
            elements = _ELEMENTS.decode(self._frame.shares)
        except msgspec.DecodeError:
            return frozenset()
        return frozenset(ShareId(element.id) for element in elements if isinstance(element.id, str))

    @cached_property
    def elements(self) -> dict[ShareId, bytes]:
        """The shares of its list as they are encoded, by id; of one that stands twice the first counts."""
        if self._frame is None or not self.is_set:
            return {}
        try:
            ids, encoded = _ELEMENTS.decode(self._frame.shares), _PIECES.decode(self._frame.shares)
        except msgspec.DecodeError:
            return {}
        found: dict[ShareId, bytes] = {}
        for element, piece in zip(ids, encoded, strict=True):
            if isinstance(element.id, str):
                found.setdefault(ShareId(element.id), bytes(piece))
        return found

    @cached_property
    def single(self) -> ShareMount | None:
        """The share it mounts or unmounts, where it is a single one."""
        if self._frame is None or self.is_set:
            return None
        try:
            message = decode_message(self._data)
        except DecodeError:
            return None
        return message if isinstance(message, ShareMount) else None

    def lists_exactly(self, encoded: bytes) -> bool:
        """
        Say whether its list is *encoded*, whatever the order of shares and fields.

        The same meaning in other words counts as different: it is published once more, and guests see by its digests
        that nothing changed.
        """
        if self._frame is None or not self.is_set:
            return False
        return bytes(self._frame.shares) == encoded or _by_id(self._frame.shares) == _by_id(encoded)


def _by_id(shares: bytes | msgspec.Raw) -> list[Any] | None:
    elements = msgspec.json.decode(shares)
    if not isinstance(elements, list) or not all(isinstance(element, dict) for element in elements):
        return None
    return sorted(elements, key=lambda element: str(element.get("id")))


def _decode_frame(data: bytes) -> _Frame | None:
    try:
        return _FRAMES.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


@dataclass(frozen=True, slots=True)
class NextMessage:
    """
    Everything but the shares of a VM's next message.

    Attributes:
        vm: Whose it is.
        revision: Its revision.
        mark: The catalog it is computed from.
        gone: Ids that must go.
        changed: The one share that changed, encoded; empty for none.
    """

    vm: VmId
    revision: int
    mark: CatalogMark
    gone: tuple[ShareId, ...] = ()
    changed: bytes = field(default=b"", repr=False)


def compose_list(encoded: Iterable[bytes]) -> bytes:
    """Put encoded shares into one JSON array."""
    return b"[" + b",".join(encoded) + b"]"


def compose(following: NextMessage, shares: bytes) -> bytes:
    """
    Write a message from parts that are encoded already; it means the same as ``encode_message`` of the whole.

    Args:
        following: What is particular to this VM; ids are subject tokens, so that nothing needs escaping.
        shares: The array.
    """
    gone = ",".join(f'"{share_id}"' for share_id in following.gone)
    head = (
        f'{{"vm":"{following.vm}","revision":{following.revision},'
        f'"catalog":{{"id":"{following.mark.id}","seq":{following.mark.seq}}},"shares":'
    )
    tail = b"," + following.changed[1:] if following.changed else b"}"
    return b"".join((head.encode(), shares, b',"gone":[', gone.encode(), b"]", tail))
