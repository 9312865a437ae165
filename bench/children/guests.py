"""Thousands of guests in one process: each has its own feed and inbox, as an agent has; connections are shared."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

import structlog
import uvloop

from agent.desired import Desired
from agent.feed import Feed
from agent.inbox import Inbox
from agent.stored import Arrived
from bench.children import say, standard_input
from weft.link import Link, LinkOptions
from weft.wire.ids import parse_vm_id

READ_INTERVAL_S = 3600.0


class Crowd:
    """
    Every guest of this process.

    Args:
        links: Shared among them in turn.
        vms: Their ids.
    """

    def __init__(self, links: list[Link], vms: list[str]) -> None:
        self._links = links
        self._vms = vms
        self._waiting = 0
        self._all_have_it = asyncio.Event()
        self.messages: list[tuple[str, Arrived]] = []

    def expect(self) -> None:
        """Count anew: every guest is to accept one message from here on."""
        self._waiting = len(self._vms)
        self._all_have_it.clear()
        self.messages.clear()

    async def wait(self) -> int:
        """Return the monotonic time in ns at which the last of them had."""
        await self._all_have_it.wait()
        return time.monotonic_ns()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Start every guest."""
        for number, vm in enumerate(self._vms):
            inbox = Inbox(Desired(parse_vm_id(vm)))
            link = self._links[number % len(self._links)]
            feed = Feed(link, parse_vm_id(vm), self._taker(vm, inbox), read_interval_s=READ_INTERVAL_S)
            group.create_task(feed.run())

    def _taker(self, vm: str, inbox: Inbox):  # type: ignore[no-untyped-def]
        async def take(arrived: Arrived) -> None:
            if inbox.take(arrived, now_ms=time.time_ns() // 1_000_000) is not None:
                self.messages.append((vm, arrived))
                self._waiting -= 1
                if self._waiting == 0:
                    self._all_have_it.set()

        return take

    def cost_ns(self) -> int:
        """Return what deciding about the same messages costs this process by itself, without any broker."""
        started_ns = time.monotonic_ns()
        for vm, arrived in self.messages:
            Inbox(Desired(parse_vm_id(vm))).take(arrived, now_ms=time.time_ns() // 1_000_000)
        return time.monotonic_ns() - started_ns


async def main(url: str, first: int, count: int, connections: int) -> None:
    """
    Be *count* guests; each line told makes them do something, and the answer is when all had done it.

    Args:
        url: The broker.
        first: Number of the first VM.
        count: How many.
        connections: How many connections they share.
    """
    told = await standard_input()
    links = [Link(LinkOptions(servers=(url,))) for _ in range(connections)]
    for link in links:
        await link.connect()
    crowd = Crowd(links, [f"vm-{number:05d}" for number in range(first, first + count)])
    crowd.expect()
    say("connected")
    async with asyncio.TaskGroup() as group:
        while line := (await told.readline()).decode().strip():
            match line:
                case "start":
                    await crowd.run(group)
                    say(str(await crowd.wait()))
                case "expect":
                    crowd.expect()
                    say("expecting")
                case "wait":
                    say(str(await crowd.wait()))
                case "cost":
                    say(str(crowd.cost_ns()))
        sys.exit(0)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], *(int(word) for word in sys.argv[2:])))
