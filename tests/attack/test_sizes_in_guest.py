"""Sizes that would stop a guest: lists, stacks and rings of shares, hung mounts by the dozen; refused or bounded."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.boot_file import load_boot_file
from agent.desired import Accepted, Desired, Refused, accept, accept_boot
from agent.inbox import Inbox
from agent.mounts.liveness import Liveness
from agent.mounts.table import read_mount_table
from agent.mounts.walker import Walker
from agent.reconcile import ground
from agent.reconcile.live import LiveShare
from agent.reconcile.phase import Phase, StepKind
from agent.reconcile.plan import plan
from agent.reconcile.wishes import build_wishes
from agent.report import Facts, build_report
from agent.stored import Arrived
from tests.attack.conftest import CountProbes
from tests.parts.shares import bind, mount_set
from tests.unit.agent.test_report import FACTS
from weft.errors import DecodeError, ErrorCode
from weft.wire import mountset
from weft.wire.codec import MAX_MESSAGE_BYTES, decode_message
from weft.wire.ids import ShareId, VmId
from weft.wire.mountset import MAX_SHARES
from weft.wire.share import ShareMount
from weft.wire.status import ShareError, ShareState, ShareStatus, VmStatus, encode_status, in_short

VM = VmId("vm-7")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
MESSAGE_BYTES = 1 << 20
"""What brokers take unless told otherwise."""

SMALL = {"backend": "bind", "bind": {"source": "/srv/x"}}


def encoded_list(count: int, revision: int = 9, **fields: Any) -> bytes:
    """Build a list of *count* small shares as it travels."""
    shares = [{"id": f"s{number}", "mount_point": f"/mnt/s{number}", **SMALL} for number in range(count)]
    return json.dumps({"vm": VM, "revision": revision, "shares": shares, **fields}).encode()


def holding(count: int) -> Desired:
    """Build a guest that holds *count* shares."""
    verdict = accept(Desired(VM), mount_set(1, *(bind(f"s{n}") for n in range(count))), None, now_ms=10)
    assert isinstance(verdict, Accepted)
    return verdict.desired


# --- too many are refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [MAX_SHARES + 1, 4096, 60_000])
def test_a_list_beyond_the_limit_is_refused_before_its_elements_are_read(
    count: int, monkeypatch: pytest.MonkeyPatch, count_probes: CountProbes
) -> None:
    """What stands stays; the revision is told, so that whoever waits for it hears the reason at once."""

    def read(element: object) -> ShareMount:
        raise AssertionError("an element was read")

    inbox = Inbox(holding(3))
    monkeypatch.setattr(mountset, "parse_share", read)
    assert inbox.take(Arrived(encoded_list(count), None), now_ms=10) is None
    assert inbox.problem is not None
    assert inbox.problem.code is ErrorCode.BAD_SPEC
    assert f"it has {count} shares, and this guest takes {MAX_SHARES}" in inbox.problem.message
    assert (inbox.revision_seen, inbox.desired.revision, len(inbox.desired.shares)) == (9, 1, 3)
    count_probes("oversized lists")


def test_a_list_at_the_limit_is_taken() -> None:
    """It is a limit, and no riddle."""
    inbox = Inbox(Desired(VM))
    assert inbox.take(Arrived(encoded_list(MAX_SHARES), None), now_ms=10) is not None
    assert len(inbox.desired.shares) == MAX_SHARES


def test_messages_that_add_up_are_refused_at_the_limit(count_probes: CountProbes) -> None:
    """Lists with an unreadable id take nothing away, singles only add: neither grows what is held beyond the limit."""
    desired = holding(MAX_SHARES)
    unreadable = {"vm": VM, "revision": 9, "shares": [{"id": 7}, {"id": "new", "mount_point": "/mnt/new", **SMALL}]}
    for message in (decode_message(json.dumps(unreadable).encode()), bind("new")):
        verdict = accept(desired, message, None, now_ms=10)
        assert isinstance(verdict, Refused)
        assert f"this guest takes {MAX_SHARES}" in verdict.reason
        count_probes("oversized lists")
    assert isinstance(accept_boot(desired, [bind("new")], is_complete=True), Refused)
    assert isinstance(accept(desired, bind("s1", readonly=True), None, now_ms=10), Accepted)


def test_a_limit_that_was_lowered_takes_nothing_away(tmp_path: Path) -> None:
    """What is held stays, and what makes it fewer is obeyed."""
    desired = holding(20)
    fewer = accept(desired, mount_set(2, *(bind(f"s{n}") for n in range(15))), None, now_ms=10, max_shares=10)
    assert isinstance(fewer, Accepted)
    boot_file = tmp_path / "boot.json"
    boot_file.write_text(json.dumps([{"id": f"b{n}", **SMALL} for n in range(11)]))
    boot = load_boot_file(boot_file, max_shares=10)
    assert boot is not None
    assert (boot.shares, boot.is_complete) == ((), False)
    assert "it has 11 shares, and this guest takes 10" in boot.problems[0]


def test_a_message_beyond_any_broker_is_not_read() -> None:
    """It could only come from a file, or from a broker that was told to take anything."""
    with pytest.raises(DecodeError, match="more than"):
        decode_message(b" " * (MAX_MESSAGE_BYTES + 1))


# --- what is taken costs a bounded amount of work -----------------------------------------------------------------


def at_depths(count: int) -> list[ShareMount]:
    """Mount each share in the one before, sixty deep, and then anew."""
    return [bind(f"s{n}", f"/mnt/{n // 60}" + "/d" * (n % 60)) for n in range(count)]


def in_a_line(count: int) -> list[ShareMount]:
    """Have each share show the next one."""
    return [bind(f"s{n}", f"/mnt/{n}", source=f"/mnt/{n + 1}") for n in range(count)]


def in_a_ring(count: int) -> list[ShareMount]:
    """Have each share show the next one, and the last one the first."""
    return [bind(f"s{n}", f"/mnt/{n}", source=f"/mnt/{(n + 1) % count}") for n in range(count)]


def in_one_place(count: int) -> list[ShareMount]:
    """Mount all on the same directory."""
    return [bind(f"s{n}", "/mnt/x") for n in range(count)]


def side_by_side(count: int) -> list[ShareMount]:
    """Mount each on its own."""
    return [bind(f"s{n}") for n in range(count)]


def rings_over_rings(count: int) -> list[ShareMount]:
    """Hide each ring below another one, which is seen only once that is rejected."""
    places = (("/mnt/x", "/mnt/y"), ("/mnt/y", "/mnt/x"))
    return [bind(f"s{n}", places[n % 2][0], source=places[n % 2][1], priority=n // 2) for n in range(count)]


SHAPES = (at_depths, in_a_line, in_a_ring, in_one_place, side_by_side, rings_over_rings)


class Steps:
    """Counts the lines of Python that the planning modules run: work, whatever the machine's mood."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Steps:
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        return self._step if "/reconcile/" in frame.f_code.co_filename or "/wire/" in frame.f_code.co_filename else None

    def _step(self, frame: Any, event: str, argument: Any) -> Any:
        self.count += 1
        return self._step


