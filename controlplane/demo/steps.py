"""The story: what weft promises, one step each, and how each is seen to be true."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.cli.output import format_listing
from controlplane.cli.status_view import VM_COLUMNS, counts_table, vm_row, vm_state
from controlplane.demo import checks
from controlplane.demo.checks import DemoFailure, Served
from controlplane.demo.props import (
    EXAMS,
    FIRST_FILES,
    LESSONS,
    TEXTS,
    WORKBOOK,
    build_share,
    build_shares,
    build_workbook,
    solution_of,
)
from controlplane.demo.stage import CLASS, VMS, Stage
from controlplane.results import Outcome
from weft.errors import ErrorCode
from weft.wire.ids import VmId

WAIT_S = 20.0
"""For guests to report what was published; they need a second."""
VM_1, VM_2, VM_3 = VMS


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step saw, for the audience: a few words, and perhaps a table."""

    detail: str = ""
    table: str = ""


Perform = Callable[[Stage], Coroutine[Any, Any, Seen]]


@dataclass(frozen=True, slots=True)
class Step:
    """
    One step.

    Attributes:
        title: The sentence that is true once it is done.
        perform: Makes it true and looks; raises DemoFailure, or whatever weft itself raises, where it is not.
    """

    title: str
    perform: Perform


def step(title: str) -> Callable[[Perform], Step]:
    """Make a function the step called *title*."""
    return lambda perform: Step(title, perform)


@step("a broker with a store of its own is ready")
async def start_broker(stage: Stage) -> Seen:
    """Start it, with streams and catalog, and make the class before anybody is in it."""
    url = await stage.start_broker()
    await stage.plane.create_class(CLASS)
    await stage.plane.add_members(CLASS, VMS)
    return Seen(url)


@step("an S3 server serves three buckets")
async def start_s3(stage: Stage) -> Seen:
    """Fill the buckets and serve them."""
    for bucket, files in TEXTS.items():
        for name, text in files.items():
            path = stage.buckets / bucket / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return Seen(await stage.start_s3())


@step(f"the agents of {VM_1} and {VM_2} run and report")
async def start_two_guests(stage: Stage) -> Seen:
    """A report is what a start ends with."""
    pids = [await stage.start_guest(vm) for vm in (VM_1, VM_2)]
    return Seen(f"pids {' and '.join(map(str, pids))}")


@step(f"{LESSONS} and {WORKBOOK} are published to class {CLASS}, and {VM_1} and {VM_2} have mounted both")
async def publish(stage: Stage) -> Seen:
    """The third VM's list is stored too, though nobody has heard of it yet."""
    fan_out = await stage.plane.publish(build_shares(stage), classes=[CLASS])
    if set(fan_out.stored) != set(VMS):
        raise DemoFailure(f"cannot store the list of every VM: {fan_out.failed or fan_out.unknown or fan_out.stored}")
    _expect_all(await stage.plane.wait(fan_out, vms=[VM_1, VM_2], timeout_s=WAIT_S))
    _served(stage, VM_1, VM_2)
    return Seen(f"stored for {len(fan_out.stored)} VMs")


@step(f"both shares reached {VM_3}, which was started later")
async def start_third_guest(stage: Stage) -> Seen:
    """Nothing is published again: it reads what is stored."""
    await stage.start_guest(VM_3)
    for share_id in (LESSONS, WORKBOOK):
        _expect_all(await stage.plane.wait(share_id, timeout_s=WAIT_S))
    _served(stage, *VMS)
    return Seen()


@step("files are read through all six mounts, and are those of the buckets")
async def read_files(stage: Stage) -> Seen:
    """Any file will do; the listing of a directory below the root comes with one of them."""
    for vm in VMS:
        for share_id, name in FIRST_FILES.items():
            await _expect_file(stage, vm, share_id, name, TEXTS[share_id][name])
    return Seen()


@step(f"each VM writes a file into {WORKBOOK}, and it arrives in the bucket")
async def write_files(stage: Stage) -> Seen:
    """What the client answers for, and what the server has."""
    for vm in VMS:
        await checks.write_file(stage.mount_point(vm, WORKBOOK) / f"{vm}.txt", solution_of(vm))
    for vm in VMS:
        path = stage.buckets / WORKBOOK / f"{vm}.txt"
        await checks.until(
            lambda path=path, vm=vm: True if path.is_file() and path.read_text() == solution_of(vm) else None,  # type: ignore[misc]
            f"{path.name} in the bucket",
        )
    return Seen()


