"""What the story is played with: buckets, files, and the shares that show them."""

from __future__ import annotations

from controlplane.demo.stage import Stage
from weft.wire.blocks import RcloneBlock
from weft.wire.ids import VmId
from weft.wire.share import ShareMount

LESSONS, WORKBOOK, EXAMS = "lessons", "workbook", "exams"
TEXTS = {
    LESSONS: {"welcome.txt": "Welcome to algebra.\n", "unit-1/pythagoras.txt": "a² + b² = c²\n"},
    WORKBOOK: {"read-me.txt": "Write your solutions here.\n"},
    EXAMS: {"june.txt": "Solve for x: 2x + 3 = 11\n"},
}
"""Bucket → file → text."""
FIRST_FILES = {LESSONS: "unit-1/pythagoras.txt", WORKBOOK: "read-me.txt"}


def build_shares(stage: Stage) -> list[ShareMount]:
    """Build what is published first: something to read and something to write."""
    return [
        build_share(stage, LESSONS, stage.s3.block(LESSONS), readonly=True),
        build_share(stage, WORKBOOK, build_workbook(stage)),
    ]


def build_workbook(stage: Stage) -> RcloneBlock:
    """Build the block of the share that is written to; nobody wants to watch rclone wait its five seconds."""
    return stage.s3.block(WORKBOOK, vfs_write_back="200ms")


def build_share(
    stage: Stage, share_id: str, block: RcloneBlock, *, readonly: bool = False, refresh: int = 0
) -> ShareMount:
    """Build one spec for every VM, at a place of its own in each."""
    return ShareMount(
        id=share_id,
        backend="rclone",
        mount_point=str(stage.mount_point("{vm}", share_id)),
        readonly=readonly,
        rclone=block,
        refresh=refresh,
    )


def solution_of(vm: VmId) -> str:
    """Say what *vm* writes."""
    return f"x = 4, says {vm}\n"
