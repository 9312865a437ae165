"""Where an agent of its own lives."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.leftovers import remove_leftovers


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path for an agent of its own, and nothing mounted below it afterwards."""
    with tempfile.TemporaryDirectory(prefix="wk-", ignore_cleanup_errors=True) as short:
        try:
            yield Path(short)
        finally:
            remove_leftovers(Path(short))
