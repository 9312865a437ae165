"""What operators can do with their credentials, read-only ones too, and how a user ends, on a real broker."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg
from weft.deploy import find_data_file

from agent import Subscriber
from controlplane import ControlPlane
from controlplane.auth.jwt import Key, KeyKind, build_token
from controlplane.auth.roles import STREAMS, Account, Role
from controlplane.authorship import shown_author
from controlplane.batch import Refused, Stored
from controlplane.ingest import Outgoing, store
from controlplane.jetstream import last_message
from controlplane.reader import read_complete
from controlplane.repeats import stored_subject
from controlplane.streams import ensure
from tests.parts.broker import nats_server
from tests.parts.realm import Realm, not_refused
from tests.parts.reporting import until_stored
from tests.parts.shares import bind
from weft.errors import BrokerDeniedError, BrokerError
from weft.finding import Verdict
from weft.link import Link, LinkOptions
from weft.link.credentials import Credentials
from weft.wire.codec import decode_message
from weft.wire.digest import share_digest
from weft.wire.events import OperatorEvent, encode_event
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
async def plane(streams: Realm) -> AsyncIterator[ControlPlane]:
    """The Python API with an operator's credentials; an admin has made the streams."""
    async with ControlPlane.connect(options=streams.options(Role.OPERATOR, "ann")) as made:
        yield made


