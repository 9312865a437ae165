"""Which NFS mount options a share may ask for: how it talks to its server, and nothing about this guest (pure)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv6Address
from typing import Final

from weft.errors import DeniedError, ErrorCode, MountError

_SWITCHES: Final = frozenset(
    (
        "ac noac async sync atime noatime diratime nodiratime relatime norelatime nodev noexec nosuid cto nocto fg "
        "intr nointr lock nolock rdirplus nordirplus resvport noresvport sharecache nosharecache soft softerr "
        "softreval tcp udp rdma _netdev"
    ).split(" ")
)
_SETTINGS: Final = {
    **dict.fromkeys(("vers", "nfsvers", "minorversion", "mountvers"), r"[0-9](\.[0-9])?"),
    **dict.fromkeys(("port", "mountport"), r"[0-9]{1,5}"),
    **dict.fromkeys(("proto", "mountproto"), r"(tcp|udp|rdma)6?"),
    **dict.fromkeys(("rsize", "wsize", "namlen"), r"[0-9]{1,7}"),
    **dict.fromkeys(("acregmin", "acregmax", "acdirmin", "acdirmax", "actimeo"), r"[0-9]{1,6}"),
    "nconnect": r"[0-9]{1,2}",
    "timeo": r"[1-9][0-9]{0,2}",
    "retrans": r"[0-9]",
    "sec": r"(sys|none|krb5|krb5i|krb5p)(:(sys|none|krb5|krb5i|krb5p))*",
    "lookupcache": r"all|none|pos|positive",
    "local_lock": r"all|flock|posix|none",
    "write": r"lazy|eager|wait",
    "xprtsec": r"none|tls|mtls",
}
"""Name → its value. A server that is gone must give errors at last: ``timeo`` and ``retrans`` stay small, and ``hard``
is for the guest to allow."""

_NOT_OF_NFS: Final = frozenset(
    (
        "bind rbind move remount loop offset sizelimit encryption user users owner group nouser nofail auto helper "
        "uhelper shared slave private unbindable rshared rslave rprivate runbindable"
    ).split(" ")
)
"""Words with which mount(8) would do something else than mount this share, or for somebody else: never allowed."""

_WORD: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+@=-]*\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?\Z", re.ASCII)
_SCOPE: Final = re.compile(r"[A-Za-z0-9._-]*\Z", re.ASCII)


def build_options(text: str, *, always: Iterable[str], allowed: Collection[str]) -> tuple[str, ...]:
    """
    Turn ``nfs.options`` into words for mount(8).

    Args:
        text: As the share has it.
        always: What protects the guest, such as ``nosuid``. It comes last, where it counts, less what both the share
            and the guest ask to be otherwise.
        allowed: Options beyond the harmless ones that this guest allows: a name, or a name with its value.

    Raises:
        DeniedError: an option is not one that a share may set here.
        MountError: it has a value that makes no sense, or another field of the share decides it (``bad_spec``).
    """
    words = tuple(word for word in text.split(",") if word)
    for word in words:
        _check(word, allowed)
    return (*words, *(guard for guard in always if guard.removeprefix("no") not in words))


def _check(word: str, allowed: Collection[str]) -> None:
    name, _, value = word.partition("=")
    if name in ("ro", "rw"):
        raise MountError(f"cannot use nfs.options: the share's readonly decides, not {name!r}", code=ErrorCode.BAD_SPEC)
    if name.lower() in _NOT_OF_NFS or name.lower().startswith("x-") or not _WORD.match(word):
        raise MountError(f"cannot use nfs.options: {name!r} is no option of an NFS mount", code=ErrorCode.BAD_SPEC)
    if name in allowed or word in allowed or (word == name and name in _SWITCHES):
        return
    if name not in _SETTINGS:
        raise DeniedError(
            f"cannot use nfs.options: {name!r} is not one that a share may set here; allow_option in the guest's "
            "agent.toml adds others"
        )
    if not re.fullmatch(_SETTINGS[name], value):
        raise MountError(
            f"cannot use nfs.options: {word!r} is outside what a share may ask for; allow_option in the guest's "
            "agent.toml adds others",
            code=ErrorCode.BAD_SPEC,
        )


def build_source(server: str, export: str) -> str:
    """
    Name an export as mount.nfs wants it.

    Raises:
        MountError: *server* is no host, or *export* would be cut off where it holds a comma (``bad_spec``).
    """
    is_bracketed = server.startswith("[") and server.endswith("]")
    address = server[1:-1] if is_bracketed else server
    if not _is_ipv6(address) and (is_bracketed or not _HOST.match(server)):
        raise MountError(f"cannot use nfs.server {server!r}: it is not a host", code=ErrorCode.BAD_SPEC)
    if "," in export:
        raise MountError(
            f"cannot use nfs.export {export!r}: mount.nfs reads no further than its comma", code=ErrorCode.BAD_SPEC
        )
    return f"[{address}]:{export}" if ":" in address else f"{server}:{export}"


def _is_ipv6(text: str) -> bool:
    """Say whether *text* is an address of IP version 6, perhaps with the name of an interface."""
    try:
        scope = IPv6Address(text).scope_id
    except ValueError:
        return False
    return _SCOPE.match(scope or "") is not None
