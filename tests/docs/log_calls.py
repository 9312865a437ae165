"""Every log call of the code, found in its syntax: event, levels and keys."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = frozenset({"debug", "info", "warning", "error"})
EVENT = re.compile(r"[a-z_]+\.[a-z_]+\Z")


@dataclass
class Event:
    """One event, from all calls that log it."""

    levels: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


def find_events(packages: Iterable[str] = ("weft", "agent", "controlplane")) -> dict[str, Event]:
    """Collect the events of *packages*, by name."""
    events: dict[str, Event] = defaultdict(Event)
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            for name, levels, keys in _events_in(ast.parse(path.read_text()), path):
                events[name].levels |= levels
                events[name].keys |= keys
    return dict(events)


def _events_in(module: ast.Module, path: Path) -> Iterator[tuple[str, set[str], set[str]]]:
    loggers = _loggers(module)
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or not (levels := _levels(call.func, loggers)):
                continue
            names = list(_names(call.args[0], function, module))
            assert names, f"{path}:{call.lineno}: an event's name must be found in the code"
            keys = {keyword.arg for keyword in call.keywords if keyword.arg and keyword.arg != "exc_info"}
            for name in names:
                assert EVENT.match(name), f"{path}:{call.lineno}: {name!r} is not noun.past_participle"
                yield name, levels, keys


def _loggers(module: ast.Module) -> set[str]:
    return {
        target.id
        for node in module.body
        if isinstance(node, ast.Assign) and "structlog.get_logger" in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _levels(called: ast.expr, loggers: set[str]) -> set[str]:
    match called:
        case ast.Attribute(value=ast.Name(id=name), attr=level) if name in loggers and level in LEVELS:
            return {level}
        case ast.IfExp(body=body, orelse=orelse):
            return _levels(body, loggers) | _levels(orelse, loggers)
        case _:
            return set()


def _names(argument: ast.expr, function: ast.FunctionDef | ast.AsyncFunctionDef, module: ast.Module) -> Iterator[str]:
    """Find what the first argument of a log call may be: a text, one of two, or what callers of the function pass."""
    match argument:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _names(body, function, module)
            yield from _names(orelse, function, module)
        case ast.Name(id=name) if name in {each.arg for each in function.args.args}:
            for call in ast.walk(module):
                if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == function.name:
                    passed = [*call.args, *(keyword.value for keyword in call.keywords)]
                    texts = [each.value for each in passed if isinstance(each, ast.Constant)]
                    yield from (text for text in texts if isinstance(text, str) and EVENT.match(text))
