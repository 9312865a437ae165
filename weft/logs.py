"""Logs: one line per event, JSON unless a person is reading."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from weft.printable import printable, quoted

LEVELS = ("debug", "info", "warning", "error")


def configure_logs(*, level: str = "info", stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """
    Send every event of *level* and above to *stream*.

    Args:
        level: One of :data:`LEVELS`.
        stream: Where to; standard error unless given.
        as_json: Whether to write JSON; by default unless *stream* is a terminal.
    """
    target = stream if stream is not None else sys.stderr
    plain = as_json if as_json is not None else not target.isatty()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_nothing,
    ]
    if plain:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        processors += [structlog.processors.format_exc_info, _printable, structlog.dev.ConsoleRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    # nats-py reports every connection trouble through the standard library; the link says the same, once.
    logging.getLogger("nats").setLevel(logging.CRITICAL)


def _printable(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Show what a terminal could obey as escapes; JSON has escapes of its own. Only a traceback has several lines."""
    texts = {key: value if isinstance(value, str) else repr(value) for key, value in event.items()}
    trace = {key: "\n".join(quoted(texts.pop(key))) for key in ("exception",) if key in texts}
    return {printable(key): printable(text) for key, text in texts.items()} | trace


def _without_nothing(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Leave out keys that have no value for this event."""
    return {key: value for key, value in event.items() if value is not None}
