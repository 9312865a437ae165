"""The names that become subject tokens, keys and file names: parsed once at the edge, then carried as types."""

from __future__ import annotations

import re
from typing import NewType

from weft.errors import SubjectError

ShareId = NewType("ShareId", str)
VmId = NewType("VmId", str)
ClassName = NewType("ClassName", str)
RemoteName = NewType("RemoteName", str)

TOKEN_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z"
_TOKEN = re.compile(TOKEN_PATTERN)


def _parse(what: str, value: object) -> str:
    if isinstance(value, str) and _TOKEN.match(value):
        return value
    raise SubjectError(what, value)


def parse_share_id(value: object) -> ShareId:
    """
    Accept *value* as a share id.

    Raises:
        SubjectError: *value* is not one subject token.
    """
    return ShareId(_parse("a share id", value))


def parse_vm_id(value: object) -> VmId:
    """
    Accept *value* as a VM id.

    Raises:
        SubjectError: *value* is not one subject token.
    """
    return VmId(_parse("a VM id", value))


def parse_class_name(value: object) -> ClassName:
    """
    Accept *value* as a class name.

    Raises:
        SubjectError: *value* is not one subject token.
    """
    return ClassName(_parse("a class name", value))


def parse_remote_name(value: object) -> RemoteName:
    """
    Accept *value* as the name of a catalog remote.

    Raises:
        SubjectError: *value* is not one subject token.
    """
    return RemoteName(_parse("a remote name", value))
