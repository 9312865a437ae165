"""One run of ``weft``: how it opens a control plane, and how loud it is."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from weft.terminal import tell

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.roster import Roster
    from weft.link import LinkOptions

T = TypeVar("T")
Opener = Callable[..., AbstractAsyncContextManager["ControlPlane"]]
"""Takes the link's options and, where they were given, ``roster=`` and ``operator=``."""

GARBAGE_AFTER = 50_000
"""New objects between two searches for garbage: Python's own 700 cost a seventh of the time with ten thousand VMs."""

META_CONNECTION = "weft.connection"
META_OPERATOR = "weft.operator"
META_QUIET = "weft.quiet"
META_ROSTER = "weft.roster"


def _open_plane(
    options: LinkOptions, *, roster: Roster | None = None, operator: str | None = None
) -> AbstractAsyncContextManager[ControlPlane]:
    from controlplane.plane import ControlPlane

    return ControlPlane.connect(options.servers, options=options, roster=roster, operator=operator)


@dataclass(frozen=True, slots=True)
class Session:
    """
    What commands need from the outside.

    Attributes:
        open_plane: Connects a control plane; tests give their own.
    """

    open_plane: Opener = _open_plane


def is_quiet() -> bool:
    """Whether only data and errors are wanted."""
    return bool(click.get_current_context().meta.get(META_QUIET))


def say(*lines: str) -> None:
    """Tell the operator something on stderr, unless ``-q``."""
    if not is_quiet():
        tell(*lines)


def link_options() -> LinkOptions:
    """Say which broker this run talks to."""
    from weft.link.context import options_from

    flags: dict[str, Any] = click.get_current_context().meta.get(META_CONNECTION, {})
    return options_from(**flags)


def wanted_roster() -> Roster | None:
    """Say where this run's classes come from: a flag, then the environment; None for the catalog."""
    kind, value = click.get_current_context().meta.get(META_ROSTER) or next(
        (
            (kind, os.environ[name])
            for kind, name in (("roster", "WEFT_ROSTER"), ("roster_command", "WEFT_ROSTER_COMMAND"))
            if os.environ.get(name)
        ),
        ("", ""),
    )
    if not kind:
        return None
    from controlplane.rosters import CommandRoster, FileRoster

    return FileRoster(Path(value).expanduser()) if kind == "roster" else CommandRoster(value)


def open_plane() -> AbstractAsyncContextManager[ControlPlane]:
    """Prepare the control plane of this run; entering it connects."""
    session = click.get_current_context().find_object(Session)
    assert session is not None, "run() gives every command a session"
    given = {"roster": wanted_roster(), "operator": click.get_current_context().meta.get(META_OPERATOR)}
    return session.open_plane(link_options(), **{name: value for name, value in given.items() if value is not None})


def with_plane(
    work: Callable[[ControlPlane], Awaitable[T]], *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """Open a control plane, do *work* with it, and close it."""

    async def connected() -> T:
        async with open_plane() as plane:
            return await work(plane)

    return run_async(connected(), loop_factory=loop_factory)


def run_async(
    coroutine: Coroutine[Any, Any, T], *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """Run *coroutine*; the library's own log stays out of the command's output unless WEFT_LOG names a level."""
    gc.set_threshold(GARBAGE_AFTER)
    _load_structlog()
    from weft.logs import LEVELS, configure_logs

    wanted = os.environ.get("WEFT_LOG", "")
    configure_logs(level=wanted if wanted in LEVELS else "critical", as_json=False)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(coroutine)


def _load_structlog() -> None:
    """
    Import structlog without rich, which it would load for coloured tracebacks that nobody sees here.

    Worth 40 ms of the 300 that a listing may take; a progress bar imports rich later.
    """
    had_rich = "rich" in sys.modules
    if not had_rich:
        sys.modules["rich"] = None  # type: ignore[assignment]  # how Python marks a module that cannot be imported
    try:
        import structlog  # noqa: F401
    finally:
        if not had_rich:
            del sys.modules["rich"]


def fast_loop() -> asyncio.AbstractEventLoop:
    """Make the fastest loop there is: loading it pays where thousands of VMs are published to."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
