"""The fault sweep: call N of the engine fails, for each N until a run meets no fault, and all is well at rest."""

from __future__ import annotations

import errno
import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes import slate_client
from tests.fakes.clock import HastyClock
from tests.faults.strikes import Strike, StruckDriver, StruckWalker
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from tests.parts.leftovers import find_leftovers, remove_leftovers
from tests.parts.reconciling import Guest, guest_on
from tests.parts.shares import bind
from weft.errors import ErrorCode, HungError, MountError, PathError
from weft.wire.share import ShareMount
from weft.wire.status import ShareState

pytestmark = [pytest.mark.integration, pytest.mark.sweep]

ENOUGH = 200
"""More calls than any run makes; a sweep that comes so far would never end."""

HASTE = 20.0


def refused() -> None:
    """Fail as a disk that cannot be read."""
    raise PathError("cannot look: input/output error", errno=errno.EIO, code=ErrorCode.INTERNAL)


def lost() -> None:
    """Fail as a helper that was killed."""
    raise MountError("cannot look: its helper process was lost", code=ErrorCode.INTERNAL)


def hung() -> None:
    """Fail as a mount that does not answer in time."""
    raise HungError("cannot look: no answer")


HITS = (refused, lost, hung)
"""Each call meets one of them in turn: all three at each call would take three times as long."""


@asynccontextmanager
async def struck_rig(strike: Strike) -> AsyncIterator[EngineRig]:
    """Make a guest whose engine is hit, and leave nothing of it."""
    with tempfile.TemporaryDirectory(prefix="wsw-", ignore_cleanup_errors=True) as directory:
        try:
            async with engine_rig(Path(directory)) as rig:
                rig.driver = StruckDriver(strike, is_fatal=False)
                rig.walker = StruckWalker.around(rig.walker, strike)
                yield rig
        finally:
            remove_leftovers(Path(directory))


def clients_of(rig: EngineRig) -> int:
    """Count the clients that run."""
    return sum(slate_client.__file__ in command for _, command in find_leftovers(rig.directory).processes)


async def reach(rig: EngineRig, guest: Guest, *shares: ShareMount) -> None:
    """Publish a list, and see it come true: one mount on each place, one client for each that needs one, no more."""
    states = await guest.settle(*shares)
    if ShareState.FAILED in states.values():
        guest.reconciler.retry()  # what looked permanent waits for somebody who says that it is mended
    await guest.until_states(**{share.id: "mounted" for share in shares})
    mount_points = sorted(path for path in find_leftovers(rig.directory).mount_points)
    assert mount_points == sorted(share.mount_point for share in shares)
    assert clients_of(rig) == sum(share.backend == "slate" for share in shares)
    for share in shares:
        assert (Path(share.mount_point) / ("hello" if share.backend == "slate" else "sign")).exists()


async def live_a_life(rig: EngineRig) -> None:
    """Mount a parent and a child, replace both, lose the client, bring in a share above, and give all of it back."""
    for name in ("one", "two"):
        (rig.sources / name).mkdir()
        (rig.sources / name / "sign").write_text(name)
    parent, inside = rig.root / "top" / "a", rig.root / "top" / "a" / "below"
    child = bind("b", str(inside), source=str(rig.sources / "one"))
    async with guest_on(rig, clock=HastyClock(HASTE)) as guest:
        await reach(rig, guest, slate("a", parent), child)
        await reach(rig, guest, slate("a", parent, page="2"), child)
        rig.changes.clear()
        rig.kill_client("a")
        await rig.wait_for_change(lambda error: error is not None)
        await reach(rig, guest, slate("a", parent, page="2"), bind("b", str(inside), source=str(rig.sources / "two")))
        await reach(rig, guest)
    assert rig.private_files() == []
    assert rig.live.mounts == {}


@pytest.mark.parametrize("is_late", [pytest.param(False, id="before"), pytest.param(True, id="after")])
async def test_whatever_call_fails_all_is_well_at_rest(is_late: bool) -> None:
    """One call fails, before or after its work is done; nothing is stacked, orphaned, lost or left over."""
    struck: list[str] = []
    for number, hit in zip(range(1, ENOUGH), itertools.cycle(HITS), strict=False):
        strike = Strike(number, hit, is_late=is_late)
        async with struck_rig(strike) as rig:
            try:
                await live_a_life(rig)
            except AssertionError as exc:
                raise AssertionError(f"after {hit.__name__} in {strike.struck}: {exc}") from exc
        if strike.struck is None:
            break
        struck.append(strike.struck)
    assert 20 < len(struck) < ENOUGH - 2, struck
