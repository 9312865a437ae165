"""Asks a running cfs-client, over its control port on loopback, whether it still answers anything at all."""

from __future__ import annotations

import asyncio

from agent.drivers.http_call import HttpError, call
from agent.supervise.listening import find_loopback_ports


async def answers_control(pid: int, *, deadline_s: float) -> bool:
    """
    Say whether the client *pid* answers; it does so while its whole cluster is away, so silence is its own.

    A client whose port is not found has not said no.
    """
    ports = find_loopback_ports(pid)
    if not ports:
        return True
    try:
        async with asyncio.timeout(deadline_s):
            for port in ports:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                await call(reader, writer, host="127.0.0.1", target="/loglevel/get")
    except (OSError, TimeoutError):
        return False
    except HttpError:
        return True  # an odd answer is one
    return True
