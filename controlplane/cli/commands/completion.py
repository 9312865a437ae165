"""``weft completion``: what a shell needs to complete weft's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from controlplane.cli.command import command as weft_command
from weft.terminal import show_block


@weft_command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """
    Print the completion script for a shell.

    \b
    Examples:
      weft completion bash > /etc/bash_completion.d/weft
      source <(weft completion zsh)
      weft completion fish > ~/.config/fish/completions/weft.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click completes these three shells"
    show_block(kind(ctx.find_root().command, {}, "weft", "_WEFT_COMPLETE").source())
