"""The commands on classes, and rosters kept elsewhere, over a control plane in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane.cli.app import run
from controlplane.cli.session import Session
from controlplane.roster import Roster
from controlplane.rosters import CommandRoster, FileRoster
from tests.fakes.plane import FakePlane
from tests.unit.controlplane.makers import record
from weft.link import LinkOptions
from weft.wire.ids import VmId

Weft = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plane() -> FakePlane:
    """A plane with one class of three VMs, and a share for it."""
    return FakePlane(
        rosters={"algebra": (VmId("vm-1"), VmId("vm-2"), VmId("vm-3"))},
        records={"docs": record("docs", classes=("algebra",))},
    )


@pytest.fixture
def rosters() -> list[Roster | None]:
    """Where the classes of each run came from."""
    return []


@pytest.fixture
def weft(
    plane: FakePlane,
    rosters: list[Roster | None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Weft:
    """Runs ``weft``; returns exit code, stdout and stderr."""
    monkeypatch.delenv("WEFT_ROSTER", raising=False)
    monkeypatch.delenv("WEFT_ROSTER_COMMAND", raising=False)

    def open_plane(options: LinkOptions, *, roster: Roster | None = None) -> Any:
        rosters.append(roster)
        return plane

    def weft(*argv: str) -> tuple[int, str, str]:
        code = run(argv, session=Session(open_plane=cast(Any, open_plane)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return weft


class Terminal(io.StringIO):
    """Standard input with a person behind it."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_a_range_names_a_whole_class(weft: Weft, plane: FakePlane) -> None:
    """No shell has to write it out."""
    assert weft("class", "create", "physics", "p-{01..30}")[2] == "created class physics with 30 VMs\n"
    assert (plane.rosters["physics"][0], plane.rosters["physics"][-1]) == ("p-01", "p-30")


def test_ten_thousand_members_come_from_a_file_or_standard_input(
    weft: Weft, plane: FakePlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one command."""
    text = "\n".join(f"vm-{number:05}" for number in range(10_000))
    (tmp_path / "ids.txt").write_text(text)
    weft("class", "create", "all", "-f", str(tmp_path / "ids.txt"))
    assert len(plane.rosters["all"]) == 10_000
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert weft("class", "add", "algebra", "-f", "-")[0] == 0
    assert len(plane.rosters["algebra"]) == 10_003


def test_setting_a_class_shows_who_joins_and_who_leaves(weft: Weft, plane: FakePlane) -> None:
    """Before anything is done; a dry run does nothing at all."""
    code, _, err = weft("class", "set", "algebra", "vm-2", "vm-{4..5}", "--dry-run")
    assert code == 0
    assert err.splitlines()[:2] == ["+ 2 VMs: vm-4, vm-5", "- 2 VMs: vm-1, vm-3"]
    assert len(plane.rosters["algebra"]) == 3
    weft("class", "set", "algebra", "vm-2")
    assert plane.rosters["algebra"] == ("vm-2",)


def test_on_a_terminal_a_class_that_loses_members_is_asked_about(
    weft: Weft, plane: FakePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No means that nothing happens; --yes is not asked."""
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert weft("class", "set", "algebra", "vm-2")[0] == 1
    assert len(plane.rosters["algebra"]) == 3
    assert weft("class", "set", "algebra", "vm-2", "--yes")[0] == 0
    assert plane.rosters["algebra"] == ("vm-2",)


def test_deleting_a_class_with_shares_asks(weft: Weft, plane: FakePlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script is refused and told the option, a person is asked."""
    code, _, err = weft("class", "delete", "algebra")
    assert (code, "--with-shares" in err, "algebra" in plane.rosters) == (1, True, True)
    monkeypatch.setattr("sys.stdin", Terminal("n\ny\n"))
    assert weft("class", "delete", "algebra")[0] == 1
    code, _, err = weft("class", "delete", "algebra")
    assert (code, "docs: published to class algebra" in err, plane.rosters) == (0, True, {})


def test_targets_may_be_ranges(weft: Weft, plane: FakePlane) -> None:
    """Wherever a VM is named, exceptions too."""
    weft("publish", "x", "--from", "bind:/srv", "--vm", "a-{1..3}", "--except", "a-{2..3}")
    assert plane.records["x"].targets.vms == ("a-1", "a-2", "a-3")
    assert plane.records["x"].targets.excepted == ("a-2", "a-3")


def test_classes_may_come_from_elsewhere_with_any_command(
    weft: Weft, rosters: list[Roster | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or a program, by flag or environment."""
    weft("class", "list", "--roster", str(tmp_path / "classes.toml"))
    weft("--roster-command", "ldap-members", "status")
    monkeypatch.setenv("WEFT_ROSTER", str(tmp_path / "classes.toml"))
    weft("list")
    assert [type(roster) for roster in rosters] == [FileRoster, CommandRoster, FileRoster]
