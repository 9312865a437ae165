"""The backend blocks of a ShareMount: where the data lives, one struct per backend, and the table of known backends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar

from weft.errors import DecodeError
from weft.wire.fields import Secrecy, declare
from weft.wire.paths import parse_absolute_path
from weft.wire.tolerant import Tolerant

DEFAULT_BACKEND = "cubefs"
OptionMap = dict[str, Any]


class Block(Tolerant, frozen=True, kw_only=True):
    """
    Base of every backend block; a driver from another package subclasses it.

    Raises:
        DecodeError: from ``__post_init__`` of a subclass, where a value breaks the contract.
    """

    may_be_absent: ClassVar[bool] = False
    """Whether a share may name the backend without giving its block."""


_NOT_IN_NAMES = re.compile(r"[\x00-\x20=\[\]\x7f]")
_NOT_IN_VALUES = re.compile(r"[\n\r\x00]")


def _require(value: object, field: str) -> None:
    if not value:
        raise DecodeError(f"cannot use an empty {field}", field=field)


def _check_options(options: Mapping[str, Any], field: str) -> None:
    """Refuse option names and values that would turn into something else in a configuration file or an argv."""
    for key, value in options.items():
        if not key or key.startswith("-") or _NOT_IN_NAMES.search(key):
            raise DecodeError(f"cannot use {key!r} as a name in {field}", field=field)
        if isinstance(value, str) and _NOT_IN_VALUES.search(value):
            raise DecodeError(f"cannot use {field}.{key}: its value holds a line break", field=f"{field}.{key}")
        if not isinstance(value, str | bool | int | float):
            raise DecodeError(f"cannot use {field}.{key}: it is not a text, number or boolean", field=f"{field}.{key}")


class CubefsBlock(Block, frozen=True, kw_only=True):
    """A CubeFS volume."""

    volume: Annotated[str, declare("Name of the volume.")]
    masters: Annotated[tuple[str, ...], declare("Addresses of the masters, host:port each.")]
    owner: Annotated[str, declare("Owner of the volume; without an access key, knowing it is the right to mount.")]
    access_key: Annotated[str, declare("Access key of a CubeFS user.", secrecy=Secrecy.SECRET)] = ""
    secret_key: Annotated[str, declare("Secret key that belongs to the access key.", secrecy=Secrecy.SECRET)] = ""
    subdir: Annotated[str, declare("Directory of the volume to mount instead of its root.")] = ""
    options: Annotated[
        OptionMap, declare("Further cfs-client options by their own names.", secrecy=Secrecy.SECRET_VALUES)
    ] = {}  # noqa: RUF012 - msgspec copies an empty default

    def __post_init__(self) -> None:
        _require(self.volume, "cubefs.volume")
        _require(self.owner, "cubefs.owner")
        _require(self.masters, "cubefs.masters")
        for master in self.masters:
            host, _, port = master.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536 or any(c in master for c in " ,/\n"):
                raise DecodeError(f"cannot use cubefs.masters {master!r}: it is not host:port", field="cubefs.masters")
        if ".." in self.subdir.split("/"):
            raise DecodeError(f"cannot use cubefs.subdir {self.subdir!r}: it holds '..'", field="cubefs.subdir")
        _check_options(self.options, "cubefs.options")


class RcloneBlock(Block, frozen=True, kw_only=True):
    """Any remote that rclone knows."""

    type: Annotated[str, declare("rclone's name of the backend: s3, gcs, sftp, webdav, drive, azureblob, local …")]
    path: Annotated[str, declare("Path within the remote, for example bucket/prefix.")] = ""
    config: Annotated[
        OptionMap,
        declare("Options of the remote as in rclone.conf, secrets in plain text.", secrecy=Secrecy.SECRET_VALUES),
    ] = {}  # noqa: RUF012
    remotes: Annotated[
        dict[str, OptionMap],
        declare("Further remotes by name that this one wraps (crypt, union, combine).", secrecy=Secrecy.SECRET_VALUES),
    ] = {}  # noqa: RUF012
    options: Annotated[OptionMap, declare("Mount options by rclone's flag names, for example vfs-cache-mode.")] = {}  # noqa: RUF012

    def __post_init__(self) -> None:
        _require(self.type, "rclone.type")
        _check_options({self.type: ""}, "rclone.type")
        if any(char in self.path for char in "\n\r\x00"):
            raise DecodeError("cannot use rclone.path: it holds a line break", field="rclone.path")
        _check_options(self.config, "rclone.config")
        _check_options(self.options, "rclone.options")
        for name, section in self.remotes.items():
            _check_options({name: ""}, "rclone.remotes")
            _check_options(section, f"rclone.remotes.{name}")


class NfsBlock(Block, frozen=True, kw_only=True):
    """An NFS export, mounted by the guest's kernel."""

    server: Annotated[str, declare("Host name or address of the server.")]
    export: Annotated[str, declare("Exported path.")]
    options: Annotated[str, declare("Mount options, separated by commas.")] = ""

    def __post_init__(self) -> None:
        _require(self.server, "nfs.server")
        if any(char in self.server for char in " /\n,") or self.server.startswith("-"):
            raise DecodeError(f"cannot use nfs.server {self.server!r}: it is not a host", field="nfs.server")
        parse_absolute_path(self.export, field="nfs.export")
        if any(char.isspace() for char in self.options):
            raise DecodeError(f"cannot use nfs.options {self.options!r}: it holds white space", field="nfs.options")