async def test_operator_can_do_the_whole_round(realm: Realm, plane: ControlPlane) -> None:
    """From checking the streams to ending the share: nothing is refused, singly or in batches."""
    async with asyncio.timeout(PATIENCE_S):
        assert len((await plane.init()).verified) == len(STREAMS)
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
    "making the stream": "$JS.API.STREAM.CREATE.weft-mounts",
    "changing the stream": "$JS.API.STREAM.UPDATE.weft-mounts",
    "emptying the stream": "$JS.API.STREAM.PURGE.weft-mounts",
    "having it delivered elsewhere": "$JS.API.CONSUMER.CREATE.weft-mounts.x",
    "noting it under another name": "weft.events.op.ann.publish",
    "noting it under no name": "weft.events.op.publish",
}
NOT_FOR_OBSERVERS = {
    **NOT_FOR_OPERATORS,
    "publishing": "weft.mounts.vm-1",
    "writing the catalog": "$KV.weft-catalog.share.docs",
    "noting what was done": "weft.events.op.bob.publish",
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
        await plane.create_class("algebra")
        await plane.add_members("algebra", VMS)
        await plane.publish(DOCS, classes=["algebra"])
        options = realm.options(Role.OBSERVER, "wallboard")
        async with ControlPlane.connect(options=options, operator="wallboard") as observer:
            assert [record.share.id for record in await observer.shares()] == ["docs"]
            assert len(await observer.status()) == len(VMS)
            assert set((await observer.sync(dry_run=True)).unchanged) == set(VMS)
            assert set(await observer.classes()) == {"algebra"}
            assert [edition.who for edition in await observer.history("docs")] == ["ann"]
            assert {entry.checked async for entry in observer.events()} == {"ann"}
            assert [found for found in await observer.check_up() if found.verdict is Verdict.BAD] == []
            assert observer.link.denied_subjects == frozenset()
            with pytest.raises(BrokerError):
                await observer.create_class("geometry")
        assert set(await plane.classes()) == {"algebra"}


async def test_what_an_admin_does_operators_cannot(realm: Realm, plane: ControlPlane) -> None:
    """Making streams and forgetting VMs is refused with the next command, before anything changed."""
    await plane.publish(DOCS, vms=["vm-1"])
    with pytest.raises(BrokerDeniedError, match="weft auth admin"):
        await plane.forget(["vm-1"])
    assert await plane.targets("docs") == ("vm-1",)
    async with ControlPlane.connect(options=realm.options(Role.ADMIN, "root")) as admin:
        assert (await admin.forget(["vm-1"])).messages == 1
    assert await last_message(plane.link, MOUNTS_STREAM, "weft.mounts.vm-1") is None


async def test_who_did_it_is_what_the_credentials_say(realm: Realm, plane: ControlPlane) -> None:
    """The broker lets each operator write under its own name only; another name is shown as a claim."""
    await plane.create_class("algebra")
    async with ControlPlane.connect(options=realm.options(Role.OPERATOR, "bob"), operator="the-director") as bob:
        await bob.create_class("geometry")
    forged = encode_event(OperatorEvent(who="the-director", action="class.delete", name="algebra"))
    await plane.link.request("weft.events.op.ann.class.delete", forged, timeout_s=PATIENCE_S)
    entries = [entry async for entry in plane.events()]
    assert [(entry.checked, entry.kind) for entry in entries] == [
        ("ann", "class.create"),
        ("bob", "class.create"),
        ("ann", "class.delete"),
    ]
    shown = [
        shown_author(entry.checked, entry.event.who) for entry in entries if isinstance(entry.event, OperatorEvent)
    ]
    assert shown == ["ann", "bob (for the-director)", "ann (says the-director)"]


async def test_an_operators_own_client_is_known_too(realm: Realm, plane: ControlPlane) -> None:
    """A program that brings its own connection needs only to say where answers arrive."""
    options = realm.options(Role.OPERATOR, "bob")
    nc = await nats.connect(realm.broker.url, user_credentials=str(options.creds), inbox_prefix="_INBOX.bob")
    async with ControlPlane(nc) as bob:
        await bob.create_class("geometry")
    await nc.close()
    assert [entry.checked async for entry in plane.events()] == ["bob"]


async def test_operators_hear_nothing_that_one_of_them_made_up(realm: Realm, plane: ControlPlane) -> None:
    """An answer can be aimed at what another operator listens to; it is told from what the broker repeats."""
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await plane.link.subscribe("weft.repeated.status.*", heard.put)
    await plane.link.flush()
    async with asyncio.timeout(PATIENCE_S), realm.connected(Role.OPERATOR, "mallory") as mallory:
        key = "$KV.weft-catalog.share.forged"
        await mallory.request(key, b"a status", timeout_s=PATIENCE_S)
        question = json.dumps({"last_by_subj": key}).encode()
        await mallory.publish("weft.api.DIRECT.GET.KV_weft-catalog", question, reply="weft.repeated.status.vm-1")
        forged = await heard.get()
    assert (forged.subject, forged.data) == ("weft.repeated.status.vm-1", b"a status")
    assert stored_subject(forged.subject, forged.headers) is None


async def test_ten_thousand_lists_are_published_and_read_across_accounts(realm: Realm, plane: ControlPlane) -> None:
    """Batches keep their conditions and their answers: what changed meanwhile is refused, and all else is stored."""
    lists = [Outgoing(f"weft.mounts.vm-{n}", b"x" * 400, 0) for n in range(10_000)]
    async with asyncio.timeout(60):
        assert set(await store(plane.link, lists)) == {Stored()}
        again = await store(plane.link, lists[:100])
        assert {type(verdict) for verdict in again} == {Refused}
        reading = await read_complete(plane.link, MOUNTS_STREAM, "weft.mounts.*")
    assert len(reading.last) == 10_000


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


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
async def test_credentials_of_an_older_weft_let_nobody_in_beside_the_streams(realm: Realm, role: Role) -> None:
    """They name the account of the streams, where keys of these roles count no more; a guest's are what they were."""
    keys, user = realm.auth.load_keys(), Key.generate(KeyKind.USER)
    claims = {"type": "user", "issuer_account": keys.accounts[Account.CONTROL].public}
    token = build_token(
        claims, name="ann", subject=user.public, issuer=keys.signing[role], issued_at_s=int(time.time())
    )
    path = realm.auth.path / "old.creds"
    path.write_text(Credentials(token, user.seed).as_text())
    with pytest.raises(BrokerDeniedError):
        await Link(LinkOptions(servers=(realm.broker.url,), creds=path)).connect()


async def test_an_older_realm_keeps_its_guests(tmp_path: Path) -> None:
    """A guest that was enrolled before comes back with the same file, after accounts.conf was brought up to date."""
    older = Realm(tmp_path)
    creds = tmp_path / "guest.creds"
    creds.write_text(older.auth.issue(Role.GUEST, "vm-1", now_s=time.time()).creds)
    (older.auth.path / "realm.json").write_text('{"schema": 1, "made_at_s": 1000}')
    for name in ("weft-operators", "weft-observers", "sign-admin"):
        (older.auth.path / "keys" / f"{name}.nk").unlink()
    made = older.auth.init(now_s=time.time())
    assert (made.is_new, made.is_upgraded) == (False, True)
    older.broker.config = older.config()
    async with asyncio.timeout(PATIENCE_S), older.broker:
        guest = LinkOptions(servers=(older.broker.url,), creds=creds, inbox_prefix="_INBOX_vm-1")
        async with older.connected(Role.ADMIN, "root") as root, Link(guest) as link:
            await ensure(root)
            await link.publish("weft.status.vm-1", b"here")
            await until_stored(root, "weft-status", "weft.status.vm-1", b"here")


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
