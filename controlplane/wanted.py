"""What a VM's stored message asks for, share by share (pure): the ids at once, the digests only where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from controlplane.messages import LastMessage
from weft.errors import DecodeError
from weft.wire.codec import decode_object
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId
from weft.wire.share import parse_share


class Digests:
    """Digests of encoded shares, each computed once: members of a class have the same bytes."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def of(self, encoded: bytes) -> str:
        """Return the digest that a guest reports for the share, empty where no guest can use it."""
        if encoded not in self._known:
            try:
                self._known[encoded] = share_digest(parse_share(decode_object(encoded, what="share")))
            except DecodeError:
                self._known[encoded] = ""
        return self._known[encoded]


class WantedList:
    """
    The shares that one VM was told to have.

    Args:
        last: Its stored message.
        digests: Shared by the lists of all VMs.
    """

    def __init__(self, last: LastMessage, digests: Digests) -> None:
        self._last = last
        self._digests = digests

    @property
    def revision(self) -> int:
        """Its revision, 0 for a message without one."""
        return self._last.revision

    @cached_property
    def ids(self) -> frozenset[ShareId]:
        """Ids of the shares."""
        single = self._last.single
        if single is not None:
            return frozenset() if single.is_unmount else frozenset({single.share_id})
        return self._last.share_ids

    @cached_property
    def digests(self) -> Mapping[ShareId, str]:
        """The digest that the guest reports for each share once it has it."""
        single = self._last.single
        if single is not None:
            return {share_id: share_digest(single) for share_id in self.ids}
        return {share_id: self._digests.of(encoded) for share_id, encoded in self._last.elements.items()}
