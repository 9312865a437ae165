"""Which mounts are ours, and how they stand."""

from __future__ import annotations

import msgspec
import pytest

from agent.actual import LiveMount, Presence, Stage
from agent.mounts.mountinfo import MountTable, parse_mountinfo
from agent.mounts.ownership import belongs_to, decide_presence, find_entry
from tests.parts.shares import bind

TEXT = """\
20 1 8:1 / / rw - ext4 /dev/sda rw
30 20 0:30 / /mnt/a rw - fuse.rclone weft:a:01234567 rw,user_id=0
31 20 0:30 /sub /mnt/b rw - fuse.rclone weft:a:01234567 rw,user_id=0
"""
TABLE = MountTable(parse_mountinfo(TEXT))
COVERED = MountTable(parse_mountinfo(TEXT + "32 30 0:32 / /mnt/a rw - tmpfs other rw\n"))
LIVE = LiveMount(
    share=bind("a", "/mnt/a"),
    digest="d",
    stage=Stage.MOUNTED,
    boot_id="boot",
    mount_id=30,
    device="0:30",
    root="/",
    source="weft:a:01234567",
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({}, 30, id="known by its ids"),
        pytest.param({"mount_id": 0}, 30, id="not seen up yet, known by source and place"),
        pytest.param({"mount_id": 99}, 30, id="same source at the same place is ours too"),
        pytest.param({"boot_id": "other"}, None, id="another boot"),
        pytest.param({"stage": Stage.DOWN}, None, id="down"),
        pytest.param({"mount_id": 31, "root": "/sub", "path": "/mnt/b"}, 31, id="a bind of a share"),
        pytest.param({"mount_id": 30, "device": "0:9", "source": "x"}, None, id="the id is another mount's now"),
        pytest.param({"path": "/mnt/gone", "source": "weft:b:89abcdef"}, None, id="both ids are a foreign mount's now"),
        pytest.param({"mount_id": 0, "source": ""}, 30, id="kernel mount half made, known by its place"),
    ],
)
def test_a_record_finds_its_mount(changes: dict[str, object], found: int | None) -> None:
    """Ids, source and place say which entry is meant; the boot says whether they mean anything."""
    entry = find_entry(msgspec.structs.replace(LIVE, **changes), TABLE, boot_id="boot")
    assert (entry.mount_id if entry else None) == found


def test_a_bind_of_a_share_is_not_the_share() -> None:
    """The same source at another place is another mount."""
    entry = TABLE.top_at("/mnt/b")
    assert entry is not None
    assert not belongs_to(entry, LIVE, boot_id="boot")


@pytest.mark.parametrize(
    ("live", "table", "is_served", "is_changing", "expected"),
    [
        pytest.param(LIVE, TABLE, True, False, Presence.MOUNTED, id="up"),
        pytest.param(LIVE, TABLE, False, False, Presence.UNCERTAIN, id="client gone"),
        pytest.param(LIVE, TABLE, True, True, Presence.UNCERTAIN, id="being changed"),
        pytest.param(LIVE, COVERED, True, False, Presence.UNCERTAIN, id="covered"),
        pytest.param(LIVE, MountTable(()), True, False, Presence.ABSENT, id="not in the table"),
        pytest.param(None, TABLE, True, False, Presence.ABSENT, id="unknown"),
        pytest.param(
            msgspec.structs.replace(LIVE, stage=Stage.STOPPING), TABLE, True, False, Presence.UNCERTAIN, id="stopping"
        ),
    ],
)
def test_presence(
    live: LiveMount | None, table: MountTable, is_served: bool, is_changing: bool, expected: Presence
) -> None:
    """Mounted means present, uncovered and served; anything less is told apart from absent."""
    assert decide_presence(live, table, boot_id="boot", is_served=is_served, is_changing=is_changing) is expected