def plans(shares: list[ShareMount]) -> Iterator[int]:
    """Plan for nothing up, all up, all to go, and all changed; yield the work of each."""
    verdict = accept(Desired(VM), mount_set(2, *shares), None, now_ms=10)
    assert isinstance(verdict, Accepted)
    desired = verdict.desired
    standing = {entry.share.mount_point: entry for entry in desired.shares.values()}.values()  # one at each place
    up = {entry.share.share_id: LiveShare(entry.share, entry.digest) for entry in standing}
    other = {
        entry.share.share_id: LiveShare(msgspec.structs.replace(entry.share, readonly=True), "other")
        for entry in standing
    }
    checked = {share_id: Phase(goal=entry.digest, is_checked=True) for share_id, entry in desired.shares.items()}
    gone = Desired(VM, revision=3, is_complete=True)
    for wanted, phases, live in ((desired, {}, {}), (desired, {}, up), (gone, {}, up), (desired, checked, other)):
        with Steps() as steps:
            plan(wanted, phases, live, now_s=1.0, utc=NOW)
        yield steps.count


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_planning_grows_with_the_number_of_shares_and_not_faster(shape: Any, count_probes: CountProbes) -> None:
    """However they stand on each other: twice the shares are no more than three times the work."""
    for before, after in zip(plans(shape(120)), plans(shape(240)), strict=True):
        assert after < 3 * before
    count_probes("shapes of lists planned")


