"""Lists of VM ids, as people and programs write them."""

from __future__ import annotations

import pytest

from controlplane.vm_lists import MAX_EXPANDED, expand_braces, parse_vm_ids
from weft.errors import ConfigError, SubjectError


@pytest.mark.parametrize(
    "text",
    ["vm-1\nvm-2\n", "vm-1 vm-2", "# class of 2027\nvm-1, vm-2 # front row\n\nvm-1\n", '["vm-1", "vm-2"]'],
    ids=["lines", "one line", "comments and repeats", "JSON"],
)
def test_ids_are_read_once_in_order(text: str) -> None:
    """Every usual way to write a list is understood."""
    assert parse_vm_ids(text, where="x") == ("vm-1", "vm-2")


@pytest.mark.parametrize("text", ["vm.1", "vm*", '["a/b"]'])
def test_an_id_that_is_no_token_is_refused(text: str) -> None:
    """Nothing that NATS would read as more than one token gets through."""
    with pytest.raises(SubjectError):
        parse_vm_ids(text, where="x")


@pytest.mark.parametrize("text", ["[1]", '["a"'])
def test_a_wrong_json_list_is_named(text: str) -> None:
    """The file stands in the error."""
    with pytest.raises(ConfigError, match="x"):
        parse_vm_ids(text, where="x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("vm-{1..3}", ["vm-1", "vm-2", "vm-3"], id="numbers"),
        pytest.param("vm-{08..10}", ["vm-08", "vm-09", "vm-10"], id="padded"),
        pytest.param("vm-{3..1}", ["vm-3", "vm-2", "vm-1"], id="downwards"),
        pytest.param("vm-{1..9..4}", ["vm-1", "vm-5", "vm-9"], id="in steps"),
        pytest.param("{a,b}-{1..2}", ["a-1", "a-2", "b-1", "b-2"], id="two of them"),
        pytest.param("vm-7", ["vm-7"], id="none"),
    ],
)
def test_ranges_are_written_out_as_a_shell_would(text: str, expected: list[str]) -> None:
    """Also where no shell did it."""
    assert expand_braces(text) == expected


def test_a_list_in_braces_is_not_torn_apart() -> None:
    """Commas between ids and within braces are different things."""
    assert parse_vm_ids("{a,b}-1,c\n# {x}\nd-{1..2}", where="x") == ("a-1", "b-1", "c", "d-1", "d-2")


@pytest.mark.parametrize("text", ["vm-{1..}", "vm-{a}", f"vm-{{0..{MAX_EXPANDED + 1}}}", "{1..9999}-{1..9999}"])
def test_a_range_that_is_none_or_too_long_is_refused(text: str) -> None:
    """Before any memory is filled."""
    with pytest.raises(ConfigError, match="cannot expand"):
        expand_braces(text)