class _TagBlock(Block, frozen=True, kw_only=True):
    may_be_absent: ClassVar[bool] = True

    tag: Annotated[str, declare("Tag that the host gave the device; the share's id where left out.")] = ""

    def __post_init__(self) -> None:
        if self.tag.startswith("-") or any(ord(char) <= 32 for char in self.tag):
            raise DecodeError(f"cannot use tag {self.tag!r}", field="tag")


class VirtiofsBlock(_TagBlock, frozen=True, kw_only=True):
    """A directory of the host, through virtiofs."""


class Virtio9pBlock(_TagBlock, frozen=True, kw_only=True):
    """A directory of the host, through 9p over virtio."""


class BindBlock(Block, frozen=True, kw_only=True):
    """A directory of the guest, shown at a second place."""

    source: Annotated[str, declare("Absolute path of the directory in the guest.")]

    def __post_init__(self) -> None:
        parse_absolute_path(self.source, field="bind.source")


BUILTIN_BLOCKS: Mapping[str, type[Block]] = {
    "cubefs": CubefsBlock,
    "rclone": RcloneBlock,
    "nfs": NfsBlock,
    "virtiofs": VirtiofsBlock,
    "virtio9p": Virtio9pBlock,
    "bind": BindBlock,
}
_REGISTERED: dict[str, type[Block]] = {}
_LOADERS: list[Callable[[], Iterable[str]]] = []
_PROBLEMS: list[str] = []


def register_block(backend: str, block: type[Block]) -> None:
    """
    Make *backend* known to the wire; its JSON block is the key named like it.

    Raises:
        ValueError: the name is taken by another struct.
    """
    if (BUILTIN_BLOCKS.get(backend) or _REGISTERED.get(backend)) not in (None, block):
        raise ValueError(f"cannot register backend {backend!r}: the name is taken")
    if backend not in BUILTIN_BLOCKS:
        _REGISTERED[backend] = block


def load_when_unknown(load: Callable[[], Iterable[str]]) -> None:
    """
    Have *load* called once, as soon as anybody asks for a backend that is not known.

    Args:
        load: Registers blocks, and returns a sentence for each that it could not.
    """
    _LOADERS.append(load)


def block_type(backend: str) -> type[Block] | None:
    """Return the struct of *backend*'s block, or None for a backend that nobody registered."""
    if backend not in BUILTIN_BLOCKS and backend not in _REGISTERED:
        _load()
    return BUILTIN_BLOCKS.get(backend) or _REGISTERED.get(backend)


def known_backends() -> tuple[str, ...]:
    """Name every backend the wire knows, built-in ones first."""
    _load()
    return (*BUILTIN_BLOCKS, *_REGISTERED)


def backend_problems() -> tuple[str, ...]:
    """Say why further backends are not known though something offers them."""
    return tuple(_PROBLEMS)


def _load() -> None:
    while _LOADERS:
        _PROBLEMS.extend(_LOADERS.pop()())
