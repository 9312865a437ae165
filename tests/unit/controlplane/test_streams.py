"""The table of streams, and what may be changed in a stream that exists."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.streams import STREAMS, differing_settings, has_fast_ingest, refuse_fixed, wanted_settings
from weft.errors import StreamSettingsError

MOUNTS = STREAMS[0]
WANTED = wanted_settings(MOUNTS, server_version="2.15.1")


def test_no_stream_evicts_one_vms_state_for_another() -> None:
    """Where the last message is the state, a full stream must refuse."""
    assert {spec.name: spec.wanted["discard"] for spec in STREAMS} == {
        "weft-mounts": "new",
        "weft-status": "new",
        "weft-events": "old",
        "weft-catalog": "new",
    }
    assert MOUNTS.wanted["max_msgs_per_subject"] == 1


def test_consumers_are_not_limited_by_a_servers_default() -> None:
    """Without an explicit number a server allows a thousand."""
    assert all(spec.wanted["max_consumers"] > 1000 for spec in STREAMS)


@pytest.mark.parametrize(
    ("version", "known"), [("2.15.1", True), ("2.14.0-RC.1", True), ("2.13.9", False), ("3.0", True), ("", False)]
)
def test_batches_are_asked_for_where_the_server_knows_them(version: str, known: bool) -> None:
    """An older server would ignore the field, and seem to differ for ever."""
    assert has_fast_ingest(version) is known
    assert ("allow_batched" in wanted_settings(MOUNTS, server_version=version)) is known


def test_a_right_stream_differs_in_nothing() -> None:
    """Also with settings that are not ours, and more replicas than asked for."""
    have = {**WANTED, "name": "weft-mounts", "max_bytes": 10**9, "num_replicas": 3}
    assert differing_settings(have, WANTED, replicas=1) == {}


def test_a_plain_stream_is_upgraded_in_place() -> None:
    """What another program made lacks direct reads, live copies, batches and the refusal when full."""
    plain = {
        "subjects": ["weft.mounts.*"],
        "retention": "limits",
        "storage": "file",
        "max_msgs_per_subject": 1,
        "discard": "old",
        "max_consumers": -1,
        "num_replicas": 1,
    }
    changes = differing_settings(plain, WANTED, replicas=3)
    assert set(changes) == {"discard", "max_consumers", "allow_direct", "allow_batched", "republish", "num_replicas"}
    refuse_fixed("weft-mounts", plain, changes)


@pytest.mark.parametrize(
    ("field", "have"),
    [("storage", "memory"), ("subjects", ["weft.>"]), ("retention", "workqueue")],
)
def test_what_makes_it_another_stream_is_refused(field: str, have: Any) -> None:
    """The error names the field, what it is and what it must be."""
    stream = {**WANTED, field: have}
    with pytest.raises(StreamSettingsError, match=field) as caught:
        refuse_fixed("weft-mounts", stream, differing_settings(stream, WANTED, replicas=1))
    assert (caught.value.field, caught.value.have, caught.value.want) == (field, have, WANTED[field])
