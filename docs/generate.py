"""``python -m docs.generate``: write the pages of ``docs/reference/`` from the declarations in the code."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import msgspec

from agent import cli as agent_cli
from agent.config import ENVIRONMENT_PREFIX, AgentConfig
from controlplane.cli import exits
from controlplane.cli.app import cli as weft_cli
from controlplane.cli.command import WeftCommand
from controlplane.cli.status_view import SEEN_FIELDS
from weft.wire.blocks import BUILTIN_BLOCKS
from weft.wire.events import Event, OperatorEvent
from weft.wire.fields import Change, Secrecy, field_infos
from weft.wire.share import Cache, ShareMount
from weft.wire.status import AgentInfo, ShareError, ShareStatus, VmStatus

PAGES_DIR = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `python -m docs.generate` from the code; change the code, not this page. -->"

CHANGES: Mapping[Change, str] = {Change.LIVE: "live", Change.REMOUNT: "remount", Change.NONE: "nothing"}
SECRECY: Mapping[Secrecy, str] = {Secrecy.PUBLIC: "", Secrecy.SECRET: "yes", Secrecy.SECRET_VALUES: "its values"}

EXIT_CODES: Sequence[tuple[int, str]] = (
    (0, "Done. With `--wait`: and every VM has it."),
    (exits.FAILED, "Failed. One sentence on stderr says why, and what to do next."),
    (exits.USAGE, "The command line or the configuration is wrong. Nothing was done."),
    (exits.NOT_CONVERGED, "Not every VM has it in time, or (`weft diff`) something differs. Each is named on stdout."),
    (exits.INTERRUPTED, "Interrupted with Ctrl-C. What was published before stays published."),
)


def build_pages() -> dict[str, str]:
    """Build every page, by file name."""
    return {
        "fields.md": _page("Fields", _fields()),
        "status.md": _page("What `weft status -o json` prints", _status()),
        "weft.md": _page("weft", _weft()),
        "weft-agent.md": _page("weft-agent", _weft_agent()),
        "agent-settings.md": _page("Agent settings", _settings()),
        "exit-codes.md": _page("Exit codes", _exit_codes()),
    }


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([NOTE, "", f"# {title}", "", *lines]).rstrip() + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


# --- fields -------------------------------------------------------------------------------------------------------


def _fields() -> Iterator[str]:
    yield "Every field on the wire, from its one declaration in `weft/wire/`. *Change* is what a guest does when the"
    yield "field differs from what is mounted: `remount`, `live` (the running client takes it) or `nothing`."
    yield ""
    yield from _struct("ShareMount", ShareMount)
    for backend, block in BUILTIN_BLOCKS.items():
        yield from _struct(f"Block `{backend}`", block)
    yield from _struct("`cache`", Cache)
    yield "## What a guest reports"
    yield ""
    for name, struct in (
        ("VmStatus", VmStatus),
        ("`shares[]`", ShareStatus),
        ("`error` and `problem`", ShareError),
        ("`agent`", AgentInfo),
    ):
        yield from _struct(name, struct, is_wish=False)
    yield "## The audit trail"
    yield ""
    yield from _struct("In a guest: `weft.events.vm.<vm>.>`", Event, is_wish=False)
    yield from _struct("By an operator: `weft.events.op.>`", OperatorEvent, is_wish=False)


def _status() -> Iterator[str]:
    yield "A list with one record for each VM, `vm-2` before `vm-10`; with `-w` one record per line, first of every VM,"
    yield "then of each that changed. Fields are added in later versions, never renamed or given another meaning."
    yield ""
    yield "A record is the report that the guest sent, with nothing left out: fields of a newer agent are there too. A"
    yield "field that says nothing may be absent. A VM that has never reported has `vm`, an empty `shares`, and `seen`."
    yield ""
    yield from _struct("The report", VmStatus, is_wish=False)
    yield from _struct("`shares[]`", ShareStatus, is_wish=False)
    yield from _struct("`error` and `problem`", ShareError, is_wish=False)
    yield from _struct("`agent`", AgentInfo, is_wish=False)
    yield "### `seen`: what only the operator's side knows"
    yield ""
    yield from _table(("field", "meaning"), [(f"`{name}`", text) for name, text in SEEN_FIELDS.items()])
    yield "A share is as wanted when `counts_as` is `mounted`: it is mounted with the wanted digest, or it is shadowed"
    yield "or expired."
    yield ""
    yield "```console"
    yield "$ weft status -o json | jq -r '.[] | select(.seen.state != \"ok\") | .vm'"
    yield "```"


def _struct(title: str, struct: type[msgspec.Struct], *, is_wish: bool = True) -> Iterator[str]:
    yield f"{'##' if is_wish else '###'} {title}"
    yield ""
    required = {field.encode_name for field in msgspec.structs.fields(struct) if field.required}
    infos = field_infos(struct).values()
    cells = [(f"`{info.name}`", "yes" if info.name in required else "", info.description) for info in infos]
    if not is_wish:
        yield from _table(("field", "required", "meaning"), cells)
        return
    more = [(CHANGES[info.change], SECRECY[info.secrecy]) for info in infos]
    heads = ("field", "required", "meaning", "change", "secret")
    yield from _table(heads, [(*first, *second) for first, second in zip(cells, more, strict=True)])


# --- weft ---------------------------------------------------------------------------------------------------------


def _weft() -> Iterator[str]:
    yield "Every command takes these options, before or after its name:"
    yield ""
    yield from _options(_shared_options())
    yield "In brackets: the environment variable that stands for the option, or the default."
    yield ""
    root = click.Context(weft_cli, info_name="weft")
    yield from _commands(weft_cli, root)


def _shared_options() -> list[click.Parameter]:
    return WeftCommand("any").params


def _commands(group: click.Group, ctx: click.Context) -> Iterator[str]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None, name
        inner = click.Context(command, info_name=name, parent=ctx)
        yield from _command(command, inner)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _command(command: click.Command, ctx: click.Context) -> Iterator[str]:
    yield f"## {ctx.command_path}"
    yield ""
    arguments = [param.make_metavar(ctx) for param in command.params if isinstance(param, click.Argument)]
    yield f"`{' '.join([ctx.command_path, *arguments])}`"
    yield ""
    yield from _help_text(inspect.cleandoc(command.help or ""))
    shared = {param.name for param in _shared_options()}
    own = [param for param in command.params if isinstance(param, click.Option) and param.name not in shared]
    if own:
        yield from _options(own)


def _help_text(text: str) -> Iterator[str]:
    """Turn a command's help into Markdown: what it keeps unwrapped (after ``\\b``) is literal."""
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0].strip() == "\b":
            yield "```text"
            yield from lines[1:]
            yield "```"
        else:
            yield from lines
        yield ""


