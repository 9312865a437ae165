"""
What clients see as ``/etc``: names and addresses, and nothing that an administrator would keep secret.

A file of ``/etc`` is replaced when it changes, which nobody sees who holds the old one; so they are copied to a
directory, and again when they changed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from agent.mounts.cage_calls import ETC_TREES

_log = structlog.get_logger(__name__)

_COPIED: Final = (
    "resolv.conf hosts nsswitch.conf host.conf gai.conf services protocols mime.types localtime ld.so.cache "
    "ssl/openssl.cnf ssl/cert.pem ssl/ca-bundle.pem pki/tls/openssl.cnf pki/tls/cert.pem"
).split(" ")
_WRITTEN: Final = {
    "passwd": b"root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "group": b"root:x:0:\nnogroup:x:65534:\n",
    "fuse.conf": b"user_allow_other\n",
}
_MAX_BYTES: Final = 4 << 20
"""Of one file; the loader's cache of a large installation has a few hundred kB."""


def copy_etc(directory: Path, *, guest: Path = Path("/etc")) -> None:
    """
    Bring *directory* up to date; cheap where nothing changed.

    What cannot be read is left out, or as it was: a client may do without.

    Args:
        directory: Clients see it as ``/etc``; made if it is missing.
        guest: What is copied.
    """
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name in ETC_TREES:  # shown as they are; here only the places for them
            if (guest / name).is_dir():
                (directory / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        if not (directory / "mtab").is_symlink():
            os.symlink("/proc/self/mounts", directory / "mtab")
        for name, content in _WRITTEN.items():
            _replace(directory / name, content)
        for name in _COPIED:
            _copy(guest / name, directory / name)
    except OSError as exc:
        _log.warning("client.view_stale", path=str(exc.filename or directory), error=os.strerror(exc.errno or 0))


def _copy(source: Path, target: Path) -> None:
    try:
        with open(source, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return
    if len(content) <= _MAX_BYTES:
        _replace(target, content)


def _replace(target: Path, content: bytes) -> None:
    with suppress(FileNotFoundError):
        if target.read_bytes() == content:
            return
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    written = target.with_name(f".{target.name}")
    written.write_bytes(content)
    written.chmod(0o644)
    written.replace(target)
