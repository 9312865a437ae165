"""The watcher sees real mounts come and go, at once and without asking."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.mounts.mountinfo import MountTable
from agent.mounts.table import MountTableWatcher
from tests.integration.mounts.conftest import MountTmpfs, unmount_by_hand

pytestmark = pytest.mark.integration


async def test_a_mount_and_its_end_are_seen_without_asking(
    table: MountTableWatcher, place: Path, mount_tmpfs: MountTmpfs
) -> None:
    """The kernel's event alone brings the table up to date: the waiting task asks only once, before the change."""
    path = str(place / "a")
    waiting = asyncio.create_task(table.wait_for(lambda seen: seen.top_at(path), deadline_s=5))
    await asyncio.sleep(0)
    entry = mount_tmpfs("a")
    assert await waiting == entry
    assert table.current.top_at(path) == entry

    gone = asyncio.create_task(table.wait_for(lambda seen: not seen.at(path) or None, deadline_s=5))
    await asyncio.sleep(0)
    unmount_by_hand(path)
    await gone
    assert table.current.top_at(path) is None


async def test_each_change_is_told_and_nothing_else(
    table: MountTableWatcher, place: Path, mount_tmpfs: MountTmpfs
) -> None:
    """A subscriber gets every new table, and none after it has left."""
    path = str(place / "a")
    seen: list[int] = []
    arrived: asyncio.Queue[int] = asyncio.Queue()

    def count(now: MountTable) -> None:
        seen.append(len(now.at(path)))
        arrived.put_nowait(seen[-1])

    unsubscribe = table.subscribe(count)
    async with asyncio.timeout(5):
        mount_tmpfs("a")
        while await arrived.get() != 1:
            pass
        mount_tmpfs("a")
        while await arrived.get() != 2:
            pass
    table.refresh()
    unsubscribe()
    told = len(seen)
    unmount_by_hand(path)
    await table.wait_for(lambda now: len(now.at(path)) == 1 or None, deadline_s=5)
    assert len(seen) == told


async def test_what_is_true_already_needs_no_event(
    table: MountTableWatcher, place: Path, mount_tmpfs: MountTmpfs
) -> None:
    """A mount made just before the wait, whose event the loop has not heard of, ends it at once."""
    entry = mount_tmpfs("a")
    assert table.current.top_at(entry.mount_point) is None
    assert await table.wait_for(lambda seen: seen.top_at(entry.mount_point), deadline_s=0.001) == entry


async def test_a_wait_ends_at_its_deadline(table: MountTableWatcher) -> None:
    """What does not come is a TimeoutError, and the watcher goes on."""
    with pytest.raises(TimeoutError):
        await table.wait_for(lambda seen: None, deadline_s=0.02)
    assert table.refresh().holding("/").mount_point == "/"


async def test_many_changes_at_once_end_in_the_true_table(table: MountTableWatcher, place: Path) -> None:
    """However the events of forty mounts coalesce, the last table holds all of them."""
    names = [str(place / f"m{number}") for number in range(40)]
    script = "\n".join(f"mkdir '{name}' && mount -t tmpfs weft:x:1 '{name}'" for name in names)
    process = await asyncio.create_subprocess_exec("sh", "-ec", script)
    found = await table.wait_for(lambda seen: len(seen.below(str(place))) == 40 or None, deadline_s=20)
    assert found
    assert await process.wait() == 0
    assert {entry.mount_point for entry in table.current.below(str(place))} == set(names)


async def test_a_change_while_the_watch_begins_is_seen(
    place: Path, mount_tmpfs: MountTmpfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that mounts at once must not be waited for until its deadline."""
    loop = asyncio.get_running_loop()
    add_reader = loop.add_reader

    def mount_first(*arguments: Any) -> None:
        mount_tmpfs("a")
        add_reader(*arguments)

    monkeypatch.setattr(loop, "add_reader", mount_first)
    with MountTableWatcher() as table:
        monkeypatch.undo()
        changed = asyncio.Event()
        table.subscribe(lambda _: changed.set())
        if table.current.top_at(str(place / "a")) is None:
            async with asyncio.timeout(5):
                await changed.wait()
        assert table.current.top_at(str(place / "a")) is not None
