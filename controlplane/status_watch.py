"""Watching the fleet: every report and every new list as it comes, taken up at the watcher's own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from nats.aio.msg import Msg

from controlplane.heard import Heard
from controlplane.messages import LastMessage
from controlplane.repeats import stored_subject
from controlplane.status import hear_reports, read_heard, read_wanted
from controlplane.stored import StoredMessage
from controlplane.views import VmView, build_classes_of, build_view
from controlplane.wanted import Digests, WantedList
from weft.errors import BrokerUnreachableError, SubjectError
from weft.link import Link
from weft.link.subscription import Subscription
from weft.wire.ids import ClassName, VmId
from weft.wire.subjects import LIVE_PREFIX, vm_of_subject

Classes = Mapping[ClassName, tuple[VmId, ...]]
CLASSES_AGAIN_S = 2.0
"""Who is in a class is read again at most this often, and only after some VM got a new list."""
READ_AGAIN_S = 2.0
"""After a reading that the broker did not answer."""


class StatusWatch:
    """
    The views of all VMs, kept up to date; ``async with`` it.

    Nothing is decoded before :meth:`views` is asked, so that a burst costs what its last reports cost.

    Args:
        link: Connected; a lost broker is waited for, and everything read again.
        read_classes: Reads the members of every class.
        read_mentioned: Reads the ids of VMs that the catalog mentions outside classes.
    """

    def __init__(
        self,
        link: Link,
        *,
        read_classes: Callable[[], Awaitable[Classes]],
        read_mentioned: Callable[[], Awaitable[frozenset[VmId]]],
    ) -> None:
        self._link = link
        self._read_classes = read_classes
        self._read_mentioned = read_mentioned
        self._heard: dict[VmId, Heard] = {}
        self._wanted: dict[VmId, WantedList] = {}
        self._digests = Digests()
        self._classes: Classes = {}
        self._mentioned: frozenset[VmId] = frozenset()
        self._subscriptions: list[Subscription] = []
        self._forget: Callable[[], None] | None = None
        self._news = asyncio.Event()
        self._must_read = False
        self._has_new_lists = False
        self._classes_read_s = 0.0
        self._clock_ahead_s = 0.0

    async def __aenter__(self) -> Self:
        self._subscriptions = [
            await hear_reports(self._link, self._take_report),
            await self._link.subscribe(LIVE_PREFIX + "*", self._take_list),
        ]
        self._forget = self._link.on_connected(self._read_again)
        await self._link.flush()  # from here on nothing is missed, so what is read now is only the beginning
        await self._read()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._forget is not None:
            self._forget()
        for subscription in self._subscriptions:
            await subscription.unsubscribe()

    async def wait(self, longest_s: float) -> bool:
        """Wait for news, or for *longest_s* seconds; say whether there are any."""
        try:
            async with asyncio.timeout(longest_s):
                await self._news.wait()
        except TimeoutError:
            pass  # classes may still have to be read
        has_news = self._news.is_set()
        self._news.clear()
        await self._catch_up()
        return has_news

    def views(self) -> list[VmView]:
        """Build the view of every known VM as of this moment, sorted by id."""
        now_s = self._loop_s() + self._clock_ahead_s
        classes_of = build_classes_of(self._classes)
        known = {*self._heard, *self._wanted, *classes_of, *self._mentioned}
        return [
            build_view(vm, self._heard.get(vm), self._wanted.get(vm), classes_of.get(vm, ()), now_s)
            for vm in sorted(known)
        ]

    # --- what arrives -----------------------------------------------------------------------------------------------

    async def _take_report(self, msg: Msg) -> None:
        vm = _vm_of(msg)
        if vm is None:
            return
        now_s = self._loop_s() + self._clock_ahead_s
        before = self._heard.get(vm)
        self._heard[vm] = before.followed_by(msg.data, now_s) if before is not None else Heard((msg.data,), now_s)
        self._news.set()

    async def _take_list(self, msg: Msg) -> None:
        vm = _vm_of(msg)
        if vm is None:
            return
        message = LastMessage(StoredMessage(msg.subject, 0, msg.data, 0.0))
        self._wanted[vm] = WantedList(message, self._digests)
        self._has_new_lists = True
        self._news.set()

    def _read_again(self) -> None:
        self._must_read = True
        self._news.set()

    async def _catch_up(self) -> None:
        """Read what could not be heard: all of it after a reconnect, the classes after new lists."""
        try:
            if self._must_read:
                self._must_read = False
                await self._read()
            elif self._has_new_lists and self._loop_s() - self._classes_read_s > CLASSES_AGAIN_S:
                await self._read_catalog()
        except BrokerUnreachableError:
            self._must_read = True
            asyncio.get_running_loop().call_later(READ_AGAIN_S, self._news.set)

    async def _read(self) -> None:
        self._heard, self._wanted = {}, {}  # what arrives while the rest is read
        heard, now_s = await read_heard(self._link)
        self._clock_ahead_s = now_s - self._loop_s()
        for vm, newer in self._heard.items():
            heard[vm] = heard[vm].followed_by(newer.reports[0], now_s) if vm in heard else newer
        self._heard = heard
        self._wanted = await read_wanted(self._link) | self._wanted
        await self._read_catalog()

    async def _read_catalog(self) -> None:
        self._has_new_lists = False
        self._classes_read_s = self._loop_s()
        self._classes = await self._read_classes()
        self._mentioned = await self._read_mentioned()

    @staticmethod
    def _loop_s() -> float:
        return asyncio.get_running_loop().time()


def _vm_of(msg: Msg) -> VmId | None:
    subject = stored_subject(msg.subject, msg.headers)
    try:
        return vm_of_subject(subject) if subject is not None else None
    except SubjectError:
        return None