@step(f"{LESSONS} refuses to be written")
async def refuse_writing(stage: Stage) -> Seen:
    """It was published read-only."""
    try:
        await checks.write_file(stage.mount_point(VM_1, LESSONS) / "graffiti.txt", "x")
    except DemoFailure as refusal:
        if "Read-only file system" in str(refusal):
            return Seen()
        raise
    raise DemoFailure(f"cannot trust {LESSONS}: it is read-only, and took a file")


@step("publishing the same again stores nothing and remounts nothing")
async def publish_again(stage: Stage) -> Seen:
    """Same answer from the stream, same clients, same mounts."""
    before = _served(stage, *VMS)
    fan_out = await stage.plane.publish(build_shares(stage), classes=[CLASS])
    if fan_out.stored or set(fan_out.unchanged) != set(VMS):
        raise DemoFailure(f"cannot see {len(VMS)} VMs unchanged: {fan_out}")
    _expect_all(await stage.plane.wait(fan_out, timeout_s=WAIT_S))
    _expect_same(before, _served(stage, *VMS))
    return Seen(f"{len(fan_out.unchanged)} VMs unchanged, {len(before)} clients and mounts the same")


@step(f"a refresh shows every VM what the others wrote into {WORKBOOK}, and remounts nothing")
async def refresh(stage: Stage) -> Seen:
    """Clients keep listings for minutes; they drop them when they are told that there is something new."""
    before = _served(stage, *VMS)
    share = build_share(stage, WORKBOOK, build_workbook(stage), refresh=1)
    _expect_all(await stage.plane.wait(await stage.plane.publish(share), timeout_s=WAIT_S))
    for reader in VMS:
        for writer in VMS:
            await _expect_file(stage, reader, WORKBOOK, f"{writer}.txt", solution_of(writer))
    _expect_same(before, _served(stage, *VMS))
    return Seen()


@step(f"{EXAMS} with a wrong key mounts nowhere, and every VM says why")
async def publish_wrong_key(stage: Stage) -> Seen:
    """The others' mounts are not touched by it."""
    before = _served(stage, *VMS)
    share = build_share(stage, EXAMS, stage.s3.block(EXAMS, secret_key="a-key-of-yesterday"))
    outcome = await stage.plane.wait(await stage.plane.publish(share, classes=[CLASS]), timeout_s=WAIT_S)
    problems = list(outcome.failed.values())
    if len(problems) != len(VMS) or any(problem.code is not ErrorCode.AUTH for problem in problems):
        raise DemoFailure(f"cannot see {ErrorCode.AUTH} in every VM: {problems or outcome}")
    if mounts := [mount for mount in checks.mounts_below(stage.directory) if mount.mount_point.endswith(EXAMS)]:
        raise DemoFailure(f"cannot see {EXAMS} unmounted after its failure: {mounts}")
    _expect_same(before, _served(stage, *VMS))
    return Seen(f"{problems[0].code}: {problems[0].message}")


@step(f"{EXAMS} with the right key mounts everywhere")
async def mend_key(stage: Stage) -> Seen:
    """A changed share is tried at once, whatever it waited for."""
    share = build_share(stage, EXAMS, stage.s3.block(EXAMS))
    _expect_all(await stage.plane.wait(await stage.plane.publish(share), timeout_s=WAIT_S))
    for vm in VMS:
        await _expect_file(stage, vm, EXAMS, "june.txt", TEXTS[EXAMS]["june.txt"])
    return Seen()


@step(f"the FUSE client of {WORKBOOK} in {VM_2} is killed, and the share comes back")
async def kill_client(stage: Stage) -> Seen:
    """A new client, one mount, and the files."""
    before = stage.served(VM_2, WORKBOOK)
    checks.end(before.client)
    killed_s = time.monotonic()

    def look() -> Served | None:
        now = checks.observe(stage.mount_point(VM_2, WORKBOOK))
        return now if now is not None and now.client != before.client else None

    after = await checks.until(look, f"{WORKBOOK} in {VM_2} again", deadline_s=WAIT_S)
    back_s = time.monotonic() - killed_s
    _expect_all(await stage.plane.wait(WORKBOOK, vms=[VM_2], timeout_s=WAIT_S))
    await _expect_file(stage, VM_2, WORKBOOK, f"{VM_2}.txt", solution_of(VM_2))
    return Seen(f"back after {back_s:.2f} s, pid {before.client.pid} → {after.client.pid}")


