"""The form in which rclone keeps passwords in its configuration: obscured with a published key, not encrypted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

_KEY: Final = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
"""The same in every rclone; whoever has the text has the password."""
_BLOCK = 16

_PASSWORD_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    remote_type: frozenset(names.split(" "))
    for remote_type, names in {
        "azureblob": "client_certificate_password password",
        "azurefiles": "client_certificate_password password",
        "cache": "plex_password",
        "crypt": "password password2",
        "fichier": "file_password folder_password",
        "filen": "api_key password",
        "filescom": "password",
        "ftp": "pass",
        "iclouddrive": "password",
        "internxt": "pass",
        "koofr": "password",
        "linkbox": "password",
        "mailru": "pass",
        "mega": "pass",
        "netstorage": "secret",
        "opendrive": "password",
        "pcloud": "password",
        "pikpak": "pass",
        "protondrive": "mailbox_password otp_secret_key password",
        "seafile": "library_key pass",
        "sftp": "key_file_pass pass",
        "sia": "api_password",
        "smb": "pass",
        "ulozto": "password",
        "webdav": "pass",
    }.items()
}
"""What ``rclone config providers`` (1.75.2) marks IsPassword."""
_USUAL_PASSWORD_OPTIONS: Final = frozenset({"pass", "password", "password2"})
"""For a type that is newer than the table."""


def is_obscured_option(remote_type: str, name: str) -> bool:
    """Say whether rclone expects the option *name* of a remote of *remote_type* in its obscured form."""
    return name in _PASSWORD_OPTIONS.get(remote_type, _USUAL_PASSWORD_OPTIONS)


def obscure(plain: str) -> str:
    """
    Return *plain* as rclone's configuration wants it.

    The same text always gives the same result: what rclone draws at random here is derived from the text, so that
    one spec makes one configuration file.

    Source:
        rclone's ``obscure`` command: AES-256-CTR, the initial counter block first, base64url without padding.
    """
    data = plain.encode()
    counter = hashlib.sha256(data).digest()[:_BLOCK]
    return base64.urlsafe_b64encode(counter + _apply_key_stream(data, counter)).rstrip(b"=").decode()


def reveal(obscured: str) -> str:
    """
    Return the plain text of what :func:`obscure` or rclone made.

    Raises:
        ValueError: *obscured* is no such text; it is not part of the message.
    """
    try:
        raw = base64.b64decode(obscured + "=" * (-len(obscured) % 4), altchars=b"-_", validate=True)
        if len(raw) >= _BLOCK:
            return _apply_key_stream(raw[_BLOCK:], raw[:_BLOCK]).decode()
    except ValueError:
        raise ValueError("cannot reveal a password: it was not obscured by rclone") from None
    raise ValueError("cannot reveal a password: it is too short to be obscured")


def _apply_key_stream(data: bytes, counter: bytes) -> bytes:
    start = int.from_bytes(counter, "big")
    keys = _expand_key(_KEY)
    stream = b"".join(
        _encrypt_block(((start + index) % (1 << 128)).to_bytes(_BLOCK, "big"), keys)
        for index in range(-(-len(data) // _BLOCK))
    )
    return bytes(left ^ right for left, right in zip(data, stream, strict=False))


# --- AES-256, the encrypting direction only (FIPS 197). It hides nothing here, so constant time is no concern. -------


def _double(value: int) -> int:
    """Multiply by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    return ((value << 1) ^ 0x11B) & 0xFF if value & 0x80 else value << 1


def _build_s_box() -> bytes:
    """Take every element's inverse (3 generates the field), then the affine map."""
    power, powers = 1, []
    for _ in range(255):
        powers.append(power)
        power ^= _double(power)
    box = bytearray([0x63] * 256)
    for exponent, value in enumerate(powers):
        inverse = powers[-exponent % 255]
        spread = inverse | inverse << 8
        box[value] = 0x63 ^ (spread ^ spread >> 4 ^ spread >> 5 ^ spread >> 6 ^ spread >> 7) & 0xFF
    return bytes(box)


_S_BOX: Final = _build_s_box()
_SHIFTED_ROWS: Final = tuple((row + 4 * ((column + row) % 4)) for column in range(4) for row in range(4))


def _expand_key(key: bytes) -> tuple[bytes, ...]:
    """Expand a key of 32 bytes to 15 round keys of 16."""
    words = [key[index : index + 4] for index in range(0, 32, 4)]
    constant = 1
    for index in range(8, 60):
        word = words[-1]
        if index % 8 == 0:
            word = (word[1:] + word[:1]).translate(_S_BOX)
            word = bytes([word[0] ^ constant, *word[1:]])
            constant = _double(constant)
        elif index % 8 == 4:
            word = word.translate(_S_BOX)
        words.append(bytes(left ^ right for left, right in zip(words[-8], word, strict=True)))
    return tuple(b"".join(words[index : index + 4]) for index in range(0, 60, 4))


def _encrypt_block(block: bytes, keys: tuple[bytes, ...]) -> bytes:
    state = bytes(left ^ right for left, right in zip(block, keys[0], strict=True))
    for number, key in enumerate(keys[1:], start=1):
        substituted = state.translate(_S_BOX)
        state = bytes(substituted[index] for index in _SHIFTED_ROWS)
        if number < len(keys) - 1:
            state = _mix_columns(state)
        state = bytes(left ^ right for left, right in zip(state, key, strict=True))
    return state


def _mix_columns(state: bytes) -> bytes:
    mixed = bytearray()
    for start in range(0, _BLOCK, 4):
        column = state[start : start + 4]
        total = column[0] ^ column[1] ^ column[2] ^ column[3]
        mixed += bytes(column[row] ^ total ^ _double(column[row] ^ column[(row + 1) % 4]) for row in range(4))
    return bytes(mixed)
