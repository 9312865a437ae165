"""Which types and options of rclone a share may use: everything about the data, nothing about this guest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from agent.drivers.rclone_types import ALIASES, EVERYWHERE, OPTIONS, REFUSED_OPTIONS, REFUSED_TYPES, SWITCHES, Risk
from weft.errors import DeniedError, ErrorCode, MountError

_CONFIG_NAME: Final = re.compile(r"[A-Za-z0-9_]+\Z")
"""Without dots: ``override.*`` and ``global.*`` in a section would set rclone's own flags."""

_GOOGLE: Final = "google cloud storage"
_NO_GOOGLE_LOGIN: Final = {"GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent/allow_option-env_auth"}
"""Read first: with a token that it cannot read, rclone (1.75.2) would log in as the guest, by its metadata service."""

_ALL_COMMANDS: Final = frozenset(
    (
        "bind bwlimit bwlimit-file contimeout disable-http-keep-alives disable-http2 dscp expect-continue-timeout "
        "max-connections no-check-certificate no-gzip-encoding timeout tpslimit tpslimit-burst use-cookies user-agent "
        "buffer-size checkers transfers low-level-retries retries retries-sleep max-buffer-memory use-mmap "
        "no-unicode-normalization use-server-modtime disable default-time fs-cache-expire-duration "
        "fs-cache-expire-interval kv-lock-time fast-list exclude exclude-if-present filter include ignore-case "
        "max-age max-size min-age min-size hash-filter metadata-exclude metadata-filter metadata-include"
    ).split(" ")
)
"""Flags of every rclone command: network, speed, filters."""
_COPYING: Final = frozenset(
    (
        "checksum ignore-checksum ignore-size ignore-times immutable inplace metadata modify-window "
        "multi-thread-chunk-size multi-thread-cutoff multi-thread-streams multi-thread-write-buffer-size "
        "no-check-dest no-traverse no-update-dir-modtime no-update-modtime partial-suffix refresh-times "
        "server-side-across-configs size-only streaming-upload-cutoff update max-depth"
    ).split(" ")
)
_MOUNTING: Final = frozenset(
    (
        "async-read attr-timeout dir-cache-time dir-perms direct-io file-perms link-perms max-read-ahead "
        "mount-case-insensitive no-checksum no-modtime no-seek poll-interval write-back-cache "
        "vfs-block-norm-dupes vfs-cache-max-age vfs-cache-max-size vfs-cache-min-free-space vfs-cache-mode "
        "vfs-cache-poll-interval vfs-case-insensitive vfs-disk-space-total-size vfs-fast-fingerprint "
        "vfs-handle-caching vfs-links vfs-metadata-extension vfs-read-ahead vfs-read-chunk-size "
        "vfs-read-chunk-size-limit vfs-read-chunk-streams vfs-read-wait vfs-refresh vfs-used-is-size vfs-write-back "
        "vfs-write-wait"
    ).split(" ")
)
_SAME: Final = {"links": "vfs-links"}
"""``links`` does that for the mount, and lets rclone's ``local`` make symbolic links of the guest besides."""
SHARE_FLAGS: Final = _ALL_COMMANDS | _COPYING | _MOUNTING
"""What a share may set without being asked; none of them names a file or a command of the guest."""
_OURS: Final = frozenset({"read-only", "uid", "gid", "umask"})
"""Fields of the share say these."""


def known_type(remote_type: str) -> str:
    """Return the name under which the tables have *remote_type*."""
    return ALIASES.get(remote_type, remote_type)


