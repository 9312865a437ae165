"""A guest that mounts nothing and reports what it is told to: for trying operators' commands without FUSE."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from nats.aio.msg import Msg

from weft.errors import ErrorCode
from weft.link import Link, LinkOptions, Subscription
from weft.wire.codec import decode_message
from weft.wire.digest import share_digest
from weft.wire.ids import VmId
from weft.wire.mountset import MountSet
from weft.wire.share import ShareMount
from weft.wire.status import AgentInfo, Mode, ShareError, ShareState, ShareStatus, VmStatus, encode_status
from weft.wire.subjects import live_subject, status_subject


class ToldGuest:
    """
    One guest on the broker at *url*.

    Args:
        url: The broker.
        vm: Its VM id.
        refuses: Whether it fails every share, as if the keys were wrong.
        options: How it connects, where the broker asks for credentials.
    """

    def __init__(self, url: str, vm: str, *, refuses: bool = False, options: LinkOptions | None = None) -> None:
        self.vm = VmId(vm)
        self._refuses = refuses
        self._link = Link(options or LinkOptions(servers=(url,), name=f"guest {vm}"))
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        await self._link.connect()
        self._subscription = await self._link.subscribe(live_subject(self.vm), self._obey)
        await self._report(0, ())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._link.close()

    async def _obey(self, message: Msg) -> None:
        wanted = decode_message(message.data)
        assert isinstance(wanted, MountSet)
        await self._report(wanted.revision, wanted.shares)

    async def _report(self, revision: int, shares: tuple[ShareMount, ...]) -> None:
        status = VmStatus(
            vm=self.vm,
            hostname=f"host-{self.vm}",
            revision=revision,
            held_revision=revision,
            boot_id=f"boot-{self.vm}",
            heartbeat_s=30.0,
            agent=AgentInfo(version="0.0.1"),
            mode=Mode.JETSTREAM,
            shares=tuple(self._standing(share) for share in shares),
        )
        await self._link.publish(status_subject(self.vm), encode_status(status))
        await self._link.flush()

    def _standing(self, share: ShareMount) -> ShareStatus:
        if self._refuses:
            error = ShareError(code=ErrorCode.AUTH, message=f"cannot log in to {share.id}")
            return ShareStatus(id=share.id, mount_point=share.mount_point, state=ShareState.FAILED, error=error)
        return ShareStatus(
            id=share.id,
            mount_point=share.mount_point,
            backend=share.backend_name,
            digest=share_digest(share),
            state=ShareState.MOUNTED,
        )