def test_a_stack_of_shares_goes_down_from_the_top_in_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every way down a stack of forty there are a million million; each share is looked at once."""
    looks = 0
    upon = ground.Ground.upon

    def counted(self: ground.Ground, share_id: ShareId, places: Any) -> set[ShareId]:
        nonlocal looks
        looks += 1
        assert looks < 200, "it looks at shares again and again"
        return upon(self, share_id, places)

    monkeypatch.setattr(ground.Ground, "upon", counted)
    shares = at_depths(40)
    up = {share.share_id: LiveShare(share, "d") for share in shares}
    steps = plan(Desired(VM, is_complete=True), {}, up, now_s=1.0, utc=NOW).steps
    assert [(step.kind, step.share.id) for step in steps] == [(StepKind.UNMOUNT, "s39")]


def test_a_path_has_a_depth(count_probes: CountProbes) -> None:
    """Each directory above a mount point is looked at in each plan; two thousand of them fit a path."""
    data = json.dumps({"id": "a", "mount_point": "/mnt" + "/d" * 2000, **SMALL}).encode()
    with pytest.raises(DecodeError, match="more than 64 directories"):
        decode_message(data)
    count_probes("oversized lists")


def test_a_ring_is_told_in_a_short_sentence() -> None:
    """A thousand members that each name a thousand would be a status of a hundred megabytes."""
    desired = accept(Desired(VM), mount_set(2, *in_a_ring(500)), None, now_ms=10)
    assert isinstance(desired, Accepted)
    wishes = build_wishes(desired.desired, held=frozenset(), utc=NOW)
    assert len(wishes.cyclic) == 500
    assert all(len(fault.message) < 200 for fault in wishes.cyclic.values())
    assert "and 495 more" in wishes.cyclic[ShareId("s0")].message


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_the_status_of_a_full_guest_fits_a_message(shape: Any) -> None:
    """Before the first mount, with every share rejected or waiting."""
    verdict = accept(Desired(VM), mount_set(2, *shape(MAX_SHARES)), None, now_ms=10)
    assert isinstance(verdict, Accepted)
    standings = plan(verdict.desired, {}, {}, now_s=1.0, utc=NOW).standings
    facts = Facts(**{name: getattr(FACTS, name) for name in FACTS.__slots__} | {
        "desired": verdict.desired, "standings": standings, "since": dict.fromkeys(standings, NOW)
    })  # fmt: skip
    assert len(encode_status(build_report(facts))) < MESSAGE_BYTES


def test_the_worst_status_fits_a_message_in_short() -> None:
    """Every id, mount point and error as long as can be: still a report, and no guest that looks silent."""
    error = ShareError(code=ErrorCode.HELPER_MISSING, message="cannot " + "x" * 5000, detail="y" * 8000)
    row = ShareStatus(
        id="i" * 128, mount_point="/m" * 2000, backend="b" * 300, digest="d" * 16, state=ShareState.UNMOUNTING,
        since=NOW, attempts=99999, error=error,
    )  # fmt: skip
    status = VmStatus(vm="v" * 128, hostname="h" * 64, remarks=("r" * 400,) * 10, shares=(row,) * (2 * MAX_SHARES))
    assert len(encode_status(in_short(status))) < MESSAGE_BYTES
    assert in_short(status).shares[0].error is not None


# --- hung mounts --------------------------------------------------------------------------------------------------

SILENT_CLIENT = Path(__file__).parents[1] / "fakes" / "silent_fuse_client.py"
HUNG = 24


def run(*command: str) -> None:
    """Run mount(8) or umount(8)."""
    subprocess.run(command, check=False, capture_output=True)


@asynccontextmanager
async def hung_mounts(directory: Path, count: int) -> AsyncIterator[list[str]]:
    """Mount *count* file systems whose clients never answer a probe."""
    clients, paths = [], [directory / str(number) for number in range(count)]
    try:
        for path in paths:
            path.mkdir()
            clients.append(await asyncio.create_subprocess_exec(sys.executable, str(SILENT_CLIENT), str(path), cwd="/"))
        async with asyncio.timeout(60):
            while len(read_mount_table().below(str(directory))) < count:  # noqa: ASYNC110 - other processes mount
                await asyncio.sleep(0.02)
        yield [str(path) for path in paths]
    finally:
        for client in clients:
            if client.returncode is None:
                os.kill(client.pid, signal.SIGKILL)
            await client.wait()
        for path in paths:
            run("umount", "-l", str(path))


@pytest.mark.integration
@pytest.mark.usefixtures("nothing_left")
async def test_hung_mounts_keep_no_other_from_being_probed_mounted_or_unmounted(
    tmp_path: Path, count_probes: CountProbes
) -> None:
    """Each costs one helper, however often it is asked; a healthy one is alive, and other kinds have their places."""
    healthy = tmp_path / "healthy"
    healthy.mkdir()
    async with Walker(max_probes=HUNG // 2) as walker, hung_mounts(tmp_path, HUNG) as paths:
        for _ in range(3):
            found = await asyncio.gather(
                *(walker.probe(path, deadline_s=0.5, mount_id=n + 1) for n, path in enumerate(paths))
            )
            assert set(found) == {Liveness.HUNG}
            assert walker.stuck == HUNG
        assert await walker.probe(str(healthy), deadline_s=5) is Liveness.ALIVE
        assert await walker.read_root(str(healthy), deadline_s=5) == []
        run("mount", "-t", "tmpfs", "weft:test:00000000", str(healthy))
        await walker.unmount(str(healthy), read_mount_table().at(str(healthy))[0].mount_id, deadline_s=5)
    count_probes("hung mounts", HUNG)
