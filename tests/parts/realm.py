"""A realm of its own for a test broker: accounts as ``weft auth init`` writes them, and links as its users."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from controlplane.auth.directory import AuthDirectory
from controlplane.auth.roles import Role
from tests.parts.broker import Broker
from weft.errors import BrokerDeniedError, BrokerError
from weft.link import Link, LinkOptions
from weft.wire.ids import parse_vm_id
from weft.wire.subjects import inbox_prefix


class Realm:
    """
    An auth directory, and a broker that trusts it.

    Args:
        directory: Where everything goes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.auth = AuthDirectory(directory / "auth")
        self.auth.init(now_s=time.time())
        self.broker = Broker(directory / "broker", config=self.config())

    def config(self) -> str:
        """Return what the broker must know of the realm now."""
        return self.auth.accounts_conf.read_text()

    def options(self, role: Role, name: str, *, lifetime_s: float | None = None) -> LinkOptions:
        """Make a user, and say how it connects."""
        path = self._directory / f"{role}-{name}.creds"
        path.write_text(self.auth.issue(role, name, now_s=time.time(), lifetime_s=lifetime_s).creds)
        prefix = inbox_prefix(parse_vm_id(name)) if role is Role.GUEST else "_INBOX"
        return LinkOptions(servers=(self.broker.url,), creds=path, inbox_prefix=prefix)

    @asynccontextmanager
    async def connected(self, role: Role, name: str) -> AsyncIterator[Link]:
        """Connect as a new user."""
        async with Link(self.options(role, name)) as link:
            yield link


async def not_refused(link: Link, subjects: Mapping[str, str]) -> list[str]:
    """Try to send on each of *subjects*, and name those that the broker did not refuse."""
    passed = []
    for what, subject in subjects.items():
        try:
            await link.request(subject, b"{}", timeout_s=2.0)
            passed.append(what)
        except BrokerDeniedError as exc:
            if subject not in str(exc):
                passed.append(f"{what} ({exc})")
        except BrokerError as exc:
            passed.append(f"{what} ({exc})")
    return passed
