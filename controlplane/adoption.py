"""Continuing a catalog that was lost (pure): its successor says how far it knows what was published from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.identity import IDENTITY_KEY, Identity, encode_identity
from controlplane.messages import LastMessage
from controlplane.records import CatalogSnapshot, Edit
from weft.wire.mountset import CatalogMark


def marks_of(messages: Iterable[LastMessage]) -> dict[str, int]:
    """Say for each catalog that *messages* were computed from how far it had been read at most."""
    marks: dict[str, int] = {}
    for message in messages:
        if message.mark is not None:
            marks[message.mark.id] = max(marks.get(message.mark.id, 0), message.mark.seq)
    return marks


def build_adoption(snapshot: CatalogSnapshot, marks: Mapping[str, int], new_id: str) -> Edit | None:
    """
    Build the edit that makes *snapshot* the successor of every catalog in *marks*.

    It gets a new id: messages of an older state of itself could not be told from its own otherwise.

    Args:
        snapshot: The catalog.
        marks: What messages were computed from.
        new_id: An id that no catalog had.

    Returns:
        The edit, None where the catalog knows everything already.
    """
    if all(snapshot.knows(CatalogMark(id=identity, seq=seq)) for identity, seq in marks.items()):
        return None
    known = {**snapshot.predecessors, snapshot.id: snapshot.seq}
    continues = {identity: max(seq, known.get(identity, 0)) for identity, seq in (known | dict(marks)).items()}
    data = encode_identity(Identity(id=new_id, continues=continues))
    return Edit(IDENTITY_KEY, data, snapshot.editions.get(IDENTITY_KEY, 0))
