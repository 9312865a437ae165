"""``weft export``: the catalog as one readable file."""

from __future__ import annotations

from pathlib import Path

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.output import counted, format_json
from controlplane.cli.session import say, with_plane
from weft.terminal import show_json


@weft_command("export")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--show-secrets", is_flag=True, help="Write keys and passwords too; for another catalog they are needed.")
def command(file: str | None, show_secrets: bool) -> None:
    """
    Write the catalog as JSON: shares, classes and remotes.

    *** stands for each secret, and weft import leaves there what the catalog has. Without
    FILE it goes to standard output; a file is readable by you alone.

    \b
    Examples:
      weft export > catalog.json
      weft export backup.json --show-secrets
    """
    document = with_plane(lambda plane: plane.export(show_secrets=show_secrets))
    text = format_json(document)
    if file is None or file == "-":
        show_json(text)
        return
    from controlplane.auth.files import replace_file

    replace_file(Path(file).expanduser(), text + "\n", mode=0o600)
    counts = [counted(len(document[key]), noun) for key, noun in _NOUNS]
    say(f"exported {', '.join(counts)} to {file}" + ("" if show_secrets else ", without secrets"))


_NOUNS = (("shares", "share"), ("classes", "class"), ("remotes", "remote"))
