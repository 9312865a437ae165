"""What a client prints while it lives stays short."""

import os
from pathlib import Path

import pytest

from agent.mounts import places

pytestmark = pytest.mark.integration


def test_an_output_file_is_cut_under_a_client_that_appends(tmp_path: Path) -> None:
    """The end of it is kept, and what comes next follows without a hole."""
    output = os.open(tmp_path / places.OUTPUT_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    line = b"a line of a client that has much to say\n"
    try:
        os.write(output, line * (places.MAX_OUTPUT_BYTES // len(line) + 1))
        places.trim_output(tmp_path)
        assert 0 < places.output_size(tmp_path) < places.MAX_OUTPUT_BYTES // 2
        os.write(output, b"the last one\n")
    finally:
        os.close(output)
    text = (tmp_path / places.OUTPUT_NAME).read_bytes()
    assert b"\0" not in text
    assert text.endswith(line + b"the last one\n")


def test_a_short_output_file_is_left_alone(tmp_path: Path) -> None:
    """And one that is not there is none."""
    places.trim_output(tmp_path)
    (tmp_path / places.OUTPUT_NAME).write_text("one line\n")
    places.trim_output(tmp_path)
    assert (tmp_path / places.OUTPUT_NAME).read_text() == "one line\n"


def test_only_what_was_printed_since_is_read(tmp_path: Path) -> None:
    """Also after the file was cut meanwhile."""
    (tmp_path / places.OUTPUT_NAME).write_text("before\nafter\n")
    assert places.read_output_since(tmp_path, 7) == "after"
    assert places.read_output_since(tmp_path, 10_000) == "before\nafter"
