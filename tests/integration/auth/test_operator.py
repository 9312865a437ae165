"""What operators can do with their credentials, read-only ones too, and how a user ends, on a real broker."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from weft.deploy import find_data_file

from agent import Subscriber
from controlplane import ControlPlane
from controlplane.auth.roles import STREAMS, Role
from controlplane.jetstream import last_message
from tests.parts.broker import nats_server
from tests.parts.realm import Realm, not_refused
from tests.parts.shares import bind
from weft.errors import BrokerDeniedError, BrokerError
from weft.link import Link
from weft.wire.codec import decode_message
from weft.wire.digest import share_digest
from weft.wire.mountset import MountSet
from weft.wire.share import ShareMount
from weft.wire.status import AgentInfo, Mode, ShareState, ShareStatus, VmStatus, encode_status
from weft.wire.subjects import MOUNTS_STREAM

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0
VMS = tuple(f"vm-{n}" for n in range(1, 41))
DOCS = bind("docs")
REFUSED = re.compile("authentication error")


@pytest.fixture
async def plane(realm: Realm) -> AsyncIterator[ControlPlane]:
    """The Python API with an operator's credentials."""
    async with ControlPlane.connect(options=realm.options(Role.OPERATOR, "ann"), operator="ann") as made:
        yield made


async def test_operator_can_do_the_whole_round(realm: Realm, plane: ControlPlane) -> None:
    """From making the streams to forgetting the share: nothing is refused, singly or in batches."""
    async with asyncio.timeout(PATIENCE_S):
        assert len((await plane.init()).created) == len((await plane.init()).verified) == len(STREAMS)
        await plane.create_class("algebra")
        await plane.add_members("algebra", VMS)
        fan_out = await plane.publish(DOCS, classes=["algebra"])
        assert set(fan_out.stored) == set(VMS)
        assert len(await plane.status()) == len(VMS)
        assert [record.share.id for record in await plane.shares()] == ["docs"]
        assert set((await plane.sync()).unchanged) == set(VMS)
        assert set((await plane.unpublish("docs")).stored) == set(VMS)
    assert plane.link.denied_subjects == frozenset()


async def test_published_share_is_applied_reported_and_waited_for(realm: Realm, plane: ControlPlane) -> None:
    """The main job across the accounts: publish, apply in the guest, report, converge."""
    applied: asyncio.Queue[ShareMount] = asyncio.Queue()
    await plane.init()
    async with (
        asyncio.timeout(PATIENCE_S),
        realm.connected(Role.GUEST, "vm-1") as guest,
        Subscriber(guest, "vm-1", applied.put),
    ):
        fan_out = await plane.publish(DOCS, vms=["vm-1"])
        share = await applied.get()
        waiting = asyncio.create_task(plane.wait(fan_out, timeout_s=PATIENCE_S))
        await guest.publish("weft.status.vm-1", await report_of(plane, share))
        outcome = await waiting
    assert [str(vm) for vm in outcome.converged] == ["vm-1"]


async def report_of(plane: ControlPlane, share: ShareMount) -> bytes:
    """Say as vm-1 that it has *share* as stored now."""
    message = await last_message(plane.link, MOUNTS_STREAM, "weft.mounts.vm-1")
    assert message is not None
    held = decode_message(message.data)
    assert isinstance(held, MountSet)
    status = ShareStatus(
        id=share.id,
        mount_point=share.mount_point or "",
        backend="bind",
        digest=share_digest(share),
        state=ShareState.MOUNTED,
    )
    return encode_status(
        VmStatus(
            vm="vm-1",
            revision=held.revision,
            held_revision=held.revision,
            mode=Mode.JETSTREAM,
            agent=AgentInfo(version="0"),
            shares=(status,),
        )
    )


NOT_FOR_OPERATORS = {
    "speaking for a guest": "weft.status.vm-1",
    "inventing a guest's events": "weft.events.vm.vm-1.mount.applied",
    "bypassing the stream": "weft.live.vm-1",
    "deleting the stream": "$JS.API.STREAM.DELETE.weft-mounts",
    "making another stream": "$JS.API.STREAM.CREATE.other",
    "purging another stream": "$JS.API.STREAM.PURGE.other",
}
NOT_FOR_OBSERVERS = {
    **NOT_FOR_OPERATORS,
    "publishing": "weft.mounts.vm-1",
    "writing the catalog": "$KV.weft-catalog.share.docs",
    "noting what was done": "weft.events.op.publish",
    "making the stream": "$JS.API.STREAM.CREATE.weft-mounts",
    "changing the stream": "$JS.API.STREAM.UPDATE.weft-mounts",
    "emptying the stream": "$JS.API.STREAM.PURGE.weft-mounts",
}


