"""What the stream really holds, read without the code under test."""

from __future__ import annotations

import nats
from nats.js.errors import NotFoundError

from tests.parts.broker import Broker
from weft.wire.codec import decode_message
from weft.wire.mountset import MountSet


async def stored_sets(broker: Broker) -> dict[str, MountSet]:
    """Return every VM's stored set."""
    nc = await nats.connect(broker.url)
    try:
        js = nc.jetstream()
        found: dict[str, MountSet] = {}
        for subject in (await js.stream_info("weft-mounts", subjects_filter=">")).state.subjects or {}:
            message = decode_message((await js.get_last_msg("weft-mounts", subject)).data or b"")
            assert isinstance(message, MountSet)
            found[subject.rsplit(".", 1)[-1]] = message
        return found
    finally:
        await nc.close()


async def stored_set(broker: Broker, vm: str) -> MountSet | None:
    """Return one VM's stored set, None where there is none."""
    nc = await nats.connect(broker.url)
    try:
        raw = await nc.jetstream().get_last_msg("weft-mounts", f"weft.mounts.{vm}")
    except NotFoundError:
        return None
    finally:
        await nc.close()
    message = decode_message(raw.data or b"")
    assert isinstance(message, MountSet)
    return message


async def count_stored(broker: Broker) -> int:
    """Return how many messages the stream has ever stored."""
    nc = await nats.connect(broker.url)
    try:
        return (await nc.jetstream().stream_info("weft-mounts")).state.last_seq
    finally:
        await nc.close()
