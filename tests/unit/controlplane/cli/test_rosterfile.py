"""Lists of VM ids, as people and programs write them."""

from __future__ import annotations

import pytest

from controlplane.cli.rosterfile import parse_vm_ids
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