@pytest.mark.parametrize(
    ("role", "forbidden"),
    [(Role.OPERATOR, NOT_FOR_OPERATORS), (Role.OBSERVER, NOT_FOR_OBSERVERS)],
    ids=["operator", "observer"],
)
async def test_operators_may_not_send_what_they_do_not_need(
    realm: Realm, operator: Link, role: Role, forbidden: dict[str, str]
) -> None:
    """A mistake cannot do it, and a read-only operator stores nothing at all."""
    async with realm.connected(role, "bob") as link:
        assert await not_refused(link, forbidden) == []


async def test_read_only_operator_sees_everything_and_publishes_nothing(realm: Realm, plane: ControlPlane) -> None:
    """Listing, status and dry runs work; every change is refused and leaves nothing behind."""
    async with asyncio.timeout(PATIENCE_S):
        await plane.init()
        await plane.create_class("algebra")
        await plane.add_members("algebra", VMS)
        await plane.publish(DOCS, classes=["algebra"])
        options = realm.options(Role.OBSERVER, "wallboard")
        async with ControlPlane.connect(options=options, operator="wallboard") as observer:
            assert [record.share.id for record in await observer.shares()] == ["docs"]
            assert len(await observer.status()) == len(VMS)
            assert set((await observer.sync(dry_run=True)).unchanged) == set(VMS)
            assert observer.link.denied_subjects == frozenset()
            with pytest.raises(BrokerError):
                await observer.create_class("geometry")
        assert set(await plane.classes()) == {"algebra"}


async def test_read_only_is_no_wall_against_a_hostile_client(realm: Realm, operator: Link) -> None:
    """It lives in the streams' account, where an answer can be aimed at a VM: the limit that the manual names."""
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await operator.subscribe("weft.live.vm-2", heard.put)
    await operator.request("weft.mounts.vm-1", b"aimed", timeout_s=PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S), realm.connected(Role.OBSERVER, "wallboard") as observer:
        await observer.publish(f"$JS.API.DIRECT.GET.{MOUNTS_STREAM}.weft.mounts.vm-1", b"", reply="weft.mounts.vm-2")
        assert (await heard.get()).data == b"aimed"


@pytest.mark.parametrize("role", list(Role))
async def test_revoked_user_is_thrown_out_at_reload(realm: Realm, role: Role) -> None:
    """The running broker closes its connection and lets it in no more; a new user of the same name is welcome."""
    thrown_out = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S), Link(realm.options(role, "vm-1"), jitter=lambda: 0.05) as link:
        link.on_disconnected(thrown_out.set)
        async with realm.connected(role, "vm-2") as other:
            realm.auth.revoke(["vm-1"], now_s=time.time())
            realm.broker.reload(realm.config())
            await thrown_out.wait()
            await realm.broker.logged(REFUSED)
            await other.flush()
        with pytest.raises(BrokerDeniedError):
            await link.wait_connected(0.5)
        realm.options(role, "vm-1")  # writes new credentials over the old ones
        await link.wait_connected(PATIENCE_S)


async def test_expired_user_is_thrown_out(realm: Realm) -> None:
    """A lifetime is enforced by the broker, also on connections that are open."""
    thrown_out = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S), Link(realm.options(Role.GUEST, "vm-1", lifetime_s=1.5)) as link:
        link.on_disconnected(thrown_out.set)
        await thrown_out.wait()
        assert "no longer accepts these credentials" in (link.problem or "")


async def test_another_realms_user_is_refused(realm: Realm, tmp_path: Path) -> None:
    """Keys of one directory mean nothing to the broker of another."""
    stranger = Realm(tmp_path / "other")
    stranger.broker = realm.broker
    with pytest.raises(BrokerDeniedError):
        await Link(stranger.options(Role.OPERATOR, "ann")).connect()


@pytest.mark.parametrize("name", ["nats.conf", "nats-cluster.conf"])
async def test_shipped_configurations_start(realm: Realm, tmp_path: Path, name: str) -> None:
    """What ``weft auth init`` writes, and the cluster's example beside it, are understood by the server as they are."""
    path = realm.auth.path / name
    if not path.exists():
        path.write_text(find_data_file(name).read_text())
    checking = await asyncio.create_subprocess_exec(
        nats_server(), "-t", "-c", str(path), stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await checking.communicate()
    assert checking.returncode == 0, complaint.decode()
