"""The unmount ladder where calls hang: what it says then is what the mount table shows, not what it hoped for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from agent.mounts.facts import Holder
from agent.mounts.liveness import Liveness
from agent.mounts.mountinfo import MountTable, parse_mountinfo
from agent.mounts.policy import carries_our_source
from agent.mounts.unmount import Rung, unmount
from agent.mounts.walker import UnmountMode
from weft.errors import BusyError, HungError, MountError, PathError

T = TypeVar("T")

ROOT = "27 1 254:0 / / rw - ext4 /dev/vda rw"
SHARE = "71 27 0:47 / /mnt/a rw - fuse.rclone weft:a:00000000 rw"


class Kernel:
    """A mount table with one share, and calls on it that end as scripted; a call may take the mount and still hang."""

    def __init__(self, *answers: MountError | None, taken_by: int | None = None) -> None:
        self.answers = list(answers)
        self.taken_by = taken_by
        self.modes: list[UnmountMode] = []
        self.liveness = Liveness.ALIVE

    def refresh(self) -> MountTable:
        is_there = self.taken_by is None or len(self.modes) < self.taken_by
        return MountTable(parse_mountinfo(f"{ROOT}\n{SHARE}" if is_there else ROOT))

    async def wait_for(self, predicate: Callable[[MountTable], T | None], *, deadline_s: float) -> T:
        found = predicate(self.refresh())
        if found is None:
            raise TimeoutError
        return found

    async def unmount(
        self, path: str, mount_id: int, mode: UnmountMode = UnmountMode.NORMAL, *, deadline_s: float = 1
    ) -> None:
        self.modes.append(mode)
        if (answer := self.answers.pop(0)) is not None:
            raise answer

    async def probe(self, path: str, *, deadline_s: float, mount_id: int = 0) -> Liveness:
        return self.liveness

    async def open_holders(self, path: str, *, deadline_s: float = 1) -> tuple[Holder, ...]:
        raise HungError("cannot find holders of '/mnt/a': no answer within 1 s")


def hung() -> HungError:
    return HungError("cannot unmount '/mnt/a': no answer within 1 s")


def busy() -> BusyError:
    return BusyError("cannot unmount '/mnt/a': it is in use")


async def climb(kernel: Kernel, busy_wait_s: float = 0) -> Rung:
    result = await unmount(
        "/mnt/a", walker=kernel, table=kernel, is_ours=carries_our_source, busy_wait_s=busy_wait_s, step_deadline_s=1
    )
    return result.rung


async def test_a_call_that_hangs_after_taking_the_mount_is_enough() -> None:
    """Its writeback may still hang, but the mount left the tree: no further rung is climbed."""
    kernel = Kernel(hung(), taken_by=1)
    assert await climb(kernel) is Rung.NORMAL
    assert kernel.modes == [UnmountMode.NORMAL]


async def test_a_call_that_hangs_and_takes_nothing_is_followed_by_a_detach() -> None:
    """The detach needs no answer from the client."""
    kernel = Kernel(hung(), None, taken_by=2)
    assert await climb(kernel) is Rung.DETACHED_HUNG
    assert kernel.modes == [UnmountMode.NORMAL, UnmountMode.DETACH]


async def test_a_mount_that_cannot_be_reached_is_hung_not_gone() -> None:
    """Under a hung parent every call hangs; that is the error, and nothing is claimed."""
    with pytest.raises(HungError):
        await climb(Kernel(hung(), hung()))


async def test_not_knowing_the_holders_does_not_keep_the_mount() -> None:
    """A busy mount is detached after its wait, also when nobody can be named."""
    kernel = Kernel(busy(), None, taken_by=2)
    assert await climb(kernel) is Rung.DETACHED_BUSY


@pytest.mark.parametrize(
    ("liveness", "rung"), [(Liveness.DEAD, Rung.DETACHED_DEAD), (Liveness.HUNG, Rung.DETACHED_HUNG)]
)
async def test_holders_of_a_sick_mount_get_no_time(liveness: Liveness, rung: Rung) -> None:
    """However long the wait would be, it is not begun."""
    kernel = Kernel(busy(), None, taken_by=2)
    kernel.liveness = liveness
    assert await climb(kernel, busy_wait_s=3600) is rung
    assert kernel.modes == [UnmountMode.NORMAL, UnmountMode.DETACH]


async def test_a_retry_that_hangs_ends_the_wait() -> None:
    """A client that falls silent while its holders are waited for is not waited for any longer."""
    kernel = Kernel(busy(), hung(), None, taken_by=3)
    assert await climb(kernel, busy_wait_s=3600) is Rung.DETACHED_BUSY


async def test_an_unknown_refusal_is_passed_on() -> None:
    """What no rung mends is the caller's to know, with its errno."""
    with pytest.raises(PathError) as caught:
        await climb(Kernel(PathError("cannot unmount '/mnt/a': operation not permitted", errno=1)))
    assert caught.value.errno == 1


async def test_the_kernel_saying_that_a_client_is_gone_means_dead() -> None:
    """ENOTCONN on the way leads to a detach."""
    kernel = Kernel(PathError("cannot unmount '/mnt/a'", errno=107), None, taken_by=2)
    assert await climb(kernel) is Rung.DETACHED_DEAD
