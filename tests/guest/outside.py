"""What stands outside the guests: the broker, the control plane, what guests report, and a server with files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nats.aio.msg import Msg

from controlplane import ControlPlane
from tests.guest.network import OUTSIDE
from tests.parts.broker import Broker
from tests.parts.rclone_servers import RcloneServer
from weft.wire.blocks import RcloneBlock
from weft.wire.share import ShareMount
from weft.wire.status import ShareState, VmStatus, decode_status
from weft.wire.subjects import STATUS_ALL

REPORT_S = 40.0
CONVERGE_S = 40.0


class OutsideBroker(Broker):
    """A broker that guests can reach."""

    host = str(OUTSIDE.ip)


class FolderServer(RcloneServer):
    """A server that guests can reach."""

    host = str(OUTSIDE.ip)

    def share(self, share_id: str, mount_point: str) -> ShareMount:
        """Build the share that shows this server's files."""
        kind, config = self.config["type"], {key: value for key, value in self.config.items() if key != "type"}
        return ShareMount(
            id=share_id,
            backend="rclone",
            mount_point=mount_point,
            rclone=RcloneBlock(type=kind, config=config),
        )


class Reports:
    """
    The last report of each guest: those that are stored when the control plane connects, then live ones.

    Args:
        plane: Its connection.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._last: dict[str, VmStatus] = {}
        self._grown = asyncio.Condition()

    async def listen(self) -> None:
        """Begin to hear the guests; lasts as long as the control plane's link."""
        await self._plane.link.subscribe(STATUS_ALL, self._take)
        self._plane.link.on_connected(self._read_stored)

    async def _take(self, msg: Msg) -> None:
        await self._note(decode_status(msg.data))

    async def _read_stored(self) -> None:
        for view in await self._plane.status():
            if view.status is not None:
                await self._note(view.status)

    async def _note(self, status: VmStatus) -> None:
        async with self._grown:
            last = self._last.get(status.vm)
            if last is None or _when(last) <= _when(status):
                self._last[status.vm] = status
                self._grown.notify_all()

    async def until(self, vm: str, wanted: Callable[[VmStatus], bool], *, deadline_s: float = REPORT_S) -> VmStatus:
        """Return the report of *vm* that is as *wanted*, as soon as there is one."""
        try:
            async with asyncio.timeout(deadline_s), self._grown:
                while not ((last := self._last.get(vm)) and wanted(last)):
                    await self._grown.wait()
                return last
        except TimeoutError:
            raise AssertionError(f"{vm} did not report it within {deadline_s} s; last: {self._last.get(vm)}") from None


@dataclass(frozen=True, slots=True)
class Outside:
    """Broker, control plane and reports."""

    broker: Broker
    plane: ControlPlane
    reports: Reports

    async def converge(self, share: ShareMount, *vms: str) -> None:
        """Publish *share* to *vms* and wait until they have it."""
        fan_out = await self.plane.publish(share, vms=vms)
        assert fan_out.is_complete, fan_out
        await self.converged(share.id)

    async def converged(self, share_id: str) -> None:
        """Wait until everybody who should have the share has it."""
        outcome = await self.plane.wait(share_id, timeout_s=CONVERGE_S)
        assert outcome.is_converged, outcome


def is_mounted(share_id: str, *, boot_id: str = "") -> Callable[[VmStatus], bool]:
    """Build the question whether a report says that *share_id* is mounted, in the boot *boot_id* if given."""

    def ask(status: VmStatus) -> bool:
        states = {share.id: share.state for share in status.shares}
        return states.get(share_id) is ShareState.MOUNTED and boot_id in ("", status.boot_id)

    return ask


@asynccontextmanager
async def standing_outside(directory: Path, *, broker_config: str = "") -> AsyncIterator[Outside]:
    """Start a broker with weft's streams, and listen to what guests report."""
    broker = OutsideBroker(directory / "broker", config=broker_config)
    async with broker, ControlPlane.connect(broker.url) as plane:
        await plane.init()
        reports = Reports(plane)
        await reports.listen()
        yield Outside(broker, plane, reports)


def _when(status: VmStatus) -> datetime:
    assert status.reported_at is not None, status
    return status.reported_at
