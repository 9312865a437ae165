"""An operator with one account for a test broker, and users of it as credentials files."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Sequence

import nkeys  # type: ignore[import-untyped]  # it has no stubs

EVERYTHING = (">",)


class Identities:
    """Signs users that a broker started with ``config()`` accepts."""

    def __init__(self) -> None:
        self._operator = _pair(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = _pair(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = _pair(nkeys.PREFIX_BYTE_ACCOUNT)

    def config(self) -> str:
        """Return the configuration text that makes a broker trust this operator and its account."""
        operator = _signed(self._operator, self._operator, "operator", {"type": "operator"})
        unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
        preload = {
            _public(account): _signed(account, self._operator, name, {"type": "account", "limits": limits})
            for name, account, limits in (
                ("account", self._account, unlimited | storage | {"wildcards": True}),
                ("system", self._system, unlimited | {"wildcards": True}),
            )
        }
        resolver = "\n".join(f"{public}: {jwt}" for public, jwt in preload.items())
        return (
            f"operator: {operator}\nsystem_account: {_public(self._system)}\n"
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
        user = _pair(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        grants = {"pub": {"allow": list(publish)}, "sub": {"allow": list(subscribe)}}
        jwt = _signed(user, self._account, name, claims | grants, lifetime_s)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )


def _pair(kind: int) -> nkeys.KeyPair:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), kind)))


def _public(pair: nkeys.KeyPair) -> str:
    return str(pair.public_key.decode())


def _signed(
    subject: nkeys.KeyPair, issuer: nkeys.KeyPair, name: str, claims: dict[str, object], lifetime_s: int | None = None
) -> str:
    now = int(time.time())
    body: dict[str, object] = {
        "jti": base64.b32encode(os.urandom(16)).decode().rstrip("="),
        "iat": now,
        "iss": _public(issuer),
        "name": name,
        "sub": _public(subject),
        "nats": claims | {"version": 2},
    }
    if lifetime_s is not None:
        body["exp"] = now + lifetime_s
    unsigned = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(body)}"
    return f"{unsigned}.{_text(issuer.sign(unsigned.encode()))}"


def _part(value: dict[str, object]) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
