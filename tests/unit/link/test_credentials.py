"""What counts as a credentials file, and that a refusal never repeats its content."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts.identities import Identities
from weft.errors import ConfigError
from weft.link.credentials import load_credentials, parse_credentials

GOOD = Identities().credentials()
JWT_LINE = GOOD.splitlines()[1]
SEED_LINE = next(line for line in GOOD.splitlines() if line.startswith("SU"))
PATH = Path("/etc/weft/guest.creds")


def damaged(seed: str) -> str:
    """Return *seed* with one letter in its middle replaced, as a slip of the hand would."""
    return seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD, id="as generated"),
        pytest.param(GOOD.replace("\n", "\r\n"), id="with Windows line endings"),
        pytest.param("# copied by hand\n\n" + GOOD.strip(), id="with text around and no last newline"),
    ],
)
def test_intact_file_is_accepted_in_canonical_form(text: str) -> None:
    """However it was copied, the client library gets the same text."""
    assert parse_credentials(text, PATH).as_text() == parse_credentials(GOOD, PATH).as_text()
    assert parse_credentials(text, PATH).jwt == JWT_LINE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "no NATS user JWT", id="empty"),
        pytest.param("password = hunter2\n", "no NATS user JWT", id="another file"),
        pytest.param(JWT_LINE, "no NATS user JWT", id="JWT without its marker"),
        pytest.param(GOOD.replace(JWT_LINE, "eyJ0.only-two"), "no NATS user JWT", id="truncated JWT"),
        pytest.param(GOOD.partition("-----BEGIN USER NKEY SEED")[0], "no user nkey seed", id="JWT without a seed"),
        pytest.param(GOOD.replace(SEED_LINE, SEED_LINE[:-4]), "not a user nkey seed", id="truncated seed"),
        pytest.param(GOOD.replace(SEED_LINE, damaged(SEED_LINE)), "not a user nkey seed", id="one wrong letter"),
        pytest.param(GOOD.replace(SEED_LINE, "S" + SEED_LINE[:0:-1]), "not a user nkey seed", id="garbled seed"),
    ],
)
def test_malformed_file_is_refused_with_one_sentence(text: str, why: str) -> None:
    """The error names file and fault, and nothing that was in the file."""
    with pytest.raises(ConfigError) as caught:
        parse_credentials(text, PATH)
    assert str(PATH) in str(caught.value)
    assert why in str(caught.value)
    for secret in (JWT_LINE, SEED_LINE, SEED_LINE[:-4], "hunter2"):
        assert secret not in str(caught.value)


def test_credentials_do_not_show_in_a_repr() -> None:
    """Neither JWT nor seed can reach a log by way of a repr."""
    shown = repr(parse_credentials(GOOD, PATH))
    assert JWT_LINE not in shown
    assert SEED_LINE not in shown


def test_missing_and_oversized_files_are_named(tmp_path: Path) -> None:
    """A path that is wrong is a configuration error with that path in it."""
    large = tmp_path / "large"
    large.write_bytes(b"x" * 100_000)
    for path, why in ((tmp_path / "none", "no such file"), (tmp_path, "directory"), (large, "too large")):
        with pytest.raises(ConfigError, match=why) as caught:
            load_credentials(path)
        assert str(path) in str(caught.value)
