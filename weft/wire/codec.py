"""Bytes to messages and back."""

from __future__ import annotations

from typing import Any

import msgspec

from weft.errors import DecodeError
from weft.wire.mountset import MountSet, mount_set_to_builtins, parse_mount_set
from weft.wire.share import ShareMount, parse_share, share_to_builtins

Message = ShareMount | MountSet

MAX_MESSAGE_BYTES = 8 << 20
"""The largest max_payload that NATS recommends; where another way brings more, it is not even read."""

_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


def decode_message(data: bytes, *, max_shares: int | None = None) -> Message:
    """
    Read what arrived on a VM's subject: the whole state, or a single share.

    Args:
        data: UTF-8 JSON, one object.
        max_shares: How many elements a list may have, None for any number.

    Returns:
        A :class:`MountSet` where the object has a ``shares`` key (bad elements are in its ``rejected``),
        else a :class:`ShareMount`.

    Raises:
        TooManySharesError: it is a list with more elements; none of them was read.
        DecodeError: not JSON, not an object, or a frame or single share that breaks the contract.
    """
    obj = decode_object(data, what="mount message")
    return parse_mount_set(obj, max_shares=max_shares) if "shares" in obj else parse_share(obj)


def encode_message(message: Message) -> bytes:
    """
    Write a message as compact JSON, fields in the contract's order.

    Returns:
        The bytes to publish; ``<``, ``>`` and ``&`` stand unescaped, which every JSON reader accepts.
    """
    match message:
        case MountSet():
            return _ENCODER.encode(mount_set_to_builtins(message))
        case ShareMount():
            return _ENCODER.encode(share_to_builtins(message))


def decode_object(data: bytes, *, what: str) -> dict[str, Any]:
    """
    Read one JSON object.

    Raises:
        DecodeError: not JSON, or JSON of another kind.
    """
    obj = decode_json(data, what=what)
    if not isinstance(obj, dict):
        raise DecodeError(f"cannot decode {what}: it must be a JSON object")
    return obj


def decode_json(data: bytes | msgspec.Raw, *, what: str) -> Any:
    """
    Read JSON of any kind, whatever is wrong with it being one error.

    Raises:
        DecodeError: not JSON, not UTF-8, too large, or nested too deeply.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"cannot decode {what}: it has {len(data)} bytes, more than {MAX_MESSAGE_BYTES}")
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise DecodeError(f"cannot decode {what}: {exc}") from exc
    except RecursionError as exc:
        raise DecodeError(f"cannot decode {what}: it is nested too deeply") from exc
