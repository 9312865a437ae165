"""When shares end, and when they leave the catalog."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from controlplane.expiry import build_drop_expired, dropped_at, next_drop, parse_expiry
from controlplane.records import ShareRecord
from controlplane.rollout import Pacing, begin
from tests.unit.controlplane.makers import AUTHOR, record, snapshot, vms
from weft.errors import ConfigError
from weft.wire.ids import ShareId

NOW = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
UTC_NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)


def ending(share_id: str, at: datetime | None, **fields: object) -> ShareRecord:
    ends = {} if at is None else {"expires_at": at.isoformat()}
    return record(share_id, vms=("vm-1",), **ends, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2h", UTC_NOW + timedelta(hours=2), id="a length of time"),
        pytest.param("1.5d", UTC_NOW + timedelta(hours=36), id="a part of a day"),
        pytest.param("1w", UTC_NOW + timedelta(days=7), id="a week"),
        pytest.param("2026-07-01T12:00:00Z", datetime(2026, 7, 1, 12, tzinfo=UTC), id="a time in UTC"),
        pytest.param("2026-07-01T12:00", datetime(2026, 7, 1, 10, tzinfo=UTC), id="a time where the operator is"),
        pytest.param("2026-07-01", datetime(2026, 6, 30, 22, tzinfo=UTC), id="the beginning of a day"),
        pytest.param("never", None, id="never"),
    ],
)
def test_an_expiry_is_a_length_of_time_or_a_time(text: str, expected: datetime | None) -> None:
    """All of them become whole seconds in UTC."""
    assert parse_expiry(text, NOW) == expected


@pytest.mark.parametrize("text", ["2", "soon", "", "-2h", "2 h", "99999999999999w", "12:00"])
def test_anything_else_is_no_expiry(text: str) -> None:
    """A bare number would be seconds to one and hours to another."""
    with pytest.raises(ConfigError, match="expected a length of time such as 2h"):
        parse_expiry(text, NOW)


@pytest.mark.parametrize("text", ["2026-05-01T12:00:00+02:00", "2025-01-01", "0s"])
def test_a_time_that_is_over_is_a_mistake(text: str) -> None:
    """Nobody would ever get the share."""
    with pytest.raises(ConfigError, match="it is over already"):
        parse_expiry(text, NOW)


def test_a_share_is_dropped_some_time_after_its_end() -> None:
    """One that is over but still kept, one that is not over and one that never is stay."""
    catalog = snapshot(
        ending("over", UTC_NOW - timedelta(days=2)),
        ending("kept", UTC_NOW - timedelta(hours=2)),
        ending("later", UTC_NOW + timedelta(days=1)),
        ending("always", None),
    )
    change = build_drop_expired(catalog, {}, UTC_NOW, kept_s=86_400)
    assert [(edit.key, edit.data, edit.expected_seq) for edit in change.edits] == [("share.over", None, 2)]
    assert (change.intent.named, change.affected) == (frozenset({ShareId("over")}), vms("vm-1"))
    assert next_drop(catalog, kept_s=86_400) == UTC_NOW - timedelta(days=1)


def test_nothing_is_dropped_where_nothing_ends() -> None:
    """And nothing needs to be looked at again."""
    catalog = snapshot(ending("always", None))
    assert (build_drop_expired(catalog, {}, UTC_NOW).edits, next_drop(catalog)) == ((), None)


def test_a_share_with_two_editions_ends_with_the_later_one() -> None:
    """As long as one of them may be mounted, the record stays."""
    old, new = ending("a", None), ending("a", UTC_NOW, readonly=True)
    both = begin(old, new, Pacing(waves=(10,)), vms("vm-1"), AUTHOR.at)
    assert dropped_at(both) is None
    later = begin(ending("a", UTC_NOW + timedelta(hours=1)), new, Pacing(waves=(10,)), vms("vm-1"), AUTHOR.at)
    assert dropped_at(later, kept_s=0) == UTC_NOW + timedelta(hours=1)
    assert dropped_at(msgspec.structs.replace(later, rollout=None), kept_s=0) == UTC_NOW
