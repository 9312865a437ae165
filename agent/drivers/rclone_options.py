"""Which options of rclone a share may set: everything about the data, nothing about this guest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from weft.errors import DeniedError, ErrorCode, MountError

_CONFIG_NAME: Final = re.compile(r"[a-z0-9_]+\Z")
"""Without dots: ``override.*`` and ``global.*`` in a section would set rclone's own flags."""

_COMMANDS: Final = frozenset({"ssh", "bearer_token_command", "use_az"})
_GUEST_FILES: Final = frozenset(
    (
        "key_file pubkey_file known_hosts_file client_certificate_path service_principal_file shared_credentials_file "
        "config_file sse_customer_key_file box_config_file service_account_file unix_socket db_path chunk_path "
        "tmp_upload_path copy_links env_auth kerberos_ccache"
    ).split(" ")
)
_REMOTE_COMMANDS: Final = frozenset(
    f"{name}_command" for name in "md5sum sha1sum crc32sum sha256sum blake3sum xxh3sum xxh128sum server".split(" ")
)
"""Run by an SFTP server, not by this guest."""

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
        "async-read attr-timeout dir-cache-time dir-perms direct-io file-perms link-perms links max-read-ahead "
        "mount-case-insensitive no-checksum no-modtime no-seek poll-interval write-back-cache"
    ).split(" ")
)
_OURS: Final = frozenset({"read-only", "uid", "gid", "umask"})
"""Fields of the share say these."""


def check_config_option(share_id: str, section: str, name: str, value: Any, allowed: frozenset[str]) -> None:
    """
    Accept one option of a remote.

    Raises:
        MountError: it is no option name, or it would run a command or read a file of this guest as root.
    """
    if not _CONFIG_NAME.match(name):
        raise MountError(
            f"cannot mount share {share_id!r}: {name!r} in {section} is not an option of an rclone remote",
            code=ErrorCode.BAD_SPEC,
        )
    if name in allowed or not _touches_guest(name) or _is_off(value):
        return
    raise DeniedError(
        f"cannot mount share {share_id!r}: this guest does not allow the rclone option {name!r} ({section}), "
        "which runs a command or reads files here"
    )


def _touches_guest(name: str) -> bool:
    if name in _COMMANDS or name in _GUEST_FILES:
        return True
    return name.endswith(("_command", "_file")) and name not in _REMOTE_COMMANDS


def _is_off(value: Any) -> bool:
    """Switches that are off and files that are not given ask for nothing; "none" is rclone's word for no host keys."""
    return str(value).lower() in ("", "false", "none")


def build_flags(share_id: str, options: Mapping[str, Any], allowed: frozenset[str]) -> dict[str, str]:
    """
    Turn a share's options into flags by name, without dashes in front.

    Raises:
        MountError: a flag is ours, unknown here, or one that this guest refuses.
    """
    flags: dict[str, str] = {}
    for given, value in options.items():
        name = given.replace("_", "-")  # rclone takes both
        if name in _OURS:
            raise MountError(
                f"cannot mount share {share_id!r}: the share's field decides, not the rclone option {name!r}",
                code=ErrorCode.BAD_SPEC,
            )
        if not (name in _ALL_COMMANDS | _COPYING | _MOUNTING or name.startswith("vfs-") or name in allowed):
            raise DeniedError(
                f"cannot mount share {share_id!r}: the rclone option {name!r} is not one that a share may set here"
            )
        flags[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return flags


def is_common_flag(name: str) -> bool:
    """Say whether every rclone command knows the flag *name*, not only ``mount``."""
    return name in _ALL_COMMANDS
