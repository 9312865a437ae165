"""Names that become subject tokens."""

from collections.abc import Callable

import pytest

from weft import subject
from weft.errors import SubjectError
from weft.wire.ids import parse_class_name, parse_remote_name, parse_share_id, parse_vm_id
from weft.wire.paths import system_directory_of

PARSERS = [parse_vm_id, parse_class_name, parse_share_id, parse_remote_name]


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("name", ["*", ">", "a.b", "a b", "a/b", "", "-a", "_a", "é", "a\n", "a" * 129, 5, None])
def test_unsafe_names_are_refused(parse: Callable[[object], str], name: object) -> None:
    """A wildcard, separator or path never reaches the broker; the error quotes it."""
    with pytest.raises(SubjectError) as caught:
        parse(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("name", ["a", "vm-7", "VM_7", "7", "a" * 128])
def test_one_token_is_accepted(parse: Callable[[object], str], name: str) -> None:
    """Letters, digits, '-' and '_', a letter or digit first."""
    assert parse(name) == name


def test_subject_of_a_vm() -> None:
    """One subject per VM."""
    assert subject("vm-7") == "weft.mounts.vm-7"


@pytest.mark.parametrize(
    "path",
    [
        "/etc",
        "/etc/x",
        "/proc/1",
        "/usr",
        "/home",
        "/run/weft-agent/x",
        "/usr/bin/x",
        "/usr/local/lib/systemd/x",
        "/var/spool/cron",
        "/var/lib/weft/x",
        "/run/weft",
        "/run/credentials/x",
        "/var",
    ],
)
def test_system_directories_are_known(path: str) -> None:
    """A share there could replace what the guest runs on, or hide everybody's files."""
    assert system_directory_of(path) is not None


@pytest.mark.parametrize("path", ["/mnt", "/home/ann", "/opt/tools", "/run/weft/shares/x", "/run/media/x", "/etcetera"])
def test_other_directories_are_left_to_the_policy(path: str) -> None:
    """Whether a guest allows them is its own decision."""
    assert system_directory_of(path) is None
