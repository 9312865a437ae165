"""What of a spec may be shown: secrets are replaced, references to credentials and harmless options are not."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from weft.wire.fields import Secrecy

REDACTED = "***"
CREDENTIAL_PREFIX = "credential:"

HARMLESS_OPTIONS: frozenset[str] = frozenset(
    (
        "acl allow_other auth_version bucket_acl chunk_size concurrency description directory_markers domain drive_id "
        "drive_type encoding endpoint env_auth filename_encryption directory_name_encryption force_path_style host "
        "location_constraint no_check_bucket port project_number provider read_only region remote root_folder_id "
        "scope server_side_encryption shared_with_me shell_type storage_class storage_policy tenant_domain type "
        "upload_cutoff upstreams use_path_style user username vendor volume"
    ).split(" ")
)
"""Option names whose values help an operator and hold no secret; the value of any other option is hidden."""

SECRET_OPTIONS: frozenset[str] = frozenset(
    (
        "access_grant access_key_id access_token api_key api_password api_secret app_token "
        "application_credential_secret auth_token authorization bearer_token clientKey client_access_token "
        "client_certificate_password client_id client_refresh_token client_salted_key_pass client_secret "
        "config_credentials connection_string cookies file_password folder_password headers ibm_api_key key "
        "key_file_pass key_pem library_key link_password mailbox_password master_key master_keys mnemonic "
        "otp_secret_key pass passphrase password password2 permanent_token plex_password plex_token "
        "private_access_key private_key refresh_token resource_key sas_url secret secret_access_key "
        "service_account_credentials session_id session_token sse_customer_key sse_customer_key_base64 token "
        "trust_token"
    ).split(" ")
)
"""Option names whose values are secrets and nothing else: what ``rclone config providers`` (1.75.2) marks IsPassword or
Sensitive, less names, addresses and ids, and what CubeFS adds. Only these take a reference to a credential."""

_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_MIN_SECRET_LENGTH = 4
"""Shorter values are not searched for in a client's output: replacing every 'a' would make it unreadable."""


_SPELLED_AT_MOST = 512
"""Characters; of longer ones, which are keys and documents, the beginning is looked for in other spellings."""
_MIN_PART_LENGTH = 8
"""Shorter lines and values of a document are its words rather than its secrets."""
_EITHER_ALPHABET = "[+_/-]"
_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_PLAIN = re.compile("[A-Za-z0-9]+")
"""What no encoding of a text spells in another way, but base64 and hex."""


def redacted_value(value: Any, secrecy: Secrecy) -> Any:
    """Return *value* as it may be shown."""
    if not value or secrecy is Secrecy.PUBLIC:
        return value
    if secrecy is Secrecy.SECRET:
        return value if _is_reference(value) else REDACTED
    return _redacted_map(value) if isinstance(value, Mapping) else REDACTED


def _redacted_map(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _redacted_option(key, value) for key, value in options.items()}


def _redacted_option(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _redacted_map(value)
    if _is_reference(value):
        return value
    if key in HARMLESS_OPTIONS or isinstance(value, bool):
        return _USERINFO.sub(f"{REDACTED}@", value) if isinstance(value, str) else value
    return REDACTED


def secrets_in(value: Any, secrecy: Secrecy) -> Iterator[str]:
    """Yield the texts in *value* that must not be shown."""
    if secrecy is Secrecy.PUBLIC:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if secrecy is Secrecy.SECRET_VALUES and key in HARMLESS_OPTIONS and isinstance(item, str):
                yield from (found.group().rstrip("@") for found in _USERINFO.finditer(item))
            else:
                yield from secrets_in(item, Secrecy.SECRET_VALUES)
    elif isinstance(value, str) and not _is_reference(value):
        yield value


def redact_text(text: str, secrets: Iterable[str], *, certain: Iterable[str] = ()) -> str:
    """
    Replace every secret in *text*, also where it stands encoded (for a URL, as JSON, HTML, base64 or hex) or in part
    (one line of a key, one value of a JSON document).

    Args:
        text: What somebody is about to see.
        secrets: Texts that should not be seen; ones of less than four characters are left, for they say little and
            stand everywhere.
        certain: Texts that are secrets whatever they look like; a short one is replaced where it stands alone.
    """
    seen = _Seen(text, text.lower(), text.translate(_STANDARD_ALPHABET))
    shapes = {shape for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH for shape in _shapes(secret, seen)}
    shapes |= {shape for secret in certain for shape in _shapes(secret, seen)}
    if shapes:
        longest_first = sorted(shapes, key=lambda shape: (-len(shape), shape))
        text = re.sub("|".join(longest_first), REDACTED, text)
    return _USERINFO.sub(f"{REDACTED}@", text)


class _Seen(NamedTuple):
    """A text as it is, in small letters, and with base64 in its usual alphabet."""

    text: str
    lower: str
    standard: str


def _shapes(secret: str, seen: _Seen) -> Iterator[str]:
    """Yield patterns for the ways in which *secret* may stand in a text; those that cannot match are left out."""
    if len(secret) < _MIN_SECRET_LENGTH:
        if secret:
            yield f"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"
        return
    for part in _parts(secret):
        if len(part) > len(seen.text):
            continue
        if max(_PLAIN.findall(part), key=len, default="") in seen.text:
            yield re.escape(part)
            yield "".join(map(_spelled, part[:_SPELLED_AT_MOST]))
        data = part.encode("utf-8", "surrogatepass")
        if data.hex() in seen.lower:
            yield f"(?i:{data.hex()})"
        yield from (re.sub("[+/]", _EITHER_ALPHABET, code) for code in _base64_cores(data) if code in seen.standard)


def _parts(secret: str) -> set[str]:
    """Split what is printed in pieces: keys by line, documents by value."""
    parts = {secret, *(line.strip() for line in re.split(r"\r?\n|\\n", secret))}
    with suppress(ValueError, RecursionError):  # most are no documents
        parts.update(_leaves(json.loads(secret)))
    return {part for part in parts if part == secret or len(part) >= _MIN_PART_LENGTH}


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(item)


def _spelled(char: str) -> str:
    """Return a pattern for the ways to write *char* in a URL, in JSON, in a quoted text and in HTML."""
    if char.isascii() and char.isalnum():
        return char
    percent = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    ways = {percent, f"\\u{ord(char):04x}", f"&#{ord(char)};", f"\\{char}", json.dumps(char)[1:-1], html.escape(char)}
    longest_first = sorted(ways - {char}, key=lambda way: (-len(way), way))
    alone = [char, "+"] if char == " " else [char]
    # atomic, as nothing begins with another way but the char alone: a text of backslashes takes no time
    return f"(?>{'|'.join(f'(?i:{re.escape(way)})' for way in (*longest_first, *alone))})"


def _base64_cores(data: bytes) -> Iterator[str]:
    """Yield what of *data* shows in base64 whatever stands before and after it, as in ``user:password``."""
    for before in range(3):
        code = base64.b64encode(bytes(before) + data).decode()
        yield code[-(-8 * before // 6) : 8 * (before + len(data)) // 6]


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(CREDENTIAL_PREFIX)
