"""What becomes of what is found at start, as a table; and records rebuilt from sources."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from agent.actual import LiveMount, ProcessIdentity, Stage
from agent.mounts.adopt import Adoption, Unrecorded, decide_adoption, find_unrecorded, rebuild_record, recognise
from agent.mounts.mountinfo import MountTable, parse_mountinfo
from agent.mounts.ownership import source_of
from tests.parts.shares import bind
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount

CLIENT = ProcessIdentity(pid=7, start_ticks=1, boot_id="boot")
SHARE = bind("a", "/mnt/a")
ROOT = "20 1 8:1 / / rw - ext4 /dev/sda rw\n"


def record(stage: Stage, *, process: ProcessIdentity | None = CLIENT, mount_id: int = 0) -> LiveMount:
    return LiveMount(share=SHARE, digest="d", stage=stage, process=process, mount_id=mount_id, boot_id="boot")


@pytest.mark.parametrize(
    ("live", "is_standing", "is_served", "is_wanted", "expected"),
    [
        pytest.param(record(Stage.MOUNTED), True, True, True, Adoption.ADOPT, id="works and wanted"),
        pytest.param(record(Stage.MOUNTED), True, True, False, Adoption.ADOPT, id="works and not wanted: plan says"),
        pytest.param(record(Stage.MOUNTED), True, False, True, Adoption.REPAIR, id="client gone, wanted"),
        pytest.param(record(Stage.MOUNTED), False, True, True, Adoption.REPAIR, id="mount gone, wanted"),
        pytest.param(record(Stage.MOUNTED), True, False, False, Adoption.CLEAN, id="client gone, not wanted"),
        pytest.param(record(Stage.MOUNTED), False, False, False, Adoption.CLEAN, id="all gone, not wanted"),
        pytest.param(record(Stage.MOUNTED, process=None), True, True, True, Adoption.ADOPT, id="kernel mount"),
        pytest.param(record(Stage.STARTING), True, True, True, Adoption.VERIFY, id="started and shows"),
        pytest.param(record(Stage.STARTING), False, True, True, Adoption.UNDO, id="started, does not show"),
        pytest.param(record(Stage.STARTING), True, False, True, Adoption.UNDO, id="shows, client gone"),
        pytest.param(record(Stage.STARTING, process=None), True, True, True, Adoption.UNDO, id="half-made bind"),
        pytest.param(record(Stage.STOPPING, mount_id=5), True, True, True, Adoption.ADOPT, id="stop not carried out"),
        pytest.param(record(Stage.STOPPING), True, True, True, Adoption.REPAIR, id="undo not carried out"),
        pytest.param(record(Stage.STOPPING, mount_id=5), False, True, True, Adoption.REPAIR, id="half stopped, wanted"),
        pytest.param(record(Stage.STOPPING, mount_id=5), False, True, False, Adoption.CLEAN, id="half stopped"),
        pytest.param(record(Stage.DOWN), False, False, True, Adoption.REPAIR, id="down, wanted"),
        pytest.param(record(Stage.DOWN), False, False, False, Adoption.CLEAN, id="down, not wanted"),
    ],
)  # fmt: skip
def test_every_state_has_one_answer(
    live: LiveMount, is_standing: bool, is_served: bool, is_wanted: bool, expected: Adoption
) -> None:
    """Stage, mount table, client and desired state together decide."""
    found = decide_adoption(live, is_standing=is_standing, is_served=is_served, is_wanted=is_wanted)
    assert found is expected


def table_of(*lines: str) -> MountTable:
    return MountTable(parse_mountinfo(ROOT + "\n".join(lines)))


def fuse(mount_id: int, point: str, source: str, user_id: int = 0) -> str:
    return f"{mount_id} 20 0:{mount_id} / {point} rw - fuse.rclone {source} rw,user_id={user_id}"


def unrecorded(
    table: MountTable,
    recorded: Mapping[ShareId, LiveMount] | None = None,
    wanted: Mapping[ShareId, ShareMount] | None = None,
    *,
    noted_at: str = "/mnt/a",
) -> tuple[Unrecorded, ...]:
    return find_unrecorded(table, recorded or {}, wanted or {}, noted_at=lambda share_id: noted_at)


def test_a_source_of_ours_without_record_is_found() -> None:
    """The source names the share, and what was noted the place."""
    found = unrecorded(table_of(fuse(30, "/mnt/a", "weft:a:01234567")))
    assert [(str(one.name), one.entry.mount_point) for one in found] == [("weft:a:01234567", "/mnt/a")]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(fuse(30, "/mnt/a", "weft:a:01234567", user_id=1000), id="an ordinary user chose that source"),
        pytest.param(fuse(30, "/mnt/a", "weft:../x:01234567"), id="no share id"),
        pytest.param(fuse(30, "/mnt/a", "weft:"), id="nothing named"),
        pytest.param(fuse(30, "/mnt/a", "other:a:01234567"), id="not our source"),
    ],
)
def test_what_only_looks_like_ours_is_left_alone(line: str) -> None:
    """Only root's mounts with a whole source of ours count."""
    assert unrecorded(table_of(line)) == ()


