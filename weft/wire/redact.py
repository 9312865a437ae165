"""What of a spec may be shown: secrets are replaced, references to credentials and harmless options are not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

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

_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_MIN_SECRET_LENGTH = 4
"""Shorter values are not searched for in a client's output: replacing every 'a' would make it unreadable."""


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


def redact_text(text: str, secrets: Iterable[str]) -> str:
    """Replace every one of *secrets* in *text*, also where it stands percent-encoded."""
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    for form in sorted((f for f in forms if len(f) >= _MIN_SECRET_LENGTH), key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return _USERINFO.sub(f"{REDACTED}@", text)


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(CREDENTIAL_PREFIX)
