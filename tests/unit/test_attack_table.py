"""The page that says how much was tried."""

from __future__ import annotations

import re

import pytest

from tests.attack.table import BEGIN, END, PAGE, build_table, put_table
from weft.errors import ConfigError


def test_the_counts_stand_between_the_markers_of_the_page() -> None:
    """Written twice is the same as once, and nothing else of the page changes."""
    table = build_table({"shares refused": 1200, "paths refused": 3})
    page = put_table(PAGE.read_text(), table)
    assert put_table(page, table) == page
    assert "| paths refused | 3 |\n| shares refused | 1,200 |" in page
    assert page.partition(BEGIN)[0] == PAGE.read_text().partition(BEGIN)[0]
    assert page.partition(END)[2] == PAGE.read_text().partition(END)[2]


def test_a_page_without_a_place_for_them_is_an_error() -> None:
    """Rather than a page without its figures."""
    with pytest.raises(ConfigError, match="cannot find"):
        put_table("nothing", "")


def test_every_test_that_the_page_names_exists() -> None:
    """A claim without the test that shows it would be a wish."""
    page = PAGE.read_text()
    files = {path.name: path for path in (PAGE.parent / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(?:tests/[a-z_/]+/)?(test_\w+\.py)`", page))
    assert named - set(files) == set()
    functions = set(re.findall(r"def (test_\w+)\(", "".join(path.read_text() for path in files.values())))
    assert set(re.findall(r"`(test_\w+)`", page)) - functions == set()
    assert len(named) > 15
