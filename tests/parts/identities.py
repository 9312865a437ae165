"""An operator with one account for a test broker, and users of it as credentials files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.auth.jwt import Key, KeyKind, build_token
from weft.link.credentials import Credentials

EVERYTHING = (">",)


class Identities:
    """Signs users that a broker started with ``config()`` accepts."""

    def __init__(self) -> None:
        self._operator = Key.generate(KeyKind.OPERATOR)
        self._account = Key.generate(KeyKind.ACCOUNT)
        self._system = Key.generate(KeyKind.ACCOUNT)

    def config(self) -> str:
        """Return the configuration text that makes a broker trust this operator and its account."""
        operator = _signed(self._operator, self._operator, "operator", {"type": "operator"})
        unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
        preload = {
            account.public: _signed(account, self._operator, name, {"type": "account", "limits": limits})
            for name, account, limits in (
                ("account", self._account, unlimited | storage | {"wildcards": True}),
                ("system", self._system, unlimited | {"wildcards": True}),
            )
        }
        resolver = "\n".join(f"{public}: {jwt}" for public, jwt in preload.items())
        return (
            f"operator: {operator}\nsystem_account: {self._system.public}\n"
            f"resolver: MEMORY\nresolver_preload {{\n{resolver}\n}}\n"
        )

    def credentials(
        self,
        name: str = "guest",
        *,
        publish: Sequence[str] = EVERYTHING,
        subscribe: Sequence[str] = EVERYTHING,
        lifetime_s: int | None = None,
    ) -> str:
        """
        Return the text of a credentials file for a new user.

        Args:
            name: The user's name.
            publish: Subjects it may publish on.
            subscribe: Subjects it may subscribe to.
            lifetime_s: Whole seconds until the broker throws it out; None means never.
        """
        user = Key.generate(KeyKind.USER)
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        grants = {"pub": {"allow": list(publish)}, "sub": {"allow": list(subscribe)}}
        jwt = _signed(user, self._account, name, claims | grants, lifetime_s)
        return Credentials(jwt, user.seed).as_text()


def _signed(subject: Key, issuer: Key, name: str, claims: Mapping[str, Any], lifetime_s: int | None = None) -> str:
    now_s = int(time.time())
    expires_at_s = None if lifetime_s is None else now_s + lifetime_s
    return build_token(
        claims, name=name, subject=subject.public, issuer=issuer, issued_at_s=now_s, expires_at_s=expires_at_s
    )
