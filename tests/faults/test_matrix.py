"""The matrix of faults, its tests and its page agree."""

from __future__ import annotations

from tests.docs.pages import DOCS, code_of, table_rows
from tests.faults.matrix import ROWS, find_tests, number_of


def test_every_row_has_one_test_and_every_test_a_row() -> None:
    """By number."""
    assert sorted(number_of(name) for name in find_tests()) == [row.number for row in ROWS]


def test_the_page_has_the_matrix() -> None:
    """Fault, answer and test of every row; the times are of the machine that wrote it."""
    tests = {number_of(name): name for name in find_tests()}
    listed = [(cells[0], cells[1], code_of(cells[-1])) for cells in table_rows(DOCS / "faults.md")]
    assert listed == [(f"F{row.number}", row.fault, tests[row.number]) for row in ROWS]
