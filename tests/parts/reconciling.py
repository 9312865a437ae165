"""A reconciler over a real engine: what a guest does with a list of shares, without broker or ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from agent.clock import Clock
from agent.desired import Desired, Entry, Origin
from agent.mounts.engine import MountEngine
from agent.reconcile.live import LiveShare
from agent.reconcile.reconciler import Progress, Reconciler
from tests.parts.engine_rig import EngineRig
from weft.errors import MountError
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount
from weft.wire.status import ShareState

DEADLINE_S = 30.0


class Guest:
    """
    A guest that follows whole lists.

    Args:
        engine: Mounts.
        clock: Time, where it is not to be the machine's.
    """

    def __init__(self, engine: MountEngine, clock: Clock | None = None) -> None:
        self.engine = engine
        self.reconciler = Reconciler(
            _desire(), observe=self._observe, apply=engine.apply, check=engine.check, clock=clock, jitter=lambda: 0.0
        )

    def want(self, *shares: ShareMount) -> None:
        """Hold a new list from now on."""
        self.reconciler.want(_desire(*shares))

    async def settle(self, *shares: ShareMount) -> dict[str, ShareState]:
        """Hold a new list, wait until there is nothing left to do, and return where every share stands."""
        self.want(*shares)
        await self.until(lambda progress: progress.is_settled)
        return self.states()

    async def until(self, is_reached: Callable[[Progress], bool]) -> None:
        """Wait until the guest stands as *is_reached* wants it."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.reconciler.wait_for(is_reached)
        except TimeoutError:
            raise AssertionError(f"the guest got stuck: {self.reconciler.progress.standings}") from None

    async def until_states(self, **states: str) -> None:
        """Wait until the shares are exactly in these states."""
        await self.until(lambda _: self.states() == states)

    def states(self) -> dict[str, ShareState]:
        """Return where every share stands."""
        return {name: standing.state for name, standing in self.reconciler.progress.standings.items()}

    def _observe(self) -> Mapping[ShareId, LiveShare]:
        return {
            share_id: LiveShare(mount.share, mount.digest, self.engine.presence(share_id))
            for share_id, mount in self.engine.mounted().items()
        }


@asynccontextmanager
async def guest_on(
    rig: EngineRig, *, found: Sequence[ShareMount] = (), clock: Clock | None = None
) -> AsyncIterator[Guest]:
    """
    Run a guest on *rig*; leaving unmounts everything it has.

    Args:
        rig: What it is made of.
        found: What it wants at its start, where an earlier guest on *rig* may have left it.
        clock: Time, where it is not to be the machine's.
    """
    listeners: list[Callable[[ShareId, MountError | None], None]] = []
    async with rig.engine(also_tell=lambda *loss: [listener(*loss) for listener in listeners]) as engine:
        guest = Guest(engine, clock)
        listeners.append(guest.reconciler.ail)
        guest.want(*found)
        await engine.adopt({share.share_id: share for share in found})
        work = asyncio.create_task(guest.reconciler.run())
        try:
            yield guest
            await guest.settle()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


def _desire(*shares: ShareMount) -> Desired:
    entries = {share.share_id: Entry.of(share, Origin.SET) for share in shares}
    return Desired(VmId("vm-7"), revision=1, shares=entries, is_complete=True)
