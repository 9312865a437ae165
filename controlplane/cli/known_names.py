"""Completing the names of shares, classes, VMs and remotes in a shell: asked from the broker, or silently none."""

from __future__ import annotations

import asyncio
import enum
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from controlplane.cli.session import open_plane, run_async, wanted_roster
from weft.errors import WeftError
from weft.wire.ids import TOKEN_PATTERN
from weft.wire.subjects import CATALOG_STREAM

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from weft.link import Link

PATIENCE_S = 0.8
"""How long somebody who pressed a key waits for a broker that may be down."""
_NAME = re.compile(TOKEN_PATTERN)
"""What is called otherwise is no name of weft's: a shell would be handed whatever somebody wrote into the stream."""
SHOWN = 500
"""More is no help, and takes a shell seconds to lay out."""


class Kind(enum.Enum):
    """What a name is the name of."""

    SHARE = enum.auto()
    CLASS = enum.auto()
    VM = enum.auto()
    REMOTE = enum.auto()


KINDS = {
    "ID": Kind.SHARE,
    "[ID]": Kind.SHARE,
    "[ID|FILE]": Kind.SHARE,
    "CLASS": Kind.CLASS,
    "VM": Kind.VM,
    "[VM]": Kind.VM,
    "[VM]...": Kind.VM,
    "REMOTE": Kind.REMOTE,
}
"""What a parameter names, by the placeholder that help shows for it."""


class KnownName(click.types.StringParamType):
    """
    A text that a shell completes to a name which the broker knows.

    Args:
        kind: What it names.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """List the names that begin with *incomplete*; none where the broker does not answer at once."""
        import controlplane.plane  # noqa: F401  # loaded before the clock runs

        with ctx.scope(cleanup=False):
            names = run_async(_asked_briefly(self._kind))
        found = sorted(name for name in names if _NAME.match(name) and name.startswith(incomplete))
        return [CompletionItem(name) for name in found[:SHOWN]]


def complete_names(params: Iterable[click.Parameter]) -> None:
    """Have shells complete every parameter of *params* that takes a name as it is."""
    for param in params:
        kind = KINDS.get(param.metavar or "")
        if kind is not None and param.type is click.STRING:
            param.type = KnownName(kind)


async def _asked_briefly(kind: Kind) -> Iterable[str]:
    try:
        async with asyncio.timeout(PATIENCE_S), open_plane() as plane:
            return await _names(plane, kind)
    except (TimeoutError, WeftError):
        return ()  # whatever is wrong, a half-typed command is no place to say so


async def _names(plane: ControlPlane, kind: Kind) -> Iterable[str]:
    match kind:
        case Kind.SHARE:
            return await _kept(plane.link, "share")
        case Kind.CLASS:
            return await (_kept(plane.link, "class") if wanted_roster() is None else plane.classes())
        case Kind.REMOTE:
            return await _kept(plane.link, "remote")
        case Kind.VM:
            from controlplane.survey import read_listed_vms

            return await read_listed_vms(plane.link)


async def _kept(link: Link, kind: str) -> Iterable[str]:
    """Name the entries of one kind: reading the whole catalog takes long where a class has thousands of members."""
    from controlplane.reader import read_complete
    from weft.wire.subjects import CATALOG_PREFIX

    prefix = f"{CATALOG_PREFIX}{kind}."
    last = (await read_complete(link, CATALOG_STREAM, f"{prefix}*")).last
    return [subject[len(prefix) :] for subject, message in last.items() if message.data]
