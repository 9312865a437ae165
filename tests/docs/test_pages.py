"""What the pages list is what the code has."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent.cli import build_parser
from controlplane import ControlPlane
from controlplane.cli import exits
from controlplane.cli.app import cli as weft_cli
from docs.generate import PAGES_DIR, build_pages
from tests.docs.log_calls import Event, find_events
from tests.docs.pages import DOCS, ROOT, code_of, every_page, table_rows
from weft.errors import PERMANENT_CODES, ErrorCode
from weft.wire.status import ShareState

PACKAGES = ("weft", "agent", "controlplane")
LINK = re.compile(r"\[[^\]]*\]\(([^)]+)\)")


def test_the_events_page_lists_every_event_and_no_other() -> None:
    """Name, levels and keys, as the log calls in the code have them."""
    listed = {
        code_of(name): Event(set(levels.replace(",", "").split()), set(keys.split()))
        for name, levels, keys, _ in table_rows(DOCS / "events.md")
    }

    assert listed == find_events()


def test_reference_pages_are_up_to_date() -> None:
    """``python -m docs.generate`` would change nothing."""
    committed = {path.name: path.read_text() for path in PAGES_DIR.glob("*.md")}

    assert committed == build_pages()


def test_the_errors_page_explains_every_code() -> None:
    """Each once, and whether it is tried again is told as the code decides it."""
    rows = [row for row in table_rows(DOCS / "errors.md") if code_of(row[0]) in set(ErrorCode)]

    assert sorted(code_of(row[0]) for row in rows) == sorted(ErrorCode)
    assert {code_of(row[0]) for row in rows if row[2] == "no"} == PERMANENT_CODES


def test_the_architecture_page_explains_every_state() -> None:
    """Each state of a share has its row."""
    found = [code_of(row[0]) for row in table_rows(ROOT / "ARCHITECTURE.md")]

    assert {state for state in ShareState if state not in found} == set()


def test_exit_codes_are_those_of_the_command_line() -> None:
    """The page is written from a table, which follows the constants."""
    constants = {value for value in vars(exits).values() if isinstance(value, int)}
    listed = {int(code) for code, _ in table_rows(PAGES_DIR / "exit-codes.md")}

    assert listed == {0, *constants}


def test_every_command_is_told_of_in_a_page_for_readers() -> None:
    """Each command of ``weft`` and of ``weft-agent`` stands somewhere outside the reference."""
    told = "\n".join(page.read_text() for page in every_page() if page.parent != PAGES_DIR)

    missing = [name for name in every_command() if not re.search(rf"(?<![\w-]){name}\b", told)]
    assert missing == []


def test_the_python_page_names_every_method() -> None:
    """Whatever a control plane can do is told of, so that nobody has to read its code to find it."""
    told = (DOCS / "python.md").read_text()

    missing = [name for name in dir(ControlPlane) if not name.startswith("_") and not re.search(rf"\b{name}\b", told)]
    assert missing == []


def test_the_architecture_page_knows_every_package() -> None:
    """Each directory of code has its row in the file map, or its parent has."""
    told = (ROOT / "ARCHITECTURE.md").read_text()

    found = {path.parent.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert [path for path in found if not any(f"`{each}/" in told for each in (path, path.parent))] == []


def every_command() -> Iterator[str]:
    """Name every command as it is typed."""
    yield from _commands_in(weft_cli, click.Context(weft_cli, info_name="weft"))
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from (f"weft-agent {name}" for name in action.choices)


def _commands_in(group: click.Group, ctx: click.Context) -> Iterator[str]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=ctx)
        if isinstance(command, click.Group):
            yield from _commands_in(command, inner)
        else:
            yield inner.command_path


@pytest.mark.parametrize("page", every_page(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file, and every anchor a heading."""
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in _anchors(linked), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
