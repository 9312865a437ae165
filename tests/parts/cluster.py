"""A real cluster of nats-servers for tests: streams on all of them, nodes frozen and thawed at will."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from controlplane import ControlPlane
from controlplane.jetstream import ask
from tests.parts.broker import Broker
from weft.errors import BrokerError

READY_S = 90.0


class BrokerCluster:
    """
    Brokers that know each other; ``async with`` it.

    Args:
        directory: Where their configurations and stores go.
        size: How many.

    Attributes:
        nodes: The brokers.
    """

    def __init__(self, directory: Path, *, size: int = 3) -> None:
        ports = free_ports(size)
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
        self.nodes = [
            Broker(
                directory / f"node-{port}",
                config=f"server_name: node-{port}\ncluster {{ name: c, listen: 127.0.0.1:{port}, routes: [{routes}] }}",
            )
            for port in ports
        ]
        self._names = {f"node-{port}": node for port, node in zip(ports, self.nodes, strict=True)}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(*(self._stack.enter_async_context(node) for node in self.nodes))
            await self._make_streams()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _make_streams(self) -> None:
        """Wait until the cluster has a leader and made the streams."""
        async with asyncio.timeout(READY_S), ControlPlane.connect(self.nodes[0].url) as plane:
            while True:
                with contextlib.suppress(BrokerError):
                    await plane.init(replicas=len(self.nodes))
                    await plane.shares()
                    return

    async def followers_of(self, plane: ControlPlane, stream: str) -> list[Broker]:
        """Return the nodes that hold a copy of *stream* and do not lead it."""
        leader = (await ask(plane.link, f"STREAM.INFO.{stream}", stream=stream))["cluster"]["leader"]
        return [node for name, node in self._names.items() if name != leader]


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        return [_bound(stack).getsockname()[1] for _ in range(count)]


def _bound(stack: contextlib.ExitStack) -> socket.socket:
    found = stack.enter_context(socket.socket())
    found.bind(("127.0.0.1", 0))
    return found


@contextlib.contextmanager
def frozen(node: Broker) -> Iterator[None]:
    """Hold *node* still; what it misses meanwhile it has to catch up with afterwards."""
    node.freeze()
    try:
        yield
    finally:
        node.thaw()
