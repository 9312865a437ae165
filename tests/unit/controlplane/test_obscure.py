"""Passwords that rclone obscured come back as they were."""

from __future__ import annotations

import pytest

from controlplane.obscure import reveal
from weft.errors import ConfigError

# Made with `rclone obscure` 1.75.2.
OBSCURED = {
    "IHRYaFnYoJVAw8t6E1JlfP4pfZOMzP8ecHw": "hunter2 ü",
}


@pytest.mark.parametrize(("obscured", "plain"), OBSCURED.items())
def test_reveals_what_rclone_obscured(obscured: str, plain: str) -> None:
    """The plain text comes back, also beyond ASCII."""
    assert reveal(obscured) == plain


@pytest.mark.parametrize("text", ["hunter2", "", "!!!", "x" * 64], ids=["plain", "empty", "no base64", "not text"])
def test_refuses_what_rclone_did_not_obscure(text: str) -> None:
    """A plain password in place of an obscured one is an error that does not repeat it."""
    with pytest.raises(ConfigError) as caught:
        reveal(text)
    assert not text or text not in str(caught.value)
