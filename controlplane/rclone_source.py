"""How operators name rclone remotes: sections of rclone.conf and connection strings, turned into an rclone block."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.nearest import did_you_mean
from weft.errors import ConfigError
from weft.obscure import is_obscured_option, reveal

Section = Mapping[str, str]

_NAME = r"[\w.+@][\w.+@ -]*"
_REMOTE = re.compile(rf"^(?P<name>{_NAME})(?=[,:])")
_ON_THE_FLY = re.compile(r"^:(?P<type>\w+)(?=[,:])")
_PARAMETER = re.compile(
    r""",(?P<name>[\w-]+)(?:=(?P<value>"(?:[^"]|"")*"|'(?:[^']|'')*'|[^,:"'][^,:]*|))?(?=[,:])""", re.ASCII
)
_WRAPS = ("remote", "upstreams")
"""The options in which one section names others."""


@dataclass(frozen=True, slots=True)
class RcloneConf:
    """
    The operator's rclone.conf, read only where a source needs it.

    Attributes:
        where: Its name, for errors.
        sections: Reads its sections.
    """

    where: str
    sections: Callable[[], Mapping[str, Section]]


@dataclass(frozen=True, slots=True)
class RemoteText:
    """
    An rclone remote as it stood in the text.

    Attributes:
        name: Section of rclone.conf, ``""`` for a remote that the text defines itself.
        type: rclone's type, ``""`` where the section has it.
        config: Options in the text; over a section they win.
        path: What follows the colon.
    """

    name: str
    type: str
    config: Mapping[str, str]
    path: str


def parse_remote_text(text: str) -> RemoteText:
    """
    Split ``name:path``, ``name,option=value:path`` or ``:type,option="value":path``.

    Raises:
        ConfigError: *text* is none of them; a value is never repeated.
    """
    on_the_fly = _ON_THE_FLY.match(text)
    head = on_the_fly or _REMOTE.match(text)
    if head is None:
        raise ConfigError(
            [f"cannot use {text.partition(',')[0]!r} as a remote: expected name:path or :type,option=value:path"]
        )
    config: dict[str, str] = {}
    at = head.end()
    while (found := _PARAMETER.match(text, at)) is not None:
        config[found["name"].replace("-", "_")] = _unquoted(found["value"])
        at = found.end()
    shown = head.group()
    if text[at : at + 1] != ":":
        raise ConfigError(
            [f"cannot read the options of remote {shown!r}: expected ,option=value… then :path; quote values with ':'"]
        )
    path = text[at + 1 :]
    if config and path.startswith("//"):
        last = list(config)[-1]
        raise ConfigError(
            [f"cannot read option {last} of remote {shown!r}: a value with ':' or ',' needs quotes, as in {last}=\"…\""]
        )
    return RemoteText(
        name="" if on_the_fly else head["name"], type=on_the_fly["type"] if on_the_fly else "", config=config, path=path
    )


def _unquoted(value: str | None) -> str:
    if value is None:
        return "true"
    if value[:1] in ("'", '"'):
        return value[1:-1].replace(value[0] * 2, value[0])
    return value


class _RcloneConfParser(configparser.RawConfigParser):
    """Reads sections as rclone writes them."""

    def optionxform(self, optionstr: str) -> str:
        """Keep upper and lower case."""
        return optionstr


def parse_rclone_conf(text: str, *, where: str) -> dict[str, Section]:
    """
    Read the sections of an rclone.conf.

    Raises:
        ConfigError: it is encrypted, or no rclone.conf.
    """
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and line[0] not in "#;"), "")
    if first.startswith("RCLONE_ENCRYPT_V"):
        raise ConfigError(
            [f"cannot read {where}: it is encrypted; write :type,option=value:path, or use --set and --secret"]
        )
    parser = _RcloneConfParser(delimiters=("=",), strict=False, allow_no_value=True, default_section="\0")
    try:
        parser.read_string(text)
    except configparser.Error as exc:
        line = getattr(exc, "lineno", None)
        raise ConfigError(
            [f"cannot read {where}: " + (f"line {line} is" if line else "it is") + " not rclone's configuration format"]
        ) from exc
    return {name: {key: value or "" for key, value in parser[name].items()} for name in parser.sections()}


def build_rclone_block(remote: RemoteText, sections: Mapping[str, Section], *, where: str) -> dict[str, Any]:
    """
    Build the wire's rclone block: the remote, and every section it wraps, with passwords in plain text.

    Args:
        remote: What the operator named.
        sections: The operator's rclone.conf.
        where: The configuration's name, for errors.

    Raises:
        ConfigError: a section is missing, has no type, or an obscured password cannot be revealed.
    """
    own = {**(_section(remote.name, sections, where) if remote.name else {"type": remote.type}), **remote.config}
    block: dict[str, Any] = {"type": own["type"], "path": remote.path}
    config = {key: value for key, value in _revealed(own).items() if key != "type"}
    if config:
        block["config"] = config
    wrapped: dict[str, dict[str, str]] = {}
    waiting = list(_references(own))
    while waiting:
        name = waiting.pop(0)
        if name not in wrapped:
            section = _section(name, sections, where)
            wrapped[name] = _revealed(section)
            waiting.extend(_references(section))
    if wrapped:
        block["remotes"] = wrapped
    return block


def _section(name: str, sections: Mapping[str, Section], where: str) -> Section:
    if name not in sections:
        raise ConfigError([f"cannot find remote {name!r} in {where}{did_you_mean(name, sections)}"])
    if not sections[name].get("type"):
        raise ConfigError([f"cannot use remote {name!r} of {where}: it has no type"])
    return sections[name]


def _revealed(section: Section) -> dict[str, str]:
    return {key: _plain(section["type"], key, value) for key, value in section.items()}


def _plain(remote_type: str, key: str, value: str) -> str:
    if not value or not is_obscured_option(remote_type, key):
        return value
    try:
        return reveal(value)
    except ValueError as exc:
        raise ConfigError([f"cannot use option {key} of a remote of type {remote_type}: {exc}"]) from exc


def _references(section: Section) -> Iterator[str]:
    """Name the sections that *section* wraps."""
    for key in _WRAPS:
        value = section.get(key, "")
        for word in _words(value) if key == "upstreams" else [value]:
            target = word.partition("=")[2] if section["type"] == "combine" else word
            found = _REMOTE.match(target)
            if found is not None:
                yield found["name"]


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()
