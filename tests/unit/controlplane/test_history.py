"""Editions of a share."""

from __future__ import annotations

import msgspec
import pytest

from controlplane.history import build_history, changed_fields, choose_edition
from controlplane.records import Rollout, RolloutState, ShareRecord, encode_record
from controlplane.stored import StoredMessage
from tests.unit.controlplane.makers import record, share
from weft.errors import CatalogError
from weft.wire.ids import ShareId

DOCS = ShareId("docs")
FIRST = msgspec.structs.replace(record("docs", vms=("vm-1",)), updated_by="ada")
SECOND = msgspec.structs.replace(FIRST, share=share("docs", priority=2), updated_by="bob")

SPREADING = Rollout(state=RolloutState.RUNNING, waves=(50, 100), previous=FIRST)
BEGUN = msgspec.structs.replace(SECOND, rollout=SPREADING)
DONE = msgspec.structs.replace(SECOND, rollout=Rollout(state=RolloutState.DONE, waves=(50, 100), step=1))
REFRESHED = msgspec.structs.replace(SECOND, share=share("docs", priority=2, refresh=1), refreshes={"vm-1": 2})


def messages(*records: ShareRecord | bytes | None) -> list[StoredMessage]:
    texts = [b"" if item is None else item if isinstance(item, bytes) else encode_record(item) for item in records]
    return [StoredMessage("s", 10 * (n + 1), text, float(n)) for n, text in enumerate(texts)]


def test_each_edition_says_who_and_what_changed() -> None:
    """The first has nothing to differ from, an end has no author."""
    editions = build_history(messages(FIRST, SECOND, None))
    assert [(item.number, item.who, item.changed, item.is_end) for item in editions] == [
        (10, "ada", (), False),
        (20, "bob", ("priority",), False),
        (30, "", (), True),
    ]


def test_an_edition_that_cannot_be_read_is_listed_with_its_reason() -> None:
    """It hides no other."""
    broken, fine = build_history(messages(b"{}", FIRST))
    assert "share" in broken.problem
    assert (broken.is_end, fine.record) == (False, FIRST)


def test_changed_secrets_are_named_and_not_shown() -> None:
    """Only names stand there."""
    block = {"volume": "v", "masters": ["m1:17010"], "owner": "o", "secret_key": "hunter2"}
    after = msgspec.structs.replace(FIRST, share=share("docs", cubefs=block))
    assert changed_fields(FIRST, after) == ("cubefs.secret_key",)


def test_a_rollout_is_one_change() -> None:
    """What is noted of it, and the whole edition before, are not what somebody changed in the share."""
    assert changed_fields(FIRST, BEGUN) == ("priority", "rollout")
    assert changed_fields(BEGUN, DONE) == ("rollout",)


@pytest.mark.parametrize(
    ("records", "number", "expected"),
    [
        pytest.param((FIRST, SECOND), None, FIRST, id="the one before"),
        pytest.param((FIRST, SECOND, SECOND), None, FIRST, id="the last that differs"),
        pytest.param((FIRST, SECOND, None), None, SECOND, id="after its end, the last there was"),
        pytest.param((FIRST, None, SECOND), None, FIRST, id="over an end in between"),
        pytest.param((FIRST, BEGUN, DONE), None, FIRST, id="before the rollout, not a step of it"),
        pytest.param((FIRST, SECOND, REFRESHED), None, FIRST, id="before a refresh, which changes nothing"),
        pytest.param((FIRST, SECOND), 10, FIRST, id="by number"),
    ],
)
def test_the_edition_to_go_back_to(
    records: tuple[ShareRecord | None, ...], number: int | None, expected: ShareRecord
) -> None:
    """Without a number it is the last one that differs."""
    assert choose_edition(DOCS, build_history(messages(*records)), number) == expected


@pytest.mark.parametrize(
    ("records", "number", "words"),
    [
        pytest.param((FIRST,), None, "no earlier edition", id="nothing before"),
        pytest.param((FIRST, SECOND), 15, "kept are 10, 20", id="no such number"),
        pytest.param((FIRST, None), 20, "was ended there", id="its end"),
    ],
)
def test_no_edition_to_go_back_to(records: tuple[ShareRecord | None, ...], number: int | None, words: str) -> None:
    """The error says which there are."""
    with pytest.raises(CatalogError, match=words):
        choose_edition(DOCS, build_history(messages(*records)), number)