def check_type(
    share_id: str, section: str, remote_type: Any, allowed: frozenset[str], *, is_public: bool = True
) -> None:
    """
    Accept the type of a remote.

    Args:
        share_id: For the error.
        section: Its section in rclone's configuration, for the error.
        remote_type: As it stands in the share.
        allowed: Further types that this guest allows.
        is_public: Whether the error may show a type that nobody knows: the values of a section may be secrets.

    Raises:
        DeniedError: it is not one that this guest knows to be harmless.
    """
    if isinstance(remote_type, str) and (known_type(remote_type) in OPTIONS or remote_type in allowed):
        return
    why = REFUSED_TYPES.get(str(remote_type))
    name = str(remote_type) if is_public or why is not None else "..."
    raise DeniedError(
        f"cannot mount share {share_id!r}: this guest does not allow the rclone type {name!r} (section {section!r}), "
        f"which {why or 'it does not know'}; allow_type = [{_quote(name)}] in its agent.toml would"
    )


def check_config_option(
    share_id: str, section: str, remote_type: str, name: str, value: Any, allowed: frozenset[str]
) -> None:
    """
    Accept one option of a remote whose type was accepted.

    A type that only this guest's settings allow may have any option which is not refused for another type.

    Raises:
        MountError: it is no option name.
        DeniedError: it would act on this guest, or is not one that this guest knows.
    """
    if not _CONFIG_NAME.match(name):
        raise MountError(
            f"cannot mount share {share_id!r}: {name!r} in {section} is not an option of an rclone remote",
            code=ErrorCode.BAD_SPEC,
        )
    if name in EVERYWHERE or name in allowed:
        return
    options = OPTIONS.get(known_type(remote_type))
    risk = _find_risk(known_type(remote_type), name)
    if risk is None and (options is None or name in options):
        return
    if risk is not None and _is_off(name, value):
        return
    why = f"which {risk.value}" if risk is not None else "which it does not know"
    raise DeniedError(
        f"cannot mount share {share_id!r}: this guest does not allow the rclone option {name!r} of type "
        f"{remote_type!r} ({section}), {why}; allow_option = [{_quote(name)}] in its agent.toml would"
    )


def _find_risk(remote_type: str, name: str) -> Risk | None:
    if remote_type in OPTIONS:
        return REFUSED_OPTIONS.get(remote_type, {}).get(name)
    known = next((risks[name] for risks in REFUSED_OPTIONS.values() if name in risks), None)
    if known is None and name.endswith("_command"):
        return Risk.COMMAND
    return Risk.FILE if known is None and name.endswith("_file") else known


def _is_off(name: str, value: Any) -> bool:
    """Say whether a refused option asks for nothing: it is empty, a switch that is off, or no file of host keys."""
    text = str(value)
    if name in SWITCHES:
        return text.lower() in ("", "false")
    return not text or (name == "known_hosts_file" and text == "none")


def build_login_guard(remote_types: Iterable[Any], allowed: frozenset[str]) -> dict[str, str]:
    """Return what must stand in rclone's environment, so that it logs in with what the share gives it or not at all."""
    is_google = any(known_type(str(each)) == _GOOGLE for each in remote_types)
    return dict(_NO_GOOGLE_LOGIN) if is_google and "env_auth" not in allowed else {}


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def build_flags(share_id: str, options: Mapping[str, Any], allowed: frozenset[str]) -> dict[str, str]:
    """
    Turn a share's options into flags by name, without dashes in front.

    Raises:
        MountError: a flag is ours, unknown here, or one that this guest refuses.
    """
    flags: dict[str, str] = {}
    for given, value in options.items():
        name = given.replace("_", "-")  # rclone takes both
        name = _SAME.get(name, name)
        if name in _OURS:
            raise MountError(
                f"cannot mount share {share_id!r}: the share's field decides, not the rclone option {name!r}",
                code=ErrorCode.BAD_SPEC,
            )
        if name not in SHARE_FLAGS and name not in allowed:
            raise DeniedError(
                f"cannot mount share {share_id!r}: the rclone option {name!r} is not one that a share may set here; "
                f"allow_option = [{_quote(name)}] in this guest's agent.toml lets it"
            )
        flags[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return flags


def is_common_flag(name: str) -> bool:
    """Say whether every rclone command knows the flag *name*, not only ``mount``."""
    return name in _ALL_COMMANDS
