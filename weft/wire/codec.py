"""Bytes to messages and back."""

from __future__ import annotations

from typing import Any

import msgspec

from weft.errors import DecodeError
from weft.wire.mountset import MountSet, mount_set_to_builtins, parse_mount_set
from weft.wire.share import ShareMount, parse_share, share_to_builtins

Message = ShareMount | MountSet

_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


def decode_message(data: bytes) -> Message:
    """
    Read what arrived on a VM's subject: the whole state, or a single share.

    Args:
        data: UTF-8 JSON, one object.

    Returns:
        A :class:`MountSet` where the object has a ``shares`` key (bad elements are in its ``rejected``),
        else a :class:`ShareMount`.

    Raises:
        DecodeError: not JSON, not an object, or a frame or single share that breaks the contract.
    """
    obj = decode_object(data, what="mount message")
    return parse_mount_set(obj) if "shares" in obj else parse_share(obj)


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
    try:
        obj = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise DecodeError(f"cannot decode {what}: {exc}") from exc
    except RecursionError as exc:
        raise DecodeError(f"cannot decode {what}: it is nested too deeply") from exc
    if not isinstance(obj, dict):
        raise DecodeError(f"cannot decode {what}: it must be a JSON object")
    return obj
