"""The table of streams, and what may be changed in a stream that exists."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.streams import (
    FULL_STORAGE_BYTES,
    GIB,
    LEAST_STORAGE_BYTES,
    STREAMS,
    differing_settings,
    has_fast_ingest,
    refuse_fixed,
    wanted_settings,
    with_events_age,
    with_storage,
)
from weft.errors import StreamSettingsError

MOUNTS = STREAMS[0]
WANTED = wanted_settings(MOUNTS, server_version="2.15.1")


def test_no_stream_evicts_one_vms_state_for_another() -> None:
    """Where the last message is what somebody wants, a full stream must refuse; what guests say, they say again."""
    assert {spec.name: spec.wanted["discard"] for spec in STREAMS} == {
        "weft-mounts": "new",
        "weft-status": "old",
        "weft-events": "old",
        "weft-guest-events": "old",
        "weft-catalog": "new",
    }
    assert MOUNTS.wanted["max_msgs_per_subject"] == 1


@pytest.mark.parametrize("storage_bytes", [LEAST_STORAGE_BYTES, FULL_STORAGE_BYTES, 40 * FULL_STORAGE_BYTES])
def test_every_stream_has_its_part_of_the_storage(storage_bytes: int) -> None:
    """A broker that has room for all limits never refuses one stream because of what another holds."""
    parts = [with_storage(spec, storage_bytes, is_chosen=True).wanted["max_bytes"] for spec in STREAMS]
    assert all(part > 0 for part in parts)
    assert storage_bytes - len(parts) <= sum(parts) <= storage_bytes


@pytest.mark.parametrize("storage_bytes", [LEAST_STORAGE_BYTES, FULL_STORAGE_BYTES, 40 * FULL_STORAGE_BYTES])
def test_one_guest_takes_a_small_part_of_what_guests_share(storage_bytes: int) -> None:
    """Whatever it sends: sizes, kinds and numbers are bounded for each of them."""
    for name, part in (("weft-status", 15), ("weft-guest-events", 40)):
        spec = next(spec for spec in STREAMS if spec.name == name)
        wanted = with_storage(spec, storage_bytes, is_chosen=True).wanted
        kinds = len(wanted["subjects"])
        assert "*" not in "".join(wanted["subjects"]).replace("weft.status.*", "").replace("weft.events.vm.*", "")
        assert kinds * wanted["max_msgs_per_subject"] * wanted["max_msg_size"] * part <= wanted["max_bytes"]


def test_what_an_operator_chose_stays_until_something_else_is_chosen() -> None:
    """Both how long events are kept and how much a stream may take."""
    spec = next(spec for spec in STREAMS if spec.name == "weft-guest-events")
    have = {**spec.wanted, "max_age": 1, "max_bytes": 2, "max_msgs_per_subject": 3}
    assert differing_settings(have, spec.wanted, replicas=1, adjustable=spec.adjustable) == {}
    chosen = with_events_age(with_storage(spec, GIB, is_chosen=True), 60.0)
    changes = differing_settings(have, chosen.wanted, replicas=1, adjustable=chosen.adjustable)
    assert set(changes) == {"max_age", "max_bytes", "max_msgs_per_subject"}


def test_a_stream_without_a_limit_gets_one() -> None:
    """It is what every publish failed of, once a guest had filled it."""
    have = {**WANTED, "max_bytes": -1}
    assert set(differing_settings(have, WANTED, replicas=1, adjustable=MOUNTS.adjustable)) == {"max_bytes"}


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
    assert differing_settings(have, WANTED, replicas=1, adjustable=MOUNTS.adjustable) == {}


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
    assert set(changes) == {
        *("discard", "max_consumers", "allow_direct", "allow_batched", "republish", "num_replicas", "max_bytes")
    }
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
