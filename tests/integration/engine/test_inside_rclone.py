"""Shares mounted inside rclone mounts: order, loss and return of the parent, refresh."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.rclone import RcloneDriver
from agent.mounts.mountinfo import MountEntry
from agent.mounts.parts import Limits
from tests.parts.engine_rig import EngineRig
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from tests.parts.reconciling import Guest, guest_on
from tests.parts.shares import bind
from weft.errors import ErrorCode
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

INNER = "nested/inner"


@pytest.fixture(params=["webdav", "sftp"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RcloneServer]:
    """A server with a folder for the parent and one for a child."""
    make = {"webdav": RcloneServer.webdav, "sftp": RcloneServer.sftp}[request.param]
    async with make(tmp_path) as running:
        for name in ("outer", "other"):
            (running.root / name).mkdir()
            (running.root / name / "served-by").write_text(name)
        yield running


@pytest.fixture
async def guest(rig: EngineRig) -> AsyncIterator[Guest]:
    """A guest that can mount rclone remotes and directories."""
    rig.limits = Limits(busy_s=0.5, drain_s=5)
    rig.more_drivers = {"rclone": RcloneDriver(allow_types=frozenset({"local"}))}
    rig.more_programs = {"rclone": Path(rclone_binary()), "fusermount3": Path("/usr/bin/fusermount3")}
    (rig.sources / "local").mkdir()
    (rig.sources / "local" / "served-by").write_text("local")
    async with guest_on(rig) as running:
        yield running


def remote(rig: EngineRig, server: RcloneServer, share_id: str, at: str, path: str, **fields: Any) -> ShareMount:
    options = dict(server.config)
    block = {"type": options.pop("type"), "path": path, "config": options, "options": {"vfs-write-back": "100ms"}}
    return parse_share(
        {"id": share_id, "backend": "rclone", "mount_point": str(rig.root / at), "rclone": block, **fields}
    )


def children(rig: EngineRig, server: RcloneServer) -> dict[str, tuple[ShareMount, str]]:
    """Return a child of each kind, and what is found in it."""
    return {
        "bind": (bind("inner", str(rig.root / "a" / INNER), source=str(rig.sources / "local")), "local"),
        "rclone": (remote(rig, server, "inner", f"a/{INNER}", "other"), "other"),
    }


async def read(path: Path) -> str:
    """Read a file away from the loop: its client may be gone."""
    async with asyncio.timeout(10):
        return await asyncio.to_thread(path.read_text)


def visible_at(rig: EngineRig, path: str) -> list[MountEntry]:
    return list(rig.entries_at(rig.root / path))


@pytest.mark.parametrize("kind", ["bind", "rclone"])
async def test_a_child_goes_and_comes_with_its_rclone_parent(
    rig: EngineRig, guest: Guest, server: RcloneServer, kind: str
) -> None:
    """When the parent's client dies, both come back, the child inside the new parent."""
    parent = remote(rig, server, "outer", "a", "outer")
    child, content = children(rig, server)[kind]
    assert await guest.settle(parent, child) == {"outer": "mounted", "inner": "mounted"}
    rig.kill_client("outer")
    await rig.wait_for_change(lambda error: error is not None)
    await guest.until_states(outer="mounted", inner="mounted")
    assert await read(rig.root / "a" / "served-by") == "outer"
    assert await read(rig.root / "a" / INNER / "served-by") == content
    assert [len(visible_at(rig, path)) for path in ("a", f"a/{INNER}")] == [1, 1], "nothing is stacked"


@pytest.mark.parametrize("kind", ["bind", "rclone"])
async def test_a_parent_that_comes_later_gets_below_its_child(
    rig: EngineRig, guest: Guest, server: RcloneServer, kind: str
) -> None:
    """The child goes down, the parent comes, the child returns inside it."""
    child, content = children(rig, server)[kind]
    await guest.settle(child)
    await guest.settle(remote(rig, server, "outer", "a", "outer"), child)
    await guest.until_states(outer="mounted", inner="mounted")
    assert await read(rig.root / "a" / "served-by") == "outer"
    assert await read(rig.root / "a" / INNER / "served-by") == content


