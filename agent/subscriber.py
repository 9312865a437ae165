"""The Subscriber: keep calling an ApplyFunc until what one VM should have is true, for any program that has one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from nats.aio.client import Client

from agent.apply import ApplyFunc
from agent.clock import Clock
from agent.desired import Desired
from agent.feed import READ_INTERVAL_S, Feed
from agent.inbox import Inbox
from agent.reconcile.live import LiveShare, Presence
from agent.reconcile.reconciler import Progress, Reconciler
from agent.stored import Arrived
from weft.link import Link, LinkState
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId, parse_vm_id
from weft.wire.share import ShareMount
from weft.wire.status import Mode


class Applied:
    """What an ApplyFunc has been told successfully: the actual state, as far as a program without an engine knows."""

    def __init__(self, apply: ApplyFunc) -> None:
        self._apply = apply
        self._live: dict[ShareId, LiveShare] = {}
        self._seen_gone: set[ShareId] = set()

    async def apply(self, share: ShareMount) -> None:
        """Pass *share* on and remember that it was done."""
        await self._apply(share)
        if share.is_unmount:
            self._live.pop(share.share_id, None)
            self._seen_gone.add(share.share_id)
        else:
            self._live[share.share_id] = LiveShare(share, share_digest(share))
            self._seen_gone.discard(share.share_id)

    def expect_gone(self, share: ShareMount) -> None:
        """Note that *share* is told to go; an earlier run of the program may have mounted it."""
        if share.share_id not in self._live and share.share_id not in self._seen_gone:
            self._live[share.share_id] = LiveShare(share, "", Presence.UNCERTAIN)

    def observe(self) -> Mapping[ShareId, LiveShare]:
        """Return what stands."""
        return self._live


class Subscriber:
    """
    Follow one VM's desired state and apply it: ``async with Subscriber(nc, vm, apply): …``.

    Shares are applied concurrently, parents before children; what leaves the list is unmounted; what fails is tried
    again. Nothing is written to disk: after a restart everything is applied anew.

    Args:
        broker: A connected client, which stays the caller's, or a link.
        vm: Whose state.
        apply: Mounts or unmounts one share.
        may_create_stream: Whether to create a missing stream (development only).
        read_interval_s: Seconds between reads of the stored message.
        clock: Time, for tests.
    """

    def __init__(
        self,
        broker: Client | Link,
        vm: str,
        apply: ApplyFunc,
        *,
        may_create_stream: bool = False,
        read_interval_s: float = READ_INTERVAL_S,
        clock: Clock | None = None,
    ) -> None:
        self._link = broker if isinstance(broker, Link) else Link.over(broker)
        self._is_own_link = not isinstance(broker, Link)
        self._applied = Applied(apply)
        desired = Desired(parse_vm_id(vm))
        self._inbox = Inbox(desired)
        self._reconciler = Reconciler(desired, observe=self._applied.observe, apply=self._applied.apply, clock=clock)
        self._feed = Feed(
            self._link,
            desired.vm,
            self._take,
            may_create_stream=may_create_stream,
            read_interval_s=read_interval_s,
        )
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def mode(self) -> Mode:
        """How the control plane is heard."""
        return self._feed.mode

    @property
    def problem(self) -> str | None:
        """Why the newest message is not obeyed, or cannot be read; None while all is well."""
        return self._inbox.problem_text or self._feed.problem

    @property
    def desired(self) -> Desired:
        """What is held."""
        return self._inbox.desired

    @property
    def progress(self) -> Progress:
        """Where every share stands."""
        return self._reconciler.progress

    async def read_now(self) -> None:
        """Read the stored message instead of waiting for the interval, and return when that was done."""
        await self._feed.read_now()

    def retry(self) -> None:
        """Try everything that failed now, also what failed permanently."""
        self._reconciler.retry()

    async def wait_settled(self) -> None:
        """Wait until everything is as it should be, or has failed permanently; bounded by the caller."""
        await self._reconciler.wait_for(lambda progress: progress.is_settled)

    async def __aenter__(self) -> Self:
        """Start, and return once the stored message was read or found to be out of reach."""
        self._tasks = [
            asyncio.create_task(self._reconciler.run(), name="weft-reconciler"),
            asyncio.create_task(self._feed.run(), name="weft-feed"),
        ]
        if self._link.state is LinkState.CONNECTED:
            first_read = asyncio.create_task(self._feed.read_now())
            await asyncio.wait([first_read, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            first_read.cancel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; mounts stay as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._is_own_link:
            await self._link.close()

    async def _take(self, arrived: Arrived) -> None:
        accepted = self._inbox.take(arrived, now_ms=time.time_ns() // 1_000_000)
        if accepted is None:
            return
        for share in accepted.dismissals:
            self._applied.expect_gone(share)
        self._reconciler.want(accepted.desired)
