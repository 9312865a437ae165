"""Which catalog this is (pure): its id, and the catalogs before it whose messages it continues."""

from __future__ import annotations

from typing import Annotated

import msgspec

from weft.wire.codec import decode_object
from weft.wire.fields import Change, declare
from weft.wire.tolerant import Tolerant, from_builtins, to_builtins

IDENTITY_KEY = "meta.catalog"
"""The catalog's entry that says which one it is."""


def _says(text: str) -> msgspec.Meta:
    return declare(text, change=Change.NONE)


class Identity(Tolerant, frozen=True, kw_only=True):
    """The id that messages name, and, for each earlier catalog, the sequence up to which this one knows its changes."""

    id: Annotated[str, _says("The catalog's id.")] = ""
    continues: Annotated[dict[str, int], _says("Earlier catalogs, and how far they are known.")] = {}  # noqa: RUF012


def encode_identity(identity: Identity) -> bytes:
    """Write it as the catalog stores it."""
    return msgspec.json.encode(to_builtins(identity))


def decode_identity(data: bytes) -> Identity:
    """
    Read it.

    Raises:
        DecodeError: It breaks the contract.
    """
    return from_builtins(Identity, decode_object(data, what="identity"), what="identity")
