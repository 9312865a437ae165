"""What is told about the share that serves a path."""

from __future__ import annotations

import msgspec
import pytest

from tests.parts.shares import bind
from weft.wire.answer import RouteAnswer, Seen, build_answer, describe
from weft.wire.status import ShareState

BASE = bind("base", "/mnt/a")
DOCS = bind("docs", "/mnt/a/docs")
LOUD = bind("loud", "/mnt/a", priority=5)
UP = {"base": Seen("/mnt/a", ShareState.MOUNTED, is_there=True)}


def test_a_mounted_winner_needs_one_line() -> None:
    """Nothing is to explain where only one share is in question and it is there."""
    answer = build_answer("/mnt/a/file", [BASE, DOCS], UP)
    assert (answer.winner, answer.shown_by, answer.state) == ("base", "base", ShareState.MOUNTED)
    assert describe(answer) == ["/mnt/a/file: share base, because /mnt/a is the only mount point at or above it"]


def test_a_failed_winner_is_named_with_what_is_there_instead() -> None:
    """A failed share still wins by the rule; the guest shows the share below it."""
    seen = UP | {"docs": Seen("/mnt/a/docs", ShareState.BACKOFF, is_there=False, why="cannot reach it")}
    answer = build_answer("/mnt/a/docs/x", [BASE, DOCS], seen)
    assert (answer.winner, answer.shown_by) == ("docs", "base")
    assert describe(answer) == [
        "/mnt/a/docs/x: share docs, because /mnt/a/docs is the longest mount point at or above it",
        "docs is backoff (cannot reach it); until it is mounted, a look there finds share base",
        "  docs  /mnt/a/docs  priority 0  backoff (cannot reach it)",
        "  base  /mnt/a       priority 0  mounted",
    ]


def test_a_shadowed_share_is_listed_as_such() -> None:
    """The higher priority wins, also against a longer mount point."""
    seen = {
        "loud": Seen("/mnt/a", ShareState.MOUNTED, is_there=True),
        "docs": Seen("/mnt/a/docs", ShareState.SHADOWED, is_there=False),
    }
    answer = build_answer("/mnt/a/docs", [LOUD, DOCS], seen)
    assert (answer.winner, answer.shown_by) == ("loud", "loud")
    assert describe(answer)[-1] == "  docs  /mnt/a/docs  priority 0  shadowed"


@pytest.mark.parametrize("state", [ShareState.HELD, ShareState.EXPIRED, ShareState.REJECTED])
def test_a_share_out_of_play_wins_nothing(state: ShareState) -> None:
    """It is named aside, and the next one serves the path."""
    seen = UP | {"docs": Seen("/mnt/a/docs", state, is_there=False)}
    answer = build_answer("/mnt/a/docs", [BASE, DOCS], seen)
    assert answer.winner == "base"
    assert [each.id for each in answer.aside] == ["docs"]


def test_a_guest_that_says_nothing_is_no_proof() -> None:
    """Without a report, nothing is known to be mounted."""
    answer = build_answer("/mnt/a", [BASE], {})
    assert (answer.winner, answer.state, answer.shown_by) == ("base", None, None)
    assert describe(answer)[1].startswith("base is not reported by the guest;")


def test_a_share_that_only_the_guest_has_is_named() -> None:
    """It serves nothing by the rule, and still is what a look finds."""
    answer = build_answer("/mnt/a/x", [], UP)
    assert (answer.winner, answer.shown_by) == (None, "base")
    assert describe(answer) == [
        "/mnt/a/x: no share is mounted at or above /mnt/a/x",
        "a look there still finds share base",
        "  base  /mnt/a  not wanted  mounted",
    ]


def test_an_answer_survives_the_control_socket() -> None:
    """Plain values and back."""
    answer = build_answer("/mnt/a/docs", [BASE, DOCS], UP)
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(answer)), RouteAnswer) == answer
