"""What entry points may offer, and what is refused."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from weft.offered import ENTRY_POINT_GROUP, load_offered
from weft.wire.blocks import BindBlock, Block, block_type


class MemoBlock(Block, frozen=True, kw_only=True):
    """Nothing."""


class Memo:
    """A good one, as far as operators are concerned."""

    name = "memo"
    block = MemoBlock


class Impostor:
    """Takes a name that is taken."""

    name = "bind"
    block = BindBlock


class Vague:
    """Has no block."""

    name = "vague"
    block = dict


def point(target: str) -> EntryPoint:
    return EntryPoint("offered", f"{__name__}:{target}", ENTRY_POINT_GROUP)


def test_an_offered_block_becomes_known() -> None:
    """Doing it again changes nothing."""
    for _ in range(2):
        offered = load_offered([point("Memo")])
        assert (list(offered.drivers), offered.problems) == (["memo"], ())
        assert block_type("memo") is MemoBlock


@pytest.mark.parametrize(
    ("target", "why"),
    [
        pytest.param("Impostor", "taken", id="a built-in's name"),
        pytest.param("Vague", "not a subclass", id="no block"),
        pytest.param("Missing", "no attribute", id="no such object"),
    ],
)
def test_a_bad_offer_is_a_sentence_and_harms_no_other(target: str, why: str) -> None:
    """The good one beside it is loaded."""
    offered = load_offered([point(target), point("Memo")])
    assert list(offered.drivers) == ["memo"]
    assert len(offered.problems) == 1
    assert why in offered.problems[0]