def test_a_share_of_that_id_which_another_agent_has_is_left_alone() -> None:
    """Its place is neither noted nor wanted here, whichever of the two comes first."""
    foreign, ours = fuse(30, "/elsewhere/a", "weft:a:01234567"), fuse(31, "/mnt/a", "weft:a:01234567")
    for lines in ((foreign, ours), (ours, foreign)):
        assert [one.entry.mount_point for one in unrecorded(table_of("\n".join(lines)))] == ["/mnt/a"]
    assert unrecorded(table_of(foreign)) == ()


def test_of_two_with_one_source_the_wanted_place_counts() -> None:
    """A bind of a share's directory shows that share's source; the share itself is where it is wanted."""
    table = table_of(fuse(30, "/mnt/other", "weft:a:01234567"), fuse(31, "/mnt/a", "weft:a:01234567"))
    found = unrecorded(table, wanted={ShareId("a"): SHARE}, noted_at="")
    assert [(one.entry.mount_point, one.is_noted) for one in found] == [("/mnt/a", False)]


def test_a_recorded_share_is_not_rebuilt() -> None:
    """The ledger knows more than a source."""
    table = table_of(fuse(30, "/mnt/a", "weft:a:01234567"))
    assert unrecorded(table, {ShareId("a"): record(Stage.MOUNTED)}) == ()


def test_a_rebuilt_record_has_the_wanted_spec_where_it_agrees() -> None:
    """Place and source agree with what is wanted: nothing is to be done."""
    (found,) = unrecorded(table_of(fuse(30, "/mnt/a", source_of(SHARE))))
    live = rebuild_record(found, SHARE, backend="rclone", private_dir="/p", boot_id="boot")
    assert (live.share, live.digest) == (SHARE, share_digest(SHARE))


def test_a_rebuilt_record_equals_no_wanted_spec_where_it_differs() -> None:
    """Another source than the wanted one: the plan replaces it."""
    (found,) = unrecorded(table_of(fuse(30, "/mnt/a", "weft:a:01234567")))
    live = rebuild_record(found, SHARE, backend="rclone", private_dir="/p", boot_id="boot")
    assert (live.digest, live.share.backend, live.mount_point) == ("", "rclone", "/mnt/a")


def test_a_rebuilt_record_gets_its_spec_when_that_arrives_later() -> None:
    """The ledger was lost, and the broker is heard only after the start; another spec is no reason to guess."""
    (found,) = unrecorded(table_of(fuse(30, "/mnt/a", source_of(SHARE))))
    live = rebuild_record(found, None, backend="rclone", private_dir="/p", boot_id="boot")
    known = recognise(live, SHARE)
    assert known is not None
    assert (known.share, known.digest, known.mount_id) == (SHARE, share_digest(SHARE), 30)
    assert recognise(live, msgspec.structs.replace(SHARE, readonly=True)) is None
    assert recognise(live, msgspec.structs.replace(SHARE, mount_point="/mnt/b")) is None
    assert recognise(known, SHARE) is None
