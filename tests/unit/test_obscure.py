"""Rules about the form in which rclone keeps passwords."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.obscure import is_obscured_option, obscure, reveal


@given(st.text(max_size=200))
def test_revealing_undoes_obscuring(plain: str) -> None:
    """Every text comes back as it was."""
    assert reveal(obscure(plain)) == plain


def test_what_rclone_obscured_is_revealed() -> None:
    """The key and the cipher are rclone's own (made with rclone 1.75.2)."""
    assert reveal("9uLQrrVQeygoW_vQYcqIOe5aDjCY") == "hello"


def test_the_same_password_gives_the_same_text() -> None:
    """One spec makes one configuration, so that nothing changes where nothing changed."""
    assert obscure("tide pool") == obscure("tide pool")


def test_the_obscured_text_does_not_show_the_password() -> None:
    """It cannot be read over a shoulder."""
    assert "tide" not in obscure("tide pool")


@pytest.mark.parametrize("text", ["plain pass", "aGk", "", "ä"], ids=["blank", "too short", "empty", "not ascii"])
def test_a_text_that_rclone_did_not_make_is_refused_without_repeating_it(text: str) -> None:
    """A wrong password must not end up in an error."""
    with pytest.raises(ValueError, match=r"cannot reveal a password: it (is|was)") as caught:
        reveal(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    ("remote_type", "option", "expected"),
    [
        pytest.param("sftp", "pass", True, id="sftp password"),
        pytest.param("crypt", "password2", True, id="crypt salt"),
        pytest.param("s3", "secret_access_key", False, id="S3 keys are plain"),
        pytest.param("webdav", "bearer_token", False, id="bearer tokens are plain"),
        pytest.param("filen", "api_key", True, id="api key of one backend"),
        pytest.param("pixeldrain", "api_key", False, id="api key of another"),
        pytest.param("newer-than-the-table", "pass", True, id="unknown type"),
    ],
)
def test_only_what_rclone_marks_as_password_is_obscured(remote_type: str, option: str, expected: bool) -> None:
    """A key that is obscured although rclone wants it plain would never be accepted."""
    assert is_obscured_option(remote_type, option) is expected
