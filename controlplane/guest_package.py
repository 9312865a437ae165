"""Which file a new guest installs weft from: one whose digest is known, never a name on an index. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from weft.errors import ConfigError

WHEEL = re.compile(r"weft_mounts-[0-9][A-Za-z0-9.!+_]{0,60}-py3-none-any\.whl")
"""pip reads name and version of a wheel from its file name, so another name is another package."""
BUNDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,120}\.(?:tar|tar\.gz|tgz)")
"""A tar of wheels: weft's and all it depends on, so that the guest asks no index for anything."""
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+")
"""The characters of RFC 3986, without ``#``: a part of a file cannot be installed."""


@dataclass(frozen=True, slots=True)
class Package:
    """
    One file to install weft from.

    Attributes:
        name: Its bare file name.
        sha256: Its digest, 64 lower-case hexadecimal digits.
        url: Where the guest fetches it, ``""`` where it travels.
        content: The file itself where it travels, None where it is fetched.
    """

    name: str
    sha256: str
    url: str = ""
    content: bytes | None = field(default=None, repr=False)


def is_address(text: str) -> bool:
    """Say whether *text* is made of what addresses are made of, so that it means the same to every reader."""
    return bool(_ADDRESS.fullmatch(text))


def names_url(source: str) -> bool:
    """Say whether ``--package`` names something to fetch; everything else is a file."""
    return "://" in source


def parse_url(url: str, sha256: str | None) -> Package:
    """
    Accept the address of a package.

    Args:
        url: ``http`` or ``https``; its path ends with the file's name.
        sha256: The file's digest, which is what is trusted: neither the server is, nor the way.

    Raises:
        ConfigError: it cannot be fetched, or nothing says what must arrive.
    """
    problems = []
    try:
        parts = urlsplit(url)
        is_plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        is_plain = False
    if not is_plain or not is_address(url):
        problems.append(
            f"cannot fetch a package from {url!r}: give an http:// or https:// address without user and spaces"
        )
    elif not _is_known(name := parts.path.rpartition("/")[2]):
        problems.append(_wrong_name(name))
    if not sha256:
        problems.append(
            f"cannot trust what {url!r} will serve: add --sha256 HEX (sha256sum prints it, where the file was made)"
        )
    elif not _DIGEST.fullmatch(sha256):
        problems.append(_wrong_digest(sha256))
    if problems or sha256 is None:
        raise ConfigError(problems)
    return Package(name, sha256.lower(), url=url)


def parse_file(name: str, content: bytes, sha256: str | None) -> Package:
    """
    Accept a file that travels with what is printed.

    Args:
        name: Its bare name.
        content: What is in it.
        sha256: What its digest should be; None where nobody said.

    Raises:
        ConfigError: it is no package, or another one than was said.
    """
    found = hashlib.sha256(content).hexdigest()
    if not _is_known(name):
        raise ConfigError([_wrong_name(name)])
    if sha256 is not None and not _DIGEST.fullmatch(sha256):
        raise ConfigError([_wrong_digest(sha256)])
    if sha256 is not None and sha256.lower() != found:
        raise ConfigError([f"cannot use {name}: its digest is {found}, not {sha256.lower()}; get the file again"])
    return Package(name, found, content=content)


def _is_known(name: str) -> bool:
    return bool(WHEEL.fullmatch(name) or BUNDLE.fullmatch(name))


def _wrong_name(name: str) -> str:
    return (
        f"cannot install from {name!r}: give a wheel (weft_mounts-VERSION-py3-none-any.whl, as pip wheel names it), "
        "or a .tar.gz of wheels"
    )


def _wrong_digest(sha256: str) -> str:
    return f"cannot use {sha256!r} as a SHA-256 digest: it has 64 hexadecimal digits (sha256sum FILE)"
