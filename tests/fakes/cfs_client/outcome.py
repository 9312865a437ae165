"""The message a started client leaves in ``DAEMONIZE_STATUS_FD``: Go's gob encoding of ``{Successful, ErrorMsg}``."""

from __future__ import annotations

NAME = b"github.com/jacobsa/daemonize.outcomeMsg"
TYPE_ID = b"\xff\x82"  # 65, the first id that gob gives to a program's own types
TYPE_DEFINITION = (
    b"\xff\x81\x03\x01\x01\x0aoutcomeMsg\x01" + TYPE_ID + b"\x00"
    b"\x01\x02\x01\x0aSuccessful\x01\x02\x00\x01\x08ErrorMsg\x01\x0c\x00\x00\x00"
)


def encode_outcome(reason: str | None) -> bytes:
    """Encode success (``None``; the bytes end in ``\\x01\\x01\\x00``) or the *reason* of a failure."""
    value = b"\x01\x01\x00" if reason is None else b"\x02" + _text(reason.encode()) + b"\x00"
    # an interface holding a struct: id 8, singleton marker, name of the struct, its type id, length, value
    payload = b"\x10\x00" + _text(NAME) + TYPE_ID + _text(value)
    return _text(TYPE_DEFINITION) + _text(payload)


def decode_outcome(stream: bytes) -> str | None:
    """
    Read what :func:`encode_outcome` wrote.

    Returns:
        ``None`` for success, else the reason; a stream without a whole outcome counts as a failure.
    """
    _, _, value = stream.partition(NAME + TYPE_ID)
    if not value:
        return "EOF"
    length, value = _take_uint(value)
    value = value[:length]
    if value == b"\x01\x01\x00":
        return None
    length, text = _take_uint(value[1:])
    return text[:length].decode()


def _take_uint(content: bytes) -> tuple[int, bytes]:
    if content[0] < 0x80:
        return content[0], content[1:]
    count = 256 - content[0]
    return int.from_bytes(content[1 : 1 + count], "big"), content[1 + count :]


def _text(content: bytes) -> bytes:
    return _uint(len(content)) + content


def _uint(number: int) -> bytes:
    """Encode as gob does: below 128 one byte, else the negated byte count and the number, big-endian."""
    if number < 0x80:
        return bytes([number])
    digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([256 - len(digits)]) + digits
