"""Options that several commands share, each declared once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from controlplane.vm_lists import expand_braces
from weft.wire.ids import parse_class_name, parse_vm_id

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_TIMEOUT_S = 60.0
OUTPUTS = ("table", "wide", "json", "name")
_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType[float]):
    """A length of time: ``30``, ``30s``, ``5m``; the value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Turn the text into seconds."""
        if isinstance(value, float):
            return value
        found = re.match(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d|)\Z", str(value))
        if found is None:
            self.fail(f"{value!r} is not a length of time such as 30, 30s, 5m or 90d", param, ctx)
        return float(found[1]) * _UNITS_S[found[2]]


class Size(click.ParamType[int]):
    """An amount of storage: ``512MiB``, ``8GiB``; the value is in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Turn the text into bytes."""
        if isinstance(value, int):
            return value
        found = re.match(r"^(\d{1,9}(?:\.\d{1,3})?)\s*([KMGT])(?:i?B)?\Z", str(value), re.IGNORECASE)
        if found is None:
            self.fail(f"{value!r} is not an amount of storage such as 512MiB or 8GiB", param, ctx)
        return int(float(found[1]) * 1024 ** ("KMGT".index(found[2].upper()) + 1))


def output_option(*formats: str) -> Callable[[F], F]:
    """Add ``-o`` with *formats* (all of them unless given); the first is the default."""
    choices = formats or OUTPUTS
    return click.option(
        "-o", "--output", type=click.Choice(choices), default=choices[0], help=f"How to print [{choices[0]}]."
    )


def _each(parse: Callable[[object], str]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    """Check every value of a repeatable option before anything is connected to."""
    return lambda ctx, param, values: tuple(parse(value) for value in values)


def each_vm(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Check the VMs of a repeatable option or argument, ranges such as ``vm-{01..30}`` written out."""
    return tuple(dict.fromkeys(parse_vm_id(item) for value in values for item in expand_braces(value)))


def target_options(function: F) -> F:
    """Add ``--class`` and ``--vm``, repeatable."""
    vms = click.option(
        "--vm", "vms", multiple=True, metavar="VM", callback=each_vm, help="A VM, or vm-{01..30}; repeatable."
    )
    classes = click.option(
        "--class",
        "classes",
        multiple=True,
        metavar="CLASS",
        callback=_each(parse_class_name),
        help="A class of VMs; repeatable.",
    )
    return classes(vms(function))


def wait_options(function: F) -> F:
    """Add ``--wait`` and ``--timeout``."""
    timeout = timeout_option(function)
    return click.option("--wait", is_flag=True, help="Wait until every VM has it; --wait=30 sets the timeout too.")(
        timeout
    )


def timeout_option(function: F) -> F:
    """Add ``--timeout``."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=Duration(),
        metavar="TIME",
        default=DEFAULT_TIMEOUT_S,
        help=f"How long to wait [{DEFAULT_TIMEOUT_S:g}s].",
    )(function)


def yes_option(function: F) -> F:
    """Add ``--yes``."""
    return click.option("--yes", "-y", "assume_yes", is_flag=True, help="Do not ask, also where much changes.")(
        function
    )


def fan_out_options(function: F) -> F:
    """Add what every fan-out takes; the command gets it by the names of ``controlplane.cli.fanout.Manner``."""
    return wait_options(yes_option(output_option("table", "json")(function)))


def assign_options(function: F) -> F:
    """Add ``--set`` and ``--secret``, repeatable."""
    secrets = click.option(
        "--secret", "secrets", multiple=True, metavar="FIELD=WHERE",
        help="A secret from @FILE, @- (stdin), env:NAME or credential:NAME; repeatable.",
    )  # fmt: skip
    sets = click.option(
        "--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Any field, dotted; empty removes it; repeatable."
    )
    return sets(secrets(function))


def label_option(function: F) -> F:
    """Add ``-l``, repeatable; the command gets a map."""

    def parsed(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
        labels = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not name or not equals:
                raise click.UsageError(f"--label {text!r}: expected NAME=VALUE", ctx=ctx)
            labels[name] = value
        return labels

    return click.option(
        "-l", "--label", "labels", multiple=True, metavar="NAME=VALUE", callback=parsed, help="A label; repeatable."
    )(function)
