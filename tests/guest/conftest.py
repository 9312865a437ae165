"""Guests for tests: a bridge and an installed template per run, a fleet per test, its journals when the test fails."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.guest.fleet import RUN, Fleet
from tests.guest.network import make_bridge, remove_bridge
from tests.guest.nspawn import GuestCommandError
from tests.guest.outside import FolderServer, Outside, standing_outside
from tests.guest.rootfs import cache_directory, rootfs_path
from tests.guest.template import WHEELS, install, seal
from tests.guest.wheelhouse import build_wheel, dependencies_path

FLEET = pytest.StashKey[Fleet]()
JOURNAL_LINES = "80"


@pytest.fixture(scope="session")
def bridge() -> Iterator[None]:
    """The network that the guests of this run share."""
    assert os.environ.get(RUN), "guests are booted by `make test-guest`, which gives them namespaces"
    make_bridge()
    yield
    remove_bridge()


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers for guests."""
    return itertools.count(1)


@pytest.fixture(scope="session")
def bare_layers() -> tuple[Path, ...]:
    """The files of a Debian machine that knows nothing of weft."""
    return (rootfs_path(cache_directory()),)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installed_layers(
    bridge: None, bare_layers: tuple[Path, ...], numbers: Iterator[int], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ...]:
    """The files of a machine in which an operator installed weft from this checkout."""
    directory = tmp_path_factory.mktemp("template")
    wheels = build_wheel(directory / "build", dependencies=dependencies_path(cache_directory()))
    fleet = Fleet(layers=bare_layers, directory=directory, numbers=numbers)
    try:
        guest = await fleet.add("template", shown={WHEELS: wheels})
        await guest.boot()
        try:
            await install(guest)
        except GuestCommandError as exc:
            exc.add_note(guest.journal("-n", JOURNAL_LINES))
            raise
        return (await seal(guest), *bare_layers)
    finally:
        await fleet.close()


@pytest.fixture
async def bare_fleet(
    bridge: None,
    bare_layers: tuple[Path, ...],
    numbers: Iterator[int],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Fleet]:
    """Machines without weft."""
    fleet = request.node.stash[FLEET] = Fleet(layers=bare_layers, directory=tmp_path, numbers=numbers)
    yield fleet
    await fleet.close()


@pytest.fixture
async def fleet(
    installed_layers: tuple[Path, ...], numbers: Iterator[int], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Fleet]:
    """Machines with weft."""
    fleet = request.node.stash[FLEET] = Fleet(layers=installed_layers, directory=tmp_path, numbers=numbers)
    yield fleet
    await fleet.close()


@pytest.fixture
async def outside(bridge: None, tmp_path: Path) -> AsyncIterator[Outside]:
    """Broker, control plane and reports, where guests can reach them."""
    async with standing_outside(tmp_path) as outside:
        yield outside


@pytest.fixture
async def folder(bridge: None, tmp_path: Path) -> AsyncIterator[FolderServer]:
    """A WebDAV server that guests can reach, with one file in it."""
    async with FolderServer.webdav(tmp_path) as server:
        (server.root / "lesson.txt").write_text("read me")
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the journals of the test's guests to a failure."""
    report = yield
    fleet = item.stash.get(FLEET, None)
    if report.failed and fleet is not None:
        for guest in fleet.guests:
            report.sections.append(
                (f"journal of {guest.name}", guest.journal("--output=short-monotonic", "-n", JOURNAL_LINES))
            )
    return report
