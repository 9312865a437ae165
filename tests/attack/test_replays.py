"""An answer that looks like what the broker repeats: what an operator hears is news, or it is dropped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from controlplane.auth.roles import Role
from controlplane.jetstream import last_message
from controlplane.repeats import stored_subject
from controlplane.streams import ensure
from tests.attack.conftest import CountProbes
from tests.parts.realm import Realm
from weft.wire.subjects import MOUNTS_STREAM, STATUS_STREAM

pytestmark = pytest.mark.integration

PATIENCE_S = 30.0
COPIED = {
    "Nats-Stream": STATUS_STREAM,
    "Nats-Subject": "weft.status.vm-1",
    "Nats-Sequence": "9",
    "Nats-Time-Stamp": "2030-01-01T00:00:00Z",
    "Nats-Last-Sequence": "8",
}
"""What the broker writes beside a copy, in its order."""
STORED_WITH = (
    {},
    {"Nats-Last-Sequence": "1"},
    {"Nats-Last-Sequence": "1", "X": "y"},
    {"Nats-Num-Pending": "1"},
    COPIED,
    {**COPIED, "Nats-Msg-Size": "0"},
    {**COPIED, "Nats-Subject": "weft.status.vm-2", "Nats-Stream": MOUNTS_STREAM},
)
"""Headers that a sender puts into its own message: an answer that repeats it has them too."""


@pytest.fixture
async def realm(tmp_path: Path) -> AsyncIterator[Realm]:
    """Accounts as they are shipped."""
    made = Realm(tmp_path)
    async with made.broker:
        async with made.connected(Role.ADMIN, "root") as link:
            await ensure(link)
        yield made


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
async def test_an_old_message_is_never_taken_for_a_new_one(realm: Realm, role: Role, count_probes: CountProbes) -> None:
    """Whatever headers its sender gave it: who has the answer to a question come out there is not heard."""
    heard: list[tuple[str, bytes]] = []
    everything = asyncio.Event()

    async def hear(msg: Msg) -> None:
        subject = stored_subject(msg.subject, msg.headers)
        if subject is not None:
            heard.append((subject, msg.data))
        if msg.data == b"last":
            everything.set()

    sent: list[tuple[str, bytes]] = []
    async with (
        asyncio.timeout(PATIENCE_S),
        realm.connected(role, "victim") as victim,
        realm.connected(role, "mallory") as mallory,
        realm.connected(Role.OPERATOR, "ann") as ann,
        realm.connected(Role.GUEST, "vm-1") as guest,
    ):
        await victim.subscribe("weft.repeated.status.*", hear)
        await victim.subscribe("weft.live.*", hear)
        await victim.flush()
        for number, headers in enumerate(STORED_WITH):
            for sender, stream, subject, repeated in (
                (guest, STATUS_STREAM, "weft.status.vm-1", "weft.repeated.status.vm-1"),
                (ann, MOUNTS_STREAM, "weft.mounts.vm-1", "weft.live.vm-1"),
            ):
                data = b"%d" % number
                await sender.publish(subject, data, headers=headers)
                while (found := await last_message(ann, stream, subject)) is None or found.data != data:
                    await ann.flush()
                sent.append((subject, data))
                for question in ({"last_by_subj": subject}, {"seq": 1, "next_by_subj": subject, "batch": 1}):
                    body = json.dumps(question).encode()
                    await mallory.publish(f"weft.api.DIRECT.GET.{stream}", body, reply=repeated)
                    await mallory.publish(f"weft.api.STREAM.MSG.GET.{stream}", body, reply=repeated)
                    count_probes("old messages sent as new ones", 2)
                await mallory.flush()
        await guest.publish("weft.status.vm-1", b"last")
        await everything.wait()
    assert sorted(set(heard) - {("weft.status.vm-1", b"last")}) == sorted(set(sent))
    assert len(heard) == len(set(heard))
