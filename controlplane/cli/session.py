"""One run of ``weft``: how it opens a control plane, and how loud it is."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from weft.link import LinkOptions

T = TypeVar("T")
Opener = Callable[["LinkOptions"], AbstractAsyncContextManager["ControlPlane"]]

META_CONNECTION = "weft.connection"
META_QUIET = "weft.quiet"


def _open_plane(options: LinkOptions) -> AbstractAsyncContextManager[ControlPlane]:
    from controlplane.plane import ControlPlane

    return ControlPlane.connect(options.servers, options=options)


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


def say(text: str) -> None:
    """Tell the operator something on stderr, unless ``-q``."""
    if not is_quiet():
        click.echo(text, err=True)


def link_options() -> LinkOptions:
    """Say which broker this run talks to."""
    from weft.link.context import options_from

    flags: dict[str, Any] = click.get_current_context().meta.get(META_CONNECTION, {})
    return options_from(**flags)


def with_plane(work: Callable[[ControlPlane], Awaitable[T]]) -> T:
    """Open a control plane, do *work* with it, and close it."""
    session = click.get_current_context().find_object(Session)
    assert session is not None, "run() gives every command a session"

    async def connected() -> T:
        async with session.open_plane(link_options()) as plane:
            return await work(plane)

    return run_async(connected())


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* on the fastest loop there is; the library's own log stays out of the command's output."""
    import structlog

    level = {"debug": 10, "info": 20, "warning": 30}.get(os.environ.get("WEFT_LOG", ""), 50)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(coroutine)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
