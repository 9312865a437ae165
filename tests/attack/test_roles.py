"""Each role's credentials against a real broker: what they can send, read and change, judged from outside."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from controlplane.auth.jwt import Key, KeyKind, build_token
from controlplane.auth.roles import Account, Role
from controlplane.jetstream import last_message
from controlplane.repeats import stored_subject
from controlplane.streams import ensure
from tests.attack.conftest import CountProbes
from tests.attack.roles import (
    ATTACKER,
    CANARY,
    FAMILIES,
    HEADERS,
    REPLIES,
    TO_HEAR,
    VICTIM,
    Family,
    bodies_for,
)
from tests.parts.realm import Realm
from weft.link import Link, LinkOptions
from weft.link.credentials import Credentials
from weft.wire.subjects import CATALOG_STREAM, EVENTS_STREAM, GUEST_EVENTS_STREAM, MOUNTS_STREAM, STATUS_STREAM

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0
SECRET = b"known-to-nobody-else"
"""Stands in what another guest was sent: it must reach no guest but that one."""
SETTLED = "settled"
"""In subjects that only the judge writes to."""
PAGE = Path(__file__).parents[2] / "docs" / "auth.md"
BEGIN, END = "<!-- roles: begin -->", "<!-- roles: end -->"
HOSTILE = (Role.GUEST, Role.OBSERVER, Role.OPERATOR)
"""An admin lives with the streams, and is trusted with them."""

Stock = Mapping[str, Any]


class Judge:
    """Sees everything in the account of the streams, with a user that no role has."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.repeated: set[tuple[str, str, bytes]] = set()
        self._marks = 0

    async def ask(self, question: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream as one who may ask everything."""
        data = json.dumps(body).encode() if body else b""
        answer = await self._link.request(f"$JS.API.{question}", data, timeout_s=PATIENCE_S)
        reply: dict[str, Any] = json.loads(answer.data)
        return reply

    async def prepare(self) -> None:
        """Store what an attacker may want to read or change, and note what the broker repeats from now on."""
        for stream, subject in (
            (MOUNTS_STREAM, f"weft.mounts.{VICTIM}"),
            (MOUNTS_STREAM, f"weft.mounts.{CANARY}"),
            (STATUS_STREAM, f"weft.status.{VICTIM}"),
            (STATUS_STREAM, f"weft.status.{CANARY}"),
            (GUEST_EVENTS_STREAM, f"weft.events.vm.{VICTIM}.share.failed"),
            (GUEST_EVENTS_STREAM, f"weft.events.vm.{CANARY}.share.failed"),
            (EVENTS_STREAM, f"weft.events.op.{VICTIM}.publish"),
            (CATALOG_STREAM, f"$KV.weft-catalog.share.{CANARY}"),
        ):
            await self._store(stream, subject, SECRET)
        for subject in ("weft.live.*", "weft.repeated.>"):
            await self._link.subscribe(subject, self._note)
        await self._link.flush()

    async def _store(self, stream: str, subject: str, data: bytes) -> None:
        """Return when it is stored: guests' streams give no answer."""
        await self._link.publish(subject, data)
        async with asyncio.timeout(PATIENCE_S):
            while (found := await last_message(self._link, stream, subject)) is None or found.data != data:
                await self._link.flush()

    async def _note(self, msg: Msg) -> None:
        self.repeated.add((msg.subject, (msg.headers or {}).get("Nats-Sequence", ""), msg.data))

    async def stock(self) -> Stock:
        """Say what there is: every stream's settings, each subject's number of messages and last one, consumers."""
        listed = (await self.ask("STREAM.LIST")).get("streams") or []
        stock: dict[str, Any] = {"streams": sorted(each["config"]["name"] for each in listed)}
        for each in listed:
            name = each["config"]["name"]
            stock[f"config {name}"] = each["config"]
            stock[f"consumers {name}"] = (await self.ask(f"CONSUMER.NAMES.{name}")).get("consumers") or []
            info = await self.ask(f"STREAM.INFO.{name}", {"subjects_filter": ">"})
            for subject, number in (info["state"].get("subjects") or {}).items():
                if SETTLED in subject:
                    continue
                last = (await self.ask(f"STREAM.MSG.GET.{name}", {"last_by_subj": subject}))["message"]
                stock[subject] = (number, last["seq"], last.get("data", ""))
        return stock

    async def settle(self) -> None:
        """Return once what was caused so far has happened: a stream takes messages in order."""
        self._marks += 1
        for stream, subject in (
            (MOUNTS_STREAM, f"weft.mounts.{SETTLED}"),
            (STATUS_STREAM, f"weft.status.{SETTLED}"),
            (EVENTS_STREAM, f"weft.events.op.{SETTLED}.publish"),
            (GUEST_EVENTS_STREAM, f"weft.events.vm.{SETTLED}.share.failed"),
            (CATALOG_STREAM, f"$KV.weft-catalog.share.{SETTLED}"),
        ):
            await self._store(stream, subject, b"%d" % self._marks)
        await self._link.flush()


@asynccontextmanager
async def judged(realm: Realm) -> AsyncIterator[Judge]:
    """Connect a judge: signed by the account's own key, it has no role and so no limits."""
    keys, user = realm.auth.load_keys(), Key.generate(KeyKind.USER)
    issuer = keys.accounts[Account.CONTROL]
    claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
    token = build_token(claims, name="judge", subject=user.public, issuer=issuer, issued_at_s=int(time.time()))
    path = realm.auth.path / "judge.creds"
    path.write_text(Credentials(token, user.seed).as_text())
    async with Link(LinkOptions(servers=(realm.broker.url,), creds=path)) as link:
        judge = Judge(link)
        await judge.prepare()
        yield judge


class Attacker:
    """A role's credentials in the hands of somebody who writes a client of his own."""

    def __init__(self, link: Link, role: Role) -> None:
        self._link = link
        self.role = role
        self.received: list[Msg] = []
        prefix = f"_INBOX_{ATTACKER}" if role is Role.GUEST else f"_INBOX.{ATTACKER}"
        self.inbox = f"{prefix}.probe"
        self.probes = 0

    async def listen(self) -> None:
        """Take every answer."""
        await self._link.subscribe(f"{self.inbox}.>", self._take)
        await self._link.flush()

    async def _take(self, msg: Msg) -> None:
        self.received.append(msg)

    async def send(self, subject: str, body: bytes, reply: str, headers: Mapping[str, str]) -> None:
        """Try one combination; without a reply of his own an answer comes to the attacker."""
        self.probes += 1
        await self._link.publish(subject, body, reply=reply or f"{self.inbox}.{self.probes}", headers=headers or None)

    async def until_judged(self) -> None:
        """Return once the broker has processed everything, refusals included."""
        await self._link.flush(PATIENCE_S)

    @property
    def denied(self) -> frozenset[str]:
        """Every subject that the broker refused so far."""
        return self._link.denied_subjects


@pytest.fixture
async def realm(tmp_path: Path) -> AsyncIterator[Realm]:
    """A broker with the accounts of ``weft auth init``, and the streams of ``weft init``."""
    made = Realm(tmp_path)
    async with made.broker:
        async with made.connected(Role.ADMIN, "root") as link:
            await ensure(link)
        yield made


@asynccontextmanager
async def attacking(realm: Realm, role: Role) -> AsyncIterator[Attacker]:
    """Connect as *role*."""
    async with realm.connected(role, ATTACKER) as link:
        attacker = Attacker(link, role)
        await attacker.listen()
        yield attacker


def is_own(role: Role, subject: str) -> bool:
    """Say whether *role* may write what lies on *subject*; a canary is nobody's."""
    if CANARY in subject:
        return False
    own = {
        Role.GUEST: (f"weft.status.{ATTACKER}", f"weft.events.vm.{ATTACKER}."),
        Role.OBSERVER: (),
        Role.OPERATOR: ("weft.mounts.", "$KV.weft-catalog.", f"weft.events.op.{ATTACKER}."),
        Role.ADMIN: (),
    }
    return subject.startswith(own[role])


def changes(before: Stock, after: Stock) -> set[str]:
    """Name what differs."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def allowed(role: Role) -> list[str]:
    """List the subjects of the table that *role* may send to."""
    return [subject for family in FAMILIES if role in family.may for subject in family.subjects]


Probe = tuple[str, bytes, str, dict[str, str]]


def each_subject(families: Iterable[Family]) -> Iterable[Probe]:
    """Try every subject with every body that could do harm there."""
    return ((s, body, "", {}) for family in families for s in family.subjects for body in bodies_for(s))


def each_trick(role: Role) -> Iterable[Probe]:
    """Try every reply and every header on each subject that *role* may send to: the broker judges these by subject."""
    for subject in allowed(role):
        bodies = bodies_for(subject)
        yield from ((subject, body, reply, {}) for body in bodies for reply in REPLIES)
        yield from ((subject, bodies[min(1, len(bodies) - 1)], "", headers) for headers in HEADERS)


def everything(role: Role) -> Iterable[Probe]:
    """Try the whole product, the refused subjects too."""
    for subject in (s for family in FAMILIES for s in family.subjects):
        bodies = bodies_for(subject) if subject in allowed(role) else bodies_for(subject)[:2]
        yield from ((s, b, r, h) for s, b, r, h in product([subject], bodies, REPLIES, HEADERS))


async def attack(attacker: Attacker, probes: Iterable[Probe]) -> int:
    """Send all *probes*, and return how many there were."""
    number = 0
    for number, probe in enumerate(probes, start=1):
        await attacker.send(*probe)
        if number % 500 == 0:
            await attacker.until_judged()
    await attacker.until_judged()
    return number


async def play(realm: Realm, role: Role, probes: Iterable[Probe], count_probes: CountProbes, kind: str) -> None:
    """Attack with the credentials of *role*, and judge what came of it."""
    heard: list[Msg] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg)

    async with judged(realm) as judge, realm.connected(Role.OPERATOR, VICTIM) as victim:
        for subject in ("weft.live.*", "weft.repeated.>"):
            await victim.subscribe(subject, hear)
        await victim.flush()
        before = await judge.stock()
        async with attacking(realm, role) as attacker:
            number = await attack(attacker, probes)
            await judge.settle()
            await attacker.until_judged()
            received = tuple(attacker.received)
        after = await judge.stock()
        await judge.settle()
        await victim.flush()
        foreign = {name for name in changes(before, after) if not is_own(role, name)}
        assert not foreign, f"{role} changed {sorted(foreign)}"
        if role is Role.GUEST:
            assert not [msg for msg in received if SECRET in msg.data]
        forged = {
            (msg.subject, msg.data)
            for msg in heard
            if stored_subject(msg.subject, msg.headers) is not None
            and (msg.subject, (msg.headers or {})["Nats-Sequence"], msg.data) not in judge.repeated
        }
        assert not forged, f"{role} made operators hear {sorted(forged)[:3]}"
    count_probes(f"{kind} as {role}", number)


@pytest.mark.parametrize("role", HOSTILE)
async def test_no_subject_lets_a_role_change_what_is_not_its_own(
    realm: Realm, role: Role, count_probes: CountProbes
) -> None:
    """Every subject of JetStream's API and of weft, with every body: settings, messages and consumers stay."""
    await play(realm, role, each_subject(FAMILIES), count_probes, "subjects tried")


@pytest.mark.parametrize("role", HOSTILE)
async def test_no_reply_and_no_header_changes_what_is_not_a_roles_own(
    realm: Realm, role: Role, count_probes: CountProbes
) -> None:
    """An answer cannot be aimed, a header cannot remove, trace, schedule, or stand for another account."""
    await play(realm, role, each_trick(role), count_probes, "replies and headers tried")


@pytest.mark.long_attack
@pytest.mark.parametrize("role", HOSTILE)
async def test_no_combination_changes_what_is_not_a_roles_own(
    realm: Realm, role: Role, count_probes: CountProbes
) -> None:
    """The whole product of subjects, bodies, replies and headers."""
    await play(realm, role, everything(role), count_probes, "combinations tried")


@pytest.mark.parametrize("role", list(Role))
async def test_nobody_hears_what_is_not_for_his_role(realm: Realm, role: Role, count_probes: CountProbes) -> None:
    """Neither others' answers, nor the API's traffic, nor anything by a wildcard; reading roles hear the copies."""

    async def keep(msg: Msg) -> None:
        raise AssertionError(msg.subject)

    may_follow = role is not Role.GUEST
    async with realm.connected(role, ATTACKER) as link:
        # A broker takes ">" for one token where "*" is allowed, and then delivers what "*" would.
        subjects = [s for s in TO_HEAR if not (may_follow and s.startswith("weft.live."))]
        for subject in subjects:
            await link.subscribe(subject, keep)
        await link.flush()
        assert link.denied_subjects == frozenset(subjects)
    count_probes(f"subscriptions tried as {role}", len(subjects))


async def outcomes(realm: Realm) -> dict[Family, dict[Role, str]]:
    """Ask the broker about each subject of the table with each role."""
    table: dict[Family, dict[Role, str]] = {family: {} for family in FAMILIES}
    for role in Role:
        async with attacking(realm, role) as attacker:
            for subject in (s for family in FAMILIES for s in family.subjects):
                # A body that JetStream cannot read: it is asked whether an admin may, not to do it.
                await attacker.send(subject, b"{", "", {})
            await attacker.until_judged()
            for family in FAMILIES:
                refused = sum(subject in attacker.denied for subject in family.subjects)
                few = "allowed" if refused == 0 else "refused" if refused == len(family.subjects) else "some"
                table[family][role] = few
    return table


def as_markdown(table: Mapping[Family, Mapping[Role, str]]) -> str:
    """Write the table as the manual has it."""
    lines = [
        f"| what is sent | subjects | {' | '.join(Role)} |",
        f"| --- | --- | {' | '.join('---' for _ in Role)} |",
    ]
    lines += [
        f"| {family.name} | {len(family.subjects)} | {' | '.join(may[role] for role in Role)} |"
        for family, may in table.items()
    ]
    return "\n".join(lines)


async def test_the_table_in_the_manual_is_what_the_broker_does(realm: Realm, count_probes: CountProbes) -> None:
    """Printed by this test, and compared with the page; what is not meant for a role is refused, all of it."""
    table = await outcomes(realm)
    text = as_markdown(table)
    print(text)
    wrong = [
        (family.name, role.value, may[role])
        for family, may in table.items()
        for role in Role
        if may[role] != ("allowed" if role in family.may else "refused")
    ]
    assert wrong == []
    page = PAGE.read_text()
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == text
    count_probes("cells of the table of roles", len(table) * len(Role))
