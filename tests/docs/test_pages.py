"""What the pages list is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controlplane.cli import exits
from docs.generate import PAGES_DIR, build_pages
from tests.docs.log_calls import Event, find_events
from tests.docs.pages import DOCS, ROOT, code_of, every_page, table_rows
from weft.errors import PERMANENT_CODES, ErrorCode
from weft.wire.status import ShareState

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
