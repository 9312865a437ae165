"""Shares that a person wrote into a file."""

from __future__ import annotations

import pytest

from agent.share_file import parse_share_text
from weft.errors import ConfigError

JSON = '{"id": "a", "backend": "bind", "bind": {"source": "/srv/a"}}'
TOML = 'id = "a"\nbackend = "bind"\nmount_point = "/mnt/a"\nbind = {source = "/srv/a"}\n'


@pytest.mark.parametrize(
    "text",
    [JSON, f"[{JSON}]", f'{{"shares": [{JSON}]}}', TOML, '[[shares]]\nid = "a"\nbackend = "bind"\nbind.source = "/s"'],
    ids=["one in JSON", "an array", "an object of shares", "one in TOML", "TOML tables"],
)
def test_one_or_many_in_json_or_toml(text: str) -> None:
    """As weft publish takes them."""
    (share,) = parse_share_text(text, where="f")
    assert share.id == "a"


def test_a_share_without_a_mount_point_gets_the_usual_one() -> None:
    """Below the directory that is allowed everywhere."""
    (share,) = parse_share_text(JSON, where="f")
    assert share.mount_point == "/run/weft/shares/a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected one share"),
        ('{"id": ', "JSON"),
        ("id = ", "f"),
        (f"[{JSON}, {JSON}]", "stands twice"),
        ('[{"id": "a/b"}, {"id": "c", "mount_point": "x"}]', "shares[1]"),
        ("[1]", "shares[0]"),
    ],
    ids=["nothing", "cut JSON", "cut TOML", "twice", "all problems", "no object"],
)
def test_every_problem_is_named_with_its_place(text: str, said: str) -> None:
    """In one error."""
    with pytest.raises(ConfigError) as caught:
        parse_share_text(text, where="f")
    assert any(said in problem for problem in caught.value.problems)
