"""Listings as text."""

from __future__ import annotations

import json

import pytest

from controlplane.cli.output import (
    Column,
    Row,
    counted,
    format_age,
    format_fields,
    format_listing,
    format_table,
    natural,
)

COLUMNS = (Column("ID"), Column("OWNER", is_wide=True), Column("WHERE"))
ROWS = (Row("a", ("a", "me", "/mnt/a"), {"id": "a"}), Row("bcd", ("bcd", "", "/mnt/b\nc"), {"id": "bcd"}))


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("table", "ID    WHERE\na     /mnt/a\nbcd   /mnt/b c"),
        ("wide", "ID    OWNER   WHERE\na     me      /mnt/a\nbcd   -       /mnt/b c"),
        ("name", "a\nbcd"),
    ],
)
def test_columns_align_and_lines_stay_lines(output: str, text: str) -> None:
    """Nothing in a cell can begin a new line, and only wide shows everything."""
    assert format_listing(COLUMNS, ROWS, output) == text


def test_json_is_the_records() -> None:
    """A program reads records, not cells; nothing is an empty list."""
    assert json.loads(format_listing(COLUMNS, ROWS, "json")) == [{"id": "a"}, {"id": "bcd"}]
    assert format_listing(COLUMNS, (), "json") == "[]"
    assert format_listing(COLUMNS, (), "name") == ""


def test_a_table_of_nothing_has_titles() -> None:
    """An empty table still says what it is about."""
    assert format_table(("A", "B"), []) == "A   B"


def test_fields_are_dotted_and_aligned() -> None:
    """Nested values read like the names that --set takes."""
    text = format_fields(
        {"id": "x", "rclone": {"config": {"endpoint": "h"}, "path": "p"}, "readonly": True, "vms": ["a", "b"]}
    )

    assert text.splitlines() == [
        "id                       x",
        "rclone.config.endpoint   h",
        "rclone.path              p",
        "readonly                 yes",
        "vms                      a, b",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (-3, "0s"), (59.9, "59s"), (119, "119s"), (120, "2m"), (7300, "2h"), (200000, "2d")],
)
def test_ages_use_their_largest_unit(seconds: float | None, text: str) -> None:
    """Two of a unit are needed before it is used: 119s says more than 1m."""
    assert format_age(seconds) == text


def test_names_are_ordered_as_people_do() -> None:
    """A class of thirty reads from 1 to 30."""
    assert sorted(["vm-10", "vm-2", "b", "vm-1", "7"], key=natural) == ["7", "b", "vm-1", "vm-2", "vm-10"]


def test_counting_knows_one_from_many() -> None:
    """English plurals, as far as they are needed."""
    assert (counted(1, "VM"), counted(2, "VM"), counted(2, "class")) == ("1 VM", "2 VMs", "2 classes")
