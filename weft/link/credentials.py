"""Read a NATS credentials file, refusing a malformed one with a sentence that never repeats its content."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from pathlib import Path

import nkeys  # type: ignore[import-untyped]  # it has no stubs

from weft.errors import ConfigError

MAX_BYTES = 64 * 1024
"""A credentials file has about 1 kB; anything far above is another file."""

_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\s+-+END NATS USER JWT-+")
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END USER NKEY SEED-+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's JWT and the seed that proves it; neither shows in a repr."""

    jwt: str = field(repr=False)
    seed: str = field(repr=False)

    def as_text(self) -> str:
        """Return the canonical file text, whatever line endings the original had."""
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.seed}\n------END USER NKEY SEED------\n"
        )


def load_credentials(path: Path) -> Credentials:
    """
    Read the credentials file at *path*.

    The client library spins for ever on a file without the JWT marker and reads the
    file again while it connects, so it is given a checked copy instead of a path.

    Raises:
        ConfigError: The file is missing, unreadable or not a credentials file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise _refused(path, (exc.strerror or type(exc).__name__).lower()) from exc
    if len(content) > MAX_BYTES:
        raise _refused(path, "it is too large for a credentials file")
    return parse_credentials(content.decode("utf-8", errors="replace"), path)


def parse_credentials(text: str, path: Path) -> Credentials:
    """
    Turn a credentials file's *text* into its two parts; *path* is only for the error.

    Raises:
        ConfigError: The JWT or the seed is missing or damaged.
    """
    jwt = _JWT.search(text)
    if jwt is None:
        raise _refused(path, "it has no NATS user JWT")
    seed = _SEED.search(text)
    if seed is None:
        raise _refused(path, "it has no user nkey seed")
    if not is_user_seed(seed[1]):
        raise _refused(path, "its seed is not a user nkey seed")
    return Credentials(jwt[1], seed[1])


def is_user_seed(seed: str) -> bool:
    """Say whether *seed* is the intact seed of a user nkey; its checksum is verified, which the library leaves out."""
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        if binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
            return False
        pair = nkeys.from_seed(bytearray(seed.encode()))
        is_user = pair.public_key.startswith(b"U")
        pair.wipe()
    except (nkeys.NkeysError, binascii.Error, ValueError):
        return False
    return bool(is_user)


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError([f"creds: cannot use {path}: {why}"])
