"""References to a guest's credentials in a share: where one may stand, and what it becomes (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from weft.wire.blocks import Block
from weft.wire.fields import Secrecy, field_infos
from weft.wire.redact import CREDENTIAL_PREFIX, SECRET_OPTIONS
from weft.wire.share import ShareMount, parse_share, share_to_builtins
from weft.wire.tolerant import to_builtins

_NAME = re.compile(r"share\.[A-Za-z0-9][A-Za-z0-9._-]{0,120}\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """
    One ``credential:NAME`` in a share.

    Attributes:
        field: The dotted name of the field that it stands in.
        name: What it names.
        is_in_secret: Whether that field is declared secret; in no other one is a reference resolved, for what is not
            secret is shown, logged, sent to servers as a path or a name, and put into command lines.
    """

    field: str
    name: str
    is_in_secret: bool

    def objection(self, owner: str) -> str | None:
        """
        Say in one sentence why a guest does not resolve it; None where it does.

        Args:
            owner: What it stands in, such as ``share 'tools'``.
        """
        if not self.is_in_secret:
            return (
                f"cannot use a credential in {self.field} of {owner}: that field is not secret, so its "
                "value would be shown; write the value itself there"
            )
        if not _NAME.match(self.name):
            return (
                f"cannot use credential {self.name!r} in {self.field} of {owner}: only credentials "
                "named 'share.…' may be used"
            )
        return None


def find_references(share: ShareMount) -> tuple[Reference, ...]:
    """List the references in the block of *share*'s backend; an unmount has none."""
    return () if share.is_unmount else references_in(share.block, share.backend_name)


def references_in(block: Block, backend: str) -> tuple[Reference, ...]:
    """List the references in *block*; unknown fields are left out, for nobody reads them and none is resolved there."""
    infos = field_infos(type(block))
    return tuple(
        Reference(
            field=".".join((backend, *path)),
            name=text.removeprefix(CREDENTIAL_PREFIX),
            is_in_secret=is_secret_place(path, infos[path[0]].secrecy),
        )
        for name, value in to_builtins(block).items()
        if name in infos
        for path, text in _texts(value, (name,))
        if text.startswith(CREDENTIAL_PREFIX)
    )


def find_misplaced(references: Iterable[Reference], owner: str) -> str | None:
    """Say in one sentence what is wrong with one of *references*, which stand in *owner*; None where nothing is."""
    return next(filter(None, (reference.objection(owner) for reference in references)), None)


def is_secret_place(path: tuple[str, ...], secrecy: Secrecy) -> bool:
    """
    Say whether a reference at *path* is resolved.

    Args:
        path: The field's name within its block, then the keys of the maps in it.
        secrecy: As the field is declared.
    """
    match secrecy:
        case Secrecy.SECRET:
            return True
        case Secrecy.SECRET_VALUES:
            return path[-1] in SECRET_OPTIONS
        case Secrecy.PUBLIC:
            return False


def resolve_references(share: ShareMount, read: Callable[[str], str]) -> ShareMount:
    """
    Return *share* with every reference in a secret field replaced; one without references comes back as it is.

    Args:
        share: None of its references is misplaced.
        read: Returns the value of a name.

    Raises:
        DecodeError: a value cannot stand where it was put; the text may hold it.
    """
    if not find_references(share):
        return share
    infos = field_infos(type(share.block))

    def replaced(value: Any, path: tuple[str, ...]) -> Any:
        match value:
            case dict():
                return {key: replaced(item, (*path, key)) for key, item in value.items()}
            case list():
                return [replaced(item, path) for item in value]
            case str() if value.startswith(CREDENTIAL_PREFIX) and is_secret_place(path, infos[path[0]].secrecy):
                return read(value.removeprefix(CREDENTIAL_PREFIX))
        return value

    block = {
        name: replaced(value, (name,)) if name in infos else value for name, value in to_builtins(share.block).items()
    }
    return parse_share({**share_to_builtins(share), share.backend_name: block})


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for key, item in value.items():
                yield from _texts(item, (*path, key))
        case list():
            for item in value:
                yield from _texts(item, path)
