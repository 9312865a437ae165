"""Simulated guests: they obey the live copies of the stream and report, mounting nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from weft.wire.codec import decode_message
from weft.wire.digest import share_digest
from weft.wire.mountset import MountSet
from weft.wire.share import ShareMount
from weft.wire.status import ShareState, ShareStatus, VmStatus, encode_status

Judge = Callable[[str, ShareMount], ShareStatus]


def mounted(vm: str, share: ShareMount) -> ShareStatus:
    """Say that everything went well."""
    return ShareStatus(id=share.id, mount_point=share.mount_point, state=ShareState.MOUNTED, digest=share_digest(share))


class Guests:
    """
    Many guests over one connection.

    Args:
        url: The broker.
        judge: What a guest reports about a share it was told to mount.
        silent: VMs that hear and say nothing.
    """

    def __init__(self, url: str, *, judge: Judge = mounted, silent: Iterable[str] = ()) -> None:
        self._url = url
        self._judge = judge
        self._silent = frozenset(silent)
        self._nc: Client | None = None

    async def __aenter__(self) -> Self:
        self._nc = await nats.connect(self._url)
        await self._nc.subscribe("weft.live.*", cb=self._obey)
        await self._nc.flush()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._nc is not None
        await self._nc.close()

    async def _obey(self, msg: Msg) -> None:
        assert self._nc is not None
        message = decode_message(msg.data)
        vm = msg.subject.rsplit(".", 1)[-1]
        if isinstance(message, MountSet) and vm not in self._silent:
            status = VmStatus(
                vm=vm,
                boot_id=f"boot-{vm}",
                revision=message.revision,
                held_revision=message.revision,
                heartbeat_s=10,
                shares=tuple(self._judge(vm, share) for share in message.shares),
            )
            await self._nc.publish(f"weft.status.{vm}", encode_status(status))
