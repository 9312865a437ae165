"""The rule for overlapping shares against the kernel: bind mounts, and a look at every path."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.parts.engine_rig import EngineRig, engine_rig
from tests.parts.leftovers import remove_leftovers
from tests.parts.reconciling import guest_on
from tests.parts.shares import bind
from weft.wire.route import route, shadowed_by
from weft.wire.status import ShareState

pytestmark = pytest.mark.integration

NAMES = ("ash", "birch", "cedar", "doum", "elm")
PATHS = ["/".join(parts) for depth in (1, 2, 3) for parts in itertools.product("ab", repeat=depth)]
MARKER = "served-by"

Wish = tuple[str, str, int]
"""Id, mount point below the root, priority."""

WISHES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(PATHS), st.integers(0, 2)),
    max_size=len(NAMES),
    unique_by=lambda wish: wish[0],
)


def make_sources(rig: EngineRig) -> None:
    """Give every share a source with every directory that another share may be mounted on, and its name in each."""
    for name in NAMES:
        for path in ("", *PATHS):
            directory = rig.sources / name / path
            directory.mkdir(parents=True, exist_ok=True)
            (directory / MARKER).write_text(name)


def look(directory: Path) -> str | None:
    """Return which source the kernel shows there."""
    marker = directory / MARKER
    return marker.read_text() if marker.is_file() else None


async def follow(directory: Path, lists: Sequence[Sequence[Wish]]) -> None:
    """Have a guest follow *lists*, and compare rule and kernel after each."""
    async with engine_rig(directory) as rig:
        make_sources(rig)
        async with guest_on(rig) as guest:
            for wishes in lists:
                shares = [
                    bind(name, str(rig.root / path), source=str(rig.sources / name), priority=priority)
                    for name, path, priority in wishes
                ]
                states = await guest.settle(*shares)
                shadowed = shadowed_by(shares)
                assert states == {
                    share.id: ShareState.SHADOWED if share.id in shadowed else ShareState.MOUNTED for share in shares
                }, guest.reconciler.progress.standings
                for path in ("", *PATHS):
                    asked = str(rig.root / path).rstrip("/")
                    assert look(Path(asked)) == route(asked, shares).winner, (asked, shares)
        assert list(rig.root.iterdir()) == [], "directories that were made for mount points stay behind"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(WISHES, min_size=1, max_size=3))
def test_the_kernel_shows_what_the_rule_says(tmp_path: Path, lists: list[list[Wish]]) -> None:
    """For every path, the file that is found there is the winner's: at first, and after any change of the list."""
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    try:
        asyncio.run(follow(directory, lists))
    finally:
        remove_leftovers(directory)


@pytest.mark.parametrize(
    "lists",
    [
        pytest.param([[("ash", "a", 0), ("birch", "a/b", 0)], [("ash", "a", 1), ("birch", "a/b", 0)]], id="raised"),
        pytest.param([[("ash", "a", 1), ("birch", "a/b", 0)], [("birch", "a/b", 0)]], id="winner removed"),
        pytest.param([[("birch", "a/b/a", 0)], [("ash", "a", 0), ("birch", "a/b/a", 0)]], id="parent added"),
        pytest.param([[("ash", "a", 0), ("birch", "a", 0)], [("ash", "a", 0), ("birch", "a", 1)]], id="same place"),
        pytest.param(
            [
                [("ash", "a", 0), ("birch", "a/b/a", 0)],
                [("ash", "a", 0), ("birch", "a/b/a", 0), ("cedar", "a/b", 0)],
                [("birch", "a/b/a", 0), ("cedar", "a/b", 0)],
            ],
            id="between two, and then without the outermost",
        ),
    ],
)
async def test_a_change_of_the_list_reaches_every_path(tmp_path: Path, lists: list[list[Wish]]) -> None:
    """The same for changes that are easy to get wrong."""
    await follow(tmp_path / "guest", lists)
