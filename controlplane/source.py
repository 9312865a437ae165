"""``--from SRC``: every way an operator may name where data lives, turned into a backend block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.assign import looks_secret
from controlplane.rclone_source import RcloneConf, RemoteText, build_rclone_block, parse_remote_text
from weft.errors import ConfigError

CUBEFS_MASTER_PORT = 17010
FORMS = (
    "name:path (rclone.conf), :type,option=value:path, cubefs://owner@master:port/volume, nfs://server/export, "
    "virtiofs:TAG, 9p:TAG or bind:/dir"
)
_SCHEME = re.compile(r"^(?P<scheme>[a-z0-9]+)://(?P<rest>.*)\Z", re.DOTALL)
_FILE_OPTIONS = ("key_file", "pubkey_file", "known_hosts_file", "service_account_file", "client_certificate_path")


@dataclass(frozen=True, slots=True)
class Source:
    """
    Where data lives: a backend and its block as plain values.

    Attributes:
        warnings: What the operator should know about it.
    """

    backend: str
    block: Mapping[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()


def parse_source(text: str, rclone: RcloneConf) -> Source:
    """
    Turn *text* into a backend block.

    Raises:
        ConfigError: it is none of the known forms, or lacks a part; secrets in it are not repeated.
    """
    schemed = _SCHEME.match(text)
    if schemed is not None:
        return _schemed(schemed["scheme"], schemed["rest"])
    kind, colon, rest = text.partition(":")
    match kind if colon else "/":
        case "virtiofs":
            return Source("virtiofs", {"tag": rest} if rest else {})
        case "9p":
            return Source("virtio9p", {"tag": rest} if rest else {})
        case "bind":
            if not rest.startswith("/"):
                raise ConfigError(
                    [f"cannot use --from {text!r}: bind needs an absolute directory of the guest, as in bind:/dir"]
                )
            return Source("bind", {"source": rest})
        case "/":
            raise ConfigError([f"cannot use --from {text!r}: expected {FORMS}"])
        case _:
            return _rclone(parse_remote_text(text), rclone)


def _schemed(scheme: str, rest: str) -> Source:
    match scheme:
        case "cubefs":
            return _cubefs(rest)
        case "nfs":
            return _nfs(rest)
        case _:
            raise ConfigError([f"cannot use --from {scheme}://…: expected {FORMS}"])


def _cubefs(rest: str) -> Source:
    owner, at, address = rest.rpartition("@")
    hosts, _, path = address.partition("/")
    volume, _, subdir = path.strip("/").partition("/")
    if ":" in owner:
        raise ConfigError(
            ["cannot use --from cubefs://…: no key belongs in it; give --secret cubefs.secret_key=@FILE instead"]
        )
    missing = [name for name, value in (("owner@", at and owner), ("masters", hosts), ("/volume", volume)) if not value]
    if missing:
        raise ConfigError(
            [
                f"cannot use --from cubefs://{rest}: {' and '.join(missing)} missing in cubefs://owner@m1:17010,m2:17010/volume/subdir"
            ]
        )
    masters = [host if ":" in host else f"{host}:{CUBEFS_MASTER_PORT}" for host in hosts.split(",") if host]
    block: dict[str, Any] = {"volume": volume, "masters": masters, "owner": owner}
    if subdir:
        block["subdir"] = subdir
    return Source("cubefs", block)


def _nfs(rest: str) -> Source:
    server, slash, export = rest.partition("/")
    if not server or not slash:
        raise ConfigError([f"cannot use --from nfs://{rest}: expected nfs://server/export"])
    block: dict[str, Any] = {"server": server, "export": f"/{export}"}
    port = re.search(r":(\d+)\Z", server)
    if port is not None and (server.count(":") == 1 or "]" in server):
        block |= {"server": server[: port.start()], "options": f"port={port[1]}"}
    return Source("nfs", block)


def _rclone(remote: RemoteText, rclone: RcloneConf) -> Source:
    sections = rclone.sections() if remote.name or {"remote", "upstreams"} & set(remote.config) else {}
    block = build_rclone_block(remote, sections, where=rclone.where)
    return Source("rclone", block, tuple(_warnings(remote, block)))


def _warnings(remote: RemoteText, block: Mapping[str, Any]) -> list[str]:
    typed = [name for name in remote.config if looks_secret(name)]
    files = sorted(
        {
            f"{name}={section[name]}"
            for section in (block.get("config", {}), *block.get("remotes", {}).values())
            for name in _FILE_OPTIONS
            if section.get(name)
        }
    )
    return [
        *(
            f"{name} stands in this command line, where the shell's history and the process list show it; "
            f"rclone.conf or --secret rclone.config.{name}=@FILE keeps it out"
            for name in typed
        ),
        *(f"{entry} names a file of this machine; each guest needs a file of its own there" for entry in files),
    ]