@step(f"the agent of {VM_3} is killed; its mounts serve on, and a new agent takes them over")
async def kill_agent(stage: Stage) -> Seen:
    """Same clients, same mounts, one of each."""
    shares = (LESSONS, WORKBOOK, EXAMS)
    before = _served(stage, VM_3, shares=shares)
    old = await stage.kill_agent(VM_3)
    await _expect_file(stage, VM_3, LESSONS, "welcome.txt", TEXTS[LESSONS]["welcome.txt"])
    new = await stage.start_guest(VM_3)
    for share_id in shares:
        _expect_all(await stage.plane.wait(share_id, vms=[VM_3], timeout_s=WAIT_S))
    _expect_same(before, _served(stage, VM_3, shares=shares))
    return Seen(f"agent {old} → {new}, {len(before)} clients and mounts the same")


@step("every VM reports what it has, as weft status shows it")
async def show_status(stage: Stage) -> Seen:
    """The loop is closed: this is what guests say, not what was sent to them."""
    views = await stage.plane.status(VMS)
    states = {view.vm: vm_state(view) for view in views}
    if set(states.values()) != {"ok"}:
        raise DemoFailure(f"cannot see every VM well: {states}")
    table = format_listing(VM_COLUMNS, [vm_row(view) for view in views], "table")
    return Seen(table=f"{counts_table(views)}\n\n{table}")


@step("all three shares are unpublished, and unmounted everywhere")
async def unpublish(stage: Stage) -> Seen:
    """No mount and no client is left, and what was written stays in the bucket."""
    for share_id in (EXAMS, WORKBOOK, LESSONS):
        fan_out = await stage.plane.unpublish(share_id)
        _expect_all(await stage.plane.wait(fan_out, timeout_s=WAIT_S))
    if mounts := checks.mounts_below(stage.directory):
        raise DemoFailure(f"cannot see every share unmounted: {mounts}")
    if not (stage.buckets / WORKBOOK / f"{VM_1}.txt").is_file():
        raise DemoFailure(f"cannot find {VM_1}'s work in the bucket any more")
    return Seen()


@step("agents, S3 server and broker end when they are told")
async def end(stage: Stage) -> Seen:
    """No agent had to be killed."""
    codes = await stage.end()
    if any(codes.values()):
        raise DemoFailure(f"cannot see every agent end well: exit codes {codes}")
    return Seen()


STORY: tuple[Step, ...] = (
    start_broker,
    start_s3,
    start_two_guests,
    publish,
    start_third_guest,
    read_files,
    write_files,
    refuse_writing,
    publish_again,
    refresh,
    publish_wrong_key,
    mend_key,
    kill_client,
    kill_agent,
    show_status,
    unpublish,
    end,
)


def _served(stage: Stage, *vms: VmId, shares: Sequence[str] = (LESSONS, WORKBOOK)) -> dict[tuple[VmId, str], Served]:
    return {(vm, share_id): stage.served(vm, share_id) for vm in vms for share_id in shares}


def _expect_same(before: dict[tuple[VmId, str], Served], after: dict[tuple[VmId, str], Served]) -> None:
    changed = [f"{share_id} in {vm}" for (vm, share_id), served in before.items() if after[vm, share_id] != served]
    if changed:
        raise DemoFailure(f"cannot see the same clients and mounts: {', '.join(changed)} was remounted")


def _expect_all(outcome: Outcome) -> None:
    """Every VM has what was published."""
    if not outcome.is_converged:
        problems = {**outcome.waiting, **outcome.failed}
        said = "; ".join(f"{vm}: {problem.message}" for vm, problem in problems.items())
        raise DemoFailure(f"cannot see every VM converge within {WAIT_S:g} s: {said}")


async def _expect_file(stage: Stage, vm: VmId, share_id: str, name: str, text: str) -> None:
    path = stage.mount_point(vm, share_id) / name
    found = await checks.read_file(path)
    if found != text:
        raise DemoFailure(f"cannot read the right text from {path}: {found[:60]!r}")
