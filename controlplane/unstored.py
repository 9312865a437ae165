"""Sending a share to guests of a broker that stores nothing."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.projection import expand
from weft.errors import BrokerError
from weft.link import Link
from weft.wire.codec import encode_message
from weft.wire.ids import VmId
from weft.wire.share import ShareMount
from weft.wire.subjects import subject


async def send_unstored(link: Link, share: ShareMount, vms: Sequence[VmId]) -> int:
    """
    Send *share* as a single message to each of *vms*; whoever does not listen now never gets it.

    Returns:
        How many were sent; the broker has received them all.

    Raises:
        BrokerError: The broker has JetStream, where this would bypass the catalog, or was lost.
    """
    if link.has_jetstream:
        raise BrokerError("cannot send unstored: this broker has JetStream (publish without --unstored)")
    for vm in vms:
        await link.publish(subject(vm), encode_message(expand(share, vm)))
    await link.flush()
    return len(vms)
