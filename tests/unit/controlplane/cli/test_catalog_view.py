"""Shares of the catalog as operators see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.cli.catalog_view import SHARE_COLUMNS, share_card, share_row
from controlplane.records import ShareRecord
from controlplane.rollout import Pacing, begin, stop
from tests.unit.controlplane.makers import AUTHOR, record, vms

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)
SECRET = {"volume": "v", "masters": ["m:1"], "owner": "o", "secret_key": "hush-hush"}
ROLLING = begin(record("a", vms=("vm-1",), cubefs=SECRET), record("a", vms=("vm-1",)), Pacing(), vms("vm-1"), AUTHOR.at)


def ending(after: timedelta) -> ShareRecord:
    return record("a", vms=("vm-1",), expires_at=(NOW + after).isoformat())


@pytest.mark.parametrize(
    ("item", "text"),
    [
        pytest.param(record("a"), "yes", id="for everybody"),
        pytest.param(record("a", enabled=False), "no", id="saved only"),
        pytest.param(ending(timedelta(hours=1)), "yes", id="not over yet"),
        pytest.param(ending(timedelta(0)), "expired", id="over"),
        pytest.param(ROLLING, "in waves", id="on its way"),
    ],
)
def test_a_line_says_whether_guests_have_it(item: ShareRecord, text: str) -> None:
    """In one word, seen now."""
    cells = dict(zip((column.title for column in SHARE_COLUMNS), share_row(item, now=NOW).cells, strict=True))
    assert cells["ENABLED"] == text


def test_a_card_shows_a_rollout_but_not_the_edition_before() -> None:
    """Not even with secrets shown: it is another share's card."""
    for show_secrets in (False, True):
        card = share_card(stop(ROLLING, "1 failed"), show_secrets=show_secrets)
        assert (card["rollout"]["state"], card["rollout"]["problem"]) == ("stopped", "1 failed")
        assert "hush-hush" not in str(card)
