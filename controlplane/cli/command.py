"""What every command of ``weft`` is made with: connection options, before or after it, and how ``--wait`` is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from controlplane.cli.known_names import complete_names
from controlplane.cli.session import META_CONNECTION, META_OPERATOR, META_QUIET, META_ROSTER

_CONNECTION: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (("-s", "--server", "--nats"), "server", "URL", "NATS server, or several of one cluster [NATS_URL]"),
    (("--creds",), "creds", "FILE", "Credentials file [NATS_CREDS]"),
    (("--context",), "context", "NAME", "Context of the nats command [NATS_CONTEXT]"),
    (("--tlsca",), "tls_ca", "FILE", "Certificates to trust [NATS_CA]"),
    (("--tlscert",), "tls_cert", "FILE", "Client certificate [NATS_CERT]"),
    (("--tlskey",), "tls_key", "FILE", "Its private key [NATS_KEY]"),
)
"""Flags, name, placeholder, help; the names are those of ``weft.link.context.options_from``."""


_OPERATOR = "On whose behalf: noted beside the user of the credentials."

_ROSTERS: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (("--roster",), "roster", "FILE", "Classes from this JSON or TOML file, not the catalog [WEFT_ROSTER]"),
    (("--roster-command",), "roster_command", "CMD", "Classes from this program [WEFT_ROSTER_COMMAND]"),
)


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Keep a given value for the whole run; what stands after the command wins over what stands before it."""
    if value is not None:
        ctx.meta[META_CONNECTION] = {**ctx.meta.get(META_CONNECTION, {}), str(param.name): value}


def _remember_roster(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[META_ROSTER] = (str(param.name), value)


def _remember_operator(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[META_OPERATOR] = value


def _hush(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[META_QUIET] = True


def _shared_params() -> list[click.Parameter]:
    """Make the options that every command has, anew for each."""
    params: list[click.Parameter] = [
        click.Option((*flags, name), metavar=metavar, help=text, expose_value=False, callback=_remember)
        for flags, name, metavar, text in _CONNECTION
    ]
    params += [
        click.Option((*flags, name), metavar=metavar, help=text, expose_value=False, callback=_remember_roster)
        for flags, name, metavar, text in _ROSTERS
    ]
    params.append(
        click.Option(("--operator",), metavar="NAME", help=_OPERATOR, expose_value=False, callback=_remember_operator)
    )
    params.append(
        click.Option(("-q", "--quiet"), is_flag=True, help="Only data and errors.", expose_value=False, callback=_hush)
    )
    return params


class WeftCommand(click.Command):
    """A command with the shared options; ``--wait=30`` stands for ``--wait --timeout 30``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        complete_names(self.params)
        self.params = [*self.params, *_shared_params()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read *args*; an option with a value that may be left out would swallow the argument behind it."""
        if any(param.name == "wait" for param in self.params):
            args = [part for arg in args for part in _wait_spelled_out(arg)]
        return super().parse_args(ctx, args)


class WeftGroup(click.Group):
    """A group of commands with the shared options."""

    command_class = WeftCommand

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        complete_names(self.params)
        self.params = [*self.params, *_shared_params()]


def _wait_spelled_out(arg: str) -> list[str]:
    head, equals, value = arg.partition("=")
    return ["--wait", f"--timeout={value}"] if head == "--wait" and equals else [arg]


def command(name: str) -> Callable[[Callable[..., Any]], WeftCommand]:
    """Make a function the command called *name*."""
    return click.command(name, cls=WeftCommand)


def group(name: str, *, is_command: bool = False) -> Callable[[Callable[..., Any]], WeftGroup]:
    """Make a function the group called *name*; with *is_command* it does something by itself too."""
    return click.group(name, cls=WeftGroup, invoke_without_command=is_command)
