"""Which share serves a path."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import route
from weft.wire.route import shadowed_by
from weft.wire.share import ShareMount, parse_share


def share(share_id: str, mount_point: str, priority: int = 0) -> ShareMount:
    return parse_share({"id": share_id, "mount_point": mount_point, "priority": priority, "backend": "virtiofs"})


@pytest.mark.parametrize(
    ("shares", "path", "winner"),
    [
        pytest.param([], "/mnt/a", None, id="nothing"),
        pytest.param([share("a", "/mnt/a")], "/mnt/ab", None, id="a common prefix is not a parent"),
        pytest.param([share("a", "/mnt/a")], "/mnt/a/x/y", "a", id="below"),
        pytest.param([share("a", "/mnt/a")], "/mnt", None, id="above"),
        pytest.param([share("a", "/mnt"), share("b", "/mnt/b")], "/mnt/b/x", "b", id="longest mount point"),
        pytest.param([share("a", "/mnt", 1), share("b", "/mnt/b")], "/mnt/b/x", "a", id="priority beats length"),
        pytest.param([share("b", "/mnt"), share("a", "/mnt")], "/mnt/x", "a", id="smaller id"),
    ],
)
def test_winner(shares: list[ShareMount], path: str, winner: str | None) -> None:
    """Highest priority, then longest mount point, then smallest id."""
    assert route(path, shares).winner == winner


@pytest.mark.parametrize(
    ("shares", "shadowed"),
    [
        pytest.param([share("a", "/mnt"), share("b", "/mnt/b")], {}, id="a child at equal priority is mounted"),
        pytest.param([share("a", "/mnt", 1), share("b", "/mnt/b")], {"b": "a"}, id="a higher parent shadows"),
        pytest.param([share("a", "/mnt"), share("b", "/mnt/b", 1)], {}, id="a higher child does not"),
        pytest.param([share("a", "/mnt"), share("b", "/mnt")], {"b": "a"}, id="equal: the smaller id"),
        pytest.param([share("a", "/mnt"), share("b", "/mnt", 1)], {"a": "b"}, id="same mount point: priority"),
        pytest.param(
            [share("a", "/mnt", 2), share("b", "/mnt/x", 1), share("c", "/mnt/x/y")],
            {"b": "a", "c": "a"},
            id="the best",
        ),
    ],
)
def test_shadowed(shares: list[ShareMount], shadowed: dict[str, str]) -> None:
    """A share is not mounted while a better one has its mount point or one above it."""
    assert shadowed_by(shares) == shadowed


_POINTS = ["/m", "/m/a", "/m/a/b", "/m/ab", "/n"]
_SHARES = st.lists(st.tuples(st.sampled_from(_POINTS), st.integers(0, 2)), max_size=8).map(
    lambda rows: [share(f"s{n}", point, priority) for n, (point, priority) in enumerate(rows)]
)


@given(_SHARES)
def test_unshadowed_shares_agree_with_the_kernel(shares: list[ShareMount]) -> None:
    """With the unshadowed shares mounted, the deepest mount point above a path belongs to the rule's winner."""
    hidden = shadowed_by(shares)
    mounted = [one for one in shares if one.id not in hidden]
    assert all(one.mount_point != two.mount_point for one, two in itertools.combinations(mounted, 2))
    for path in (*_POINTS, "/m/a/b/file"):
        deepest = max(
            (one for one in mounted if path == one.mount_point or path.startswith(one.mount_point + "/")),
            key=lambda one: len(one.mount_point),
            default=None,
        )
        assert route(path, shares).winner == (deepest.id if deepest else None)
