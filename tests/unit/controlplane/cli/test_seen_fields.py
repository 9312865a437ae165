"""The documented fields of a status record are those that it has."""

from __future__ import annotations

from controlplane.cli.status_view import SEEN_FIELDS, status_record
from tests.unit.controlplane.cli.test_status_view import view
from weft.wire.status import ShareState


def test_every_field_under_seen_is_documented_and_no_other() -> None:
    """Programs rely on the page."""
    seen = status_record(view("v", ShareState.MOUNTED))["seen"]
    (share,) = seen["shares"].values()
    assert list(SEEN_FIELDS) == [*seen, *(f"shares.ID.{name}" for name in share)]