def _options(params: Iterable[click.Parameter]) -> Iterator[str]:
    rows = []
    for param in params:
        assert isinstance(param, click.Option)
        names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
        value = "" if param.is_flag or param.count else f" {_placeholder(param)}"
        rows.append((f"{names}{value}", param.help or ""))
    yield from _table(("option", "what it does"), rows)


def _placeholder(param: click.Option) -> str:
    if param.metavar:
        return param.metavar
    return "\\|".join(param.type.choices) if isinstance(param.type, click.Choice) else param.type.name.upper()


# --- weft-agent ---------------------------------------------------------------------------------------------------


def _weft_agent() -> Iterator[str]:
    parser = agent_cli.build_parser()
    yield f"{parser.description} `weft-agent run` is the agent; the other commands ask a running one."
    yield "`weft-agent --version` prints the version."
    yield ""
    for name, command in _subparsers(parser):
        yield f"## weft-agent {name}"
        yield ""
        yield _sentence(command.description or "")
        yield ""
        rows = [
            (_spelled(action), _sentence(action.help or "")) for action in command._actions if action.dest != "help"
        ]
        if rows:
            yield from _table(("argument", "what it does"), rows)


def _subparsers(parser: argparse.ArgumentParser) -> Iterable[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices.items()
    raise AssertionError("weft-agent has commands")


def _spelled(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    if action.nargs == 0:
        return names
    return f"{names} {action.metavar or '|'.join(action.choices or ())}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def _settings() -> Iterator[str]:
    yield "What `weft-agent run` can be told, in this order: a flag, an environment variable, the file"
    yield "`/etc/weft/agent.toml` (another one with `--config` or `WEFT_CONFIG`), the default. Servers are separated by"
    yield "commas in a variable, roots by colons; the file takes lists."
    yield ""
    meanings = _attributes(AgentConfig)
    rows = []
    for field in dataclasses.fields(AgentConfig):
        if field.name == "file":
            continue  # which file the others come from
        default = field.default if not isinstance(field.default, tuple) else ", ".join(field.default)
        shown = "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        rows.append((f"`{field.name}`", f"`{ENVIRONMENT_PREFIX}{field.name.upper()}`", meanings[field.name], shown))
    yield from _table(("setting", "variable", "meaning", "default"), rows)


def _attributes(kind: type) -> dict[str, str]:
    """Read the Attributes section of a docstring."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[2]
    found = re.findall(r"^    (\w+): (.+(?:\n        .+)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


# --- exit codes ---------------------------------------------------------------------------------------------------


def _exit_codes() -> Iterator[str]:
    yield "The same for `weft` and `weft-agent`; data is on stdout, everything else on stderr."
    yield ""
    yield from _table(("code", "meaning"), [(str(code), meaning) for code, meaning in EXIT_CODES])


def main() -> None:
    """Write every page, and take away those that no longer belong there."""
    pages = build_pages()
    PAGES_DIR.mkdir(exist_ok=True)
    for path in PAGES_DIR.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (PAGES_DIR / name).write_text(text)


if __name__ == "__main__":
    main()
