"""The same sweep for the agent's own death: it ends at call N, for each N, and the next agent makes all well."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fakes import slate_client
from tests.faults.short_lives import KILLED, live, remembered
from tests.parts.engine_rig import slate
from tests.parts.leftovers import find_leftovers, remove_leftovers
from tests.parts.shares import bind
from weft.wire.share import ShareMount

pytestmark = [pytest.mark.integration, pytest.mark.sweep]

ENOUGH = 200
"""More calls than any life makes."""


@contextmanager
def guest_directory() -> Iterator[Path]:
    """Make the directory of a guest, and leave nothing of it."""
    with tempfile.TemporaryDirectory(prefix="wsd-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        for source in ("one", "two"):
            (directory / "sources" / source).mkdir(parents=True)
            (directory / "sources" / source / "sign").write_text(source)
        (directory / "shares").mkdir()
        try:
            yield directory
        finally:
            remove_leftovers(directory)


def lists_in(directory: Path) -> tuple[list[ShareMount], list[ShareMount]]:
    """Build what is wanted first, and then: a parent and a child in it, both replaced, and one that goes."""
    parent, sources = directory / "shares" / "top" / "a", directory / "sources"
    inside, other = parent / "below", directory / "shares" / "c"
    first = [
        slate("a", parent),
        bind("b", str(inside), source=str(sources / "one")),
        bind("c", str(other), source=str(sources / "one")),
    ]
    return first, [slate("a", parent, page="2"), bind("b", str(inside), source=str(sources / "two"))]


def clients_in(directory: Path) -> list[int]:
    """List the clients that run."""
    return [pid for pid, command in find_leftovers(directory).processes if slate_client.__file__ in command]


def judge(directory: Path, shares: list[ShareMount]) -> None:
    """See one mount on each place, one client for each share that needs one, each known to the ledger, and no more."""
    assert sorted(find_leftovers(directory).mount_points) == sorted(share.mount_point for share in shares)
    for share in shares:
        sign = "hello" if share.backend == "slate" else "sign"
        assert (Path(share.mount_point) / sign).exists()
    known = remembered(directory)
    assert set(known) == {share.share_id for share in shares}
    assert clients_in(directory) == [pid for pid in known.values() if pid is not None]


@pytest.mark.parametrize("is_alone", [pytest.param(True, id="alone"), pytest.param(False, id="with its clients")])
def test_whenever_the_agent_dies_the_next_one_makes_all_well(is_alone: bool) -> None:
    """It dies when a call has done its work, so before the next one; nothing is stacked, orphaned or left over."""
    number = 0
    for number in range(1, ENOUGH):
        with guest_directory() as directory:
            first, then = lists_in(directory)
            code = live(directory, [first, then, []], ends_at=number)
            assert code in (0, KILLED), f"the agent that was to die at call {number} ended with {code}"
            if code == 0:
                break
            for pid in [] if is_alone else clients_in(directory):
                with suppress(ProcessLookupError):  # its mount had gone already, so it was ending by itself
                    os.kill(pid, signal.SIGKILL)
            try:
                assert live(directory, [then]) == 0
                judge(directory, then)
                assert live(directory, [[]]) == 0
                judge(directory, [])
            except AssertionError as exc:
                raise AssertionError(f"after a death at call {number}: {exc}") from exc
    assert 30 < number < ENOUGH - 1
