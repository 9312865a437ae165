"""Reveal what rclone obscured in its configuration, without handing it to a process whose arguments anyone can read."""

from __future__ import annotations

import base64
import binascii

from weft.errors import ConfigError

_KEY = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
"""rclone's published key: obscuring only keeps a password from being read over a shoulder."""
_BLOCK_BYTES = 16
_ROUNDS = 14
"""AES with a key of 256 bits."""


def reveal(obscured: str) -> str:
    """
    Return the plain text of *obscured*, as ``rclone obscure`` made it.

    Raises:
        ConfigError: *obscured* was not made by rclone; it is not repeated.

    Source:
        rclone's ``obscure`` command: URL-safe base64 of a 16-byte counter block and AES-256-CTR text.
    """
    try:
        data = base64.b64decode(obscured + "=" * (-len(obscured) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError(["cannot reveal a password: it is not obscured as rclone obscures it"]) from exc
    if len(data) < _BLOCK_BYTES:
        raise ConfigError(["cannot reveal a password: it is too short to be obscured"])
    counter = int.from_bytes(data[:_BLOCK_BYTES])
    text = data[_BLOCK_BYTES:]
    plain = bytearray()
    for start in range(0, len(text), _BLOCK_BYTES):
        stream = _encrypt(((counter + start // _BLOCK_BYTES) % 2**128).to_bytes(_BLOCK_BYTES))
        plain += bytes(a ^ b for a, b in zip(text[start : start + _BLOCK_BYTES], stream, strict=False))
    try:
        return plain.decode()
    except UnicodeDecodeError as exc:
        raise ConfigError(["cannot reveal a password: it is not obscured as rclone obscures it"]) from exc


def _double(value: int) -> int:
    """Multiply by x in AES's field."""
    return (value << 1) ^ 0x11B if value & 0x80 else value << 1


def _build_sbox() -> bytes:
    exponents = [0] * 256
    logarithms = [0] * 256
    value = 1
    for power in range(255):
        exponents[power], logarithms[value] = value, power
        value ^= _double(value)
    sbox = []
    for byte in range(256):
        inverse = exponents[(255 - logarithms[byte]) % 255] if byte else 0
        rotated = inverse
        for _ in range(4):
            inverse = (inverse << 1 | inverse >> 7) & 0xFF
            rotated ^= inverse
        sbox.append(rotated ^ 0x63)
    return bytes(sbox)


_SBOX = _build_sbox()


def _expand(key: bytes) -> list[bytes]:
    words = [key[n : n + 4] for n in range(0, len(key), 4)]
    round_constant = 1
    while len(words) < 4 * (_ROUNDS + 1):
        word = words[-1]
        if len(words) % 8 == 0:
            word = bytes(_SBOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ round_constant]) + word[1:]
            round_constant = _double(round_constant)
        elif len(words) % 8 == 4:
            word = bytes(_SBOX[b] for b in word)
        words.append(bytes(a ^ b for a, b in zip(words[-8], word, strict=True)))
    return [b"".join(words[n : n + 4]) for n in range(0, len(words), 4)]


_ROUND_KEYS = _expand(_KEY)


def _encrypt(block: bytes) -> bytes:
    state = _add(block, _ROUND_KEYS[0])
    for number in range(1, _ROUNDS + 1):
        shifted = bytes(_SBOX[state[(n + 4 * (n % 4)) % 16]] for n in range(16))
        mixed = shifted if number == _ROUNDS else b"".join(_mix(shifted[n : n + 4]) for n in range(0, 16, 4))
        state = _add(mixed, _ROUND_KEYS[number])
    return state


def _add(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _mix(column: bytes) -> bytes:
    whole = column[0] ^ column[1] ^ column[2] ^ column[3]
    return bytes(column[n] ^ whole ^ _double(column[n] ^ column[(n + 1) % 4]) for n in range(4))
