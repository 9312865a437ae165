"""Reading a process's state and start time."""

import pytest

from agent.supervise.identity import parse_stat

FIELDS = "S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 123456 9 9"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("rclone", id="plain"),
        pytest.param("a b) R 1 (c", id="spaces and parentheses"),
        pytest.param("new\nline", id="line break"),
    ],
)
def test_the_command_may_hold_anything(command: str) -> None:
    """The last parenthesis ends the command, whatever it is."""
    assert parse_stat(f"42 ({command}) {FIELDS}\n") == ("S", 123456)


def test_a_short_text_is_refused() -> None:
    """A text that ends early is no guess at a start time."""
    with pytest.raises(ValueError, match="cannot read"):
        parse_stat("42 (x) S 1 2")