@pytest.mark.parametrize("kind", ["bind", "rclone"])
async def test_a_refresh_of_the_parent_keeps_the_child(
    rig: EngineRig, guest: Guest, server: RcloneServer, kind: str
) -> None:
    """New content shows, also next to the child's mount point, and nothing is mounted anew."""
    parent = remote(rig, server, "outer", "a", "outer", cache={"ttl_s": 3600})
    child, content = children(rig, server)[kind]
    await guest.settle(parent, child)
    nested = rig.root / "a" / "nested"
    assert await asyncio.to_thread(os.listdir, nested) == ["inner"]
    mounted = [entry.mount_id for path in ("a", f"a/{INNER}") for entry in visible_at(rig, path)]
    (server.root / "outer" / "nested" / "new").write_text("new")
    refreshed = remote(rig, server, "outer", "a", "outer", cache={"ttl_s": 3600}, refresh=1)
    assert await guest.settle(refreshed, child) == {"outer": "mounted", "inner": "mounted"}
    assert await read(nested / "new") == "new"
    assert await read(rig.root / "a" / INNER / "served-by") == content
    assert [entry.mount_id for path in ("a", f"a/{INNER}") for entry in visible_at(rig, path)] == mounted


async def test_everything_goes_under_a_parent_that_hangs(rig: EngineRig, guest: Guest, server: RcloneServer) -> None:
    """A stopped client answers nothing: parent and child are detached together, nobody waits for the child."""
    parent = remote(rig, server, "outer", "a", "outer")
    child, _ = children(rig, server)["bind"]
    await guest.settle(parent, child)
    pid = rig.pid_of("outer")
    os.kill(pid, signal.SIGSTOP)
    assert await guest.settle() == {}
    assert visible_at(rig, "a") == visible_at(rig, f"a/{INNER}") == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_child_of_a_parent_that_hung_is_rebuilt(rig: EngineRig, guest: Guest, server: RcloneServer) -> None:
    """A changed parent takes the place of a hung one, with its child."""
    child, content = children(rig, server)["bind"]
    await guest.settle(remote(rig, server, "outer", "a", "outer"), child)
    rig.stop_client("outer")
    await guest.settle(remote(rig, server, "outer", "a", "other"), child)
    await guest.until_states(outer="mounted", inner="mounted")
    assert await read(rig.root / "a" / "served-by") == "other"
    assert await read(rig.root / "a" / INNER / "served-by") == content


async def test_a_read_only_parent_without_the_directory_is_named(
    rig: EngineRig, guest: Guest, server: RcloneServer
) -> None:
    """What cannot be made is not found, and the sentence says in which share."""
    parent = remote(rig, server, "outer", "a", "outer", readonly=True)
    child, _ = children(rig, server)["bind"]
    guest.want(parent, child)
    await guest.until(
        lambda progress: "inner" in progress.standings and progress.standings[ShareId("inner")].fault is not None
    )
    fault = guest.reconciler.progress.standings[ShareId("inner")].fault
    assert fault is not None
    assert fault.code is ErrorCode.NOT_FOUND
    assert "outer" in fault.message
    (server.root / "outer" / INNER).mkdir(parents=True)
    await guest.settle(remote(rig, server, "outer", "a", "outer", readonly=True, refresh=1), child)
    guest.reconciler.retry()
    await guest.until_states(outer="mounted", inner="mounted")


async def test_directories_made_in_a_parent_stay_in_it(rig: EngineRig, guest: Guest, server: RcloneServer) -> None:
    """Another guest may have its child mounted there: removing the directory would take that away."""
    parent = remote(rig, server, "outer", "a", "outer")
    child, _ = children(rig, server)["bind"]
    await guest.settle(parent, child)
    await guest.settle(parent)
    await guest.settle()
    assert (server.root / "outer" / INNER).is_dir()
