"""Nkeys and the tokens they sign: the form in which a NATS operator states what accounts and users are."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from enum import Enum
from typing import Any

import nkeys  # type: ignore[import-untyped]  # it has no stubs


class KeyKind(Enum):
    """What a key stands for; its public half begins with the letter."""

    OPERATOR = "O"
    ACCOUNT = "A"
    USER = "U"


_PREFIX_BYTES = {
    KeyKind.OPERATOR: nkeys.PREFIX_BYTE_OPERATOR,
    KeyKind.ACCOUNT: nkeys.PREFIX_BYTE_ACCOUNT,
    KeyKind.USER: nkeys.PREFIX_BYTE_USER,
}


class Key:
    """
    A key pair; its seed shows in no repr.

    Args:
        pair: The pair as the library has it.
    """

    def __init__(self, pair: nkeys.KeyPair) -> None:
        self._pair = pair

    @classmethod
    def generate(cls, kind: KeyKind) -> Key:
        """Make a new key from the system's randomness."""
        return cls(nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), _PREFIX_BYTES[kind]))))

    @classmethod
    def from_seed(cls, seed: str, kind: KeyKind) -> Key:
        """
        Read a key from its seed.

        Raises:
            ValueError: It is not the intact seed of a key of this kind; the text does not repeat it.
        """
        text = seed.strip().encode()
        try:
            prefix, raw = nkeys.decode_seed(text)
            # The library does not look at the checksum (nkeys 0.2), and a damaged seed is the seed of another key.
            is_right = prefix == _PREFIX_BYTES[kind] and nkeys.encode_seed(raw, prefix) == text
        except (nkeys.NkeysError, ValueError):  # binascii.Error is a ValueError
            is_right = False
        if not is_right:
            raise ValueError(f"it is not the seed of a NATS {kind.name.lower()} key")
        return cls(nkeys.from_seed(bytearray(text)))

    @property
    def public(self) -> str:
        """The public half, by which everybody knows the key."""
        return str(self._pair.public_key.decode())

    @property
    def seed(self) -> str:
        """The secret half, as text."""
        return str(self._pair.seed.decode())

    def sign(self, data: bytes) -> bytes:
        """Sign *data*."""
        return bytes(self._pair.sign(data))

    def __repr__(self) -> str:
        return f"Key({self.public})"


def build_token(
    claims: Mapping[str, Any],
    *,
    name: str,
    subject: str,
    issuer: Key,
    issued_at_s: int,
    expires_at_s: int | None = None,
) -> str:
    """
    State *claims* about the holder of a key, signed by another one.

    The same arguments give the same text: the token's id is a digest of what it says.

    Args:
        claims: The part that NATS defines, with its ``type``.
        name: What people call the holder.
        subject: The holder's public key.
        issuer: Who states it.
        issued_at_s: When, as a Unix time.
        expires_at_s: Until when it is true; None means for ever.

    Source:
        NATS JWT version 2 (ed25519-nkey).
    """
    body: dict[str, Any] = {
        "iat": issued_at_s,
        "iss": issuer.public,
        "name": name,
        "sub": subject,
        "nats": {**claims, "version": 2},
    }
    if expires_at_s is not None:
        body["exp"] = expires_at_s
    digest = hashlib.sha256(_json(body)).digest()
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    unsigned = f"{_text(_json({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_text(_json(body))}"
    return f"{unsigned}.{_text(issuer.sign(unsigned.encode()))}"


def claims_of(token: str) -> dict[str, Any]:
    """Read what *token* says, without checking who signed it."""
    part = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
