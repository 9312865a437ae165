"""weft diff, sync, export, import and recover, over answers in memory."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane.cli.app import run
from controlplane.cli.session import Session
from controlplane.comparing import Comparison
from controlplane.differences import Difference, Side
from controlplane.import_edits import ImportPlan
from controlplane.recovery import Recovery
from controlplane.results import FanOut, Outcome, VmProblem
from tests.fakes.plane import FakePlane
from weft.link import LinkOptions
from weft.wire.ids import VmId

VM = VmId("vm-1")


@dataclass
class Exchanging(FakePlane):
    """A plane that compares, exports, imports and recovers what it is told."""

    found: Comparison = field(default_factory=lambda: Comparison((VM,)))
    plan: ImportPlan = field(default_factory=lambda: ImportPlan(("+ share a",)))
    standings: Outcome = field(default_factory=Outcome)
    done: list[str] = field(default_factory=list)

    async def diff(self, vms: Any = None) -> Comparison:
        return self.found

    async def sync(self, **options: Any) -> FanOut:
        return FanOut(unchanged={VM: 1})

    async def standing(self, fan_out: FanOut) -> Outcome:
        return self.standings

    async def export(self, *, show_secrets: bool = False) -> Mapping[str, Any]:
        return {"weft": 1, "shares": [], "classes": {"algebra": []}, "remotes": {}}

    async def plan_import(self, document: Any, *, prune: bool = False) -> ImportPlan:
        return self.plan

    async def import_catalog(self, document: Any, *, prune: bool, assume_yes: bool, on_progress: Any) -> FanOut:
        self.done.append(f"import prune={prune} yes={assume_yes}")
        return FanOut(stored={VM: 1})

    async def plan_recovery(self) -> Recovery:
        return Recovery(("+ share a: on 1 VMs",), ("odd",))

    async def recover(self) -> Recovery:
        self.done.append("recover")
        return await self.plan_recovery()


Weft = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plane() -> Exchanging:
    """A plane where all agree."""
    return Exchanging()


@pytest.fixture
def weft(plane: Exchanging, capsys: pytest.CaptureFixture[str]) -> Weft:
    """Runs ``weft``; returns exit code, stdout and stderr."""

    def open_plane(options: LinkOptions, **more: Any) -> Any:
        return plane

    def weft(*argv: str) -> tuple[int, str, str]:
        code = run(argv, session=Session(open_plane=cast(Any, open_plane)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return weft


def test_agreement_is_silent_on_stdout(weft: Weft) -> None:
    """Exit 0, and how many were compared."""
    assert weft("diff") == (0, "", "no differences: 1 VM\n")
    assert weft("diff", "-o", "json") == (0, "[]\n", "no differences: 1 VM\n")


@pytest.mark.parametrize(
    ("side", "step"), [(Side.STREAM, "weft sync"), (Side.GUEST, "weft status --failed")], ids=["stream", "guest"]
)
def test_a_difference_exits_3_and_names_what_mends_it(weft: Weft, plane: Exchanging, side: Side, step: str) -> None:
    """One line each, and one record each."""
    plane.found = Comparison((VM,), (Difference(VM, side, "docs", "is not in its list"),))
    code, out, err = weft("diff")
    assert (code, out.splitlines()[1].split()) == (3, ["vm-1", side, "docs", "is", "not", "in", "its", "list"])
    assert err == f"1 VM compared: 1 in the {side} differ\n  try: {step}\n"
    (record,) = json.loads(weft("diff", "-o", "json")[1])
    assert record == {"vm": "vm-1", "side": side, "share": "docs", "difference": "is not in its list"}


def test_a_sync_reports_how_the_guests_stand(weft: Weft, plane: Exchanging) -> None:
    """It mends the stream; what guests lack is only said."""
    plane.standings = Outcome((), {}, {VM: VmProblem(VM, None, None, None, "has never reported")})
    code, _, err = weft("sync")
    assert code == 0
    assert err.splitlines()[-2:] == [
        "guests: 0 of 1 VM have what is stored, 1 have not reported it",
        "  try: weft diff",
    ]


def test_an_export_to_a_file_is_readable_by_its_owner_alone(weft: Weft, tmp_path: Path) -> None:
    """And says whether it could fill another catalog."""
    path = tmp_path / "catalog.json"
    code, out, err = weft("export", str(path))
    assert (code, out) == (0, "")
    assert err == f"exported 0 shares, 1 class, 0 remotes to {path}, without secrets\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == json.loads(weft("export")[1])


def test_an_import_shows_its_plan_first(weft: Weft, plane: Exchanging, tmp_path: Path) -> None:
    """A dry run shows nothing else."""
    path = tmp_path / "catalog.json"
    path.write_text('{"weft": 1}')
    assert weft("import", str(path), "--dry-run") == (0, "+ share a\n", "")
    assert plane.done == []
    code, out, err = weft("import", str(path))
    assert (code, out, err) == (0, "+ share a\n", f"imported {path}: 1 VM (1 stored)\n")
    assert plane.done == ["import prune=False yes=False"]


def test_removing_needs_a_yes(weft: Weft, plane: Exchanging, tmp_path: Path) -> None:
    """Where nobody can be asked, nothing happens without --yes."""
    plane.plan = ImportPlan(("- share a",), removes=True)
    path = tmp_path / "catalog.json"
    path.write_text('{"weft": 1}')
    code, _, err = weft("import", str(path), "--prune")
    assert (code, "--yes" in err, plane.done) == (1, True, [])
    assert weft("import", str(path), "--prune", "--yes")[0] == 0
    assert plane.done == ["import prune=True yes=True"]


def test_a_file_that_is_no_catalog_is_refused_before_anything(weft: Weft, plane: Exchanging, tmp_path: Path) -> None:
    """With a sentence."""
    path = tmp_path / "catalog.json"
    path.write_text("{}")
    code, _, err = weft("import", str(path))
    assert (code, "weft export" in err, plane.done) == (1, True, [])


def test_a_recovery_is_shown_and_needs_a_yes(weft: Weft, plane: Exchanging) -> None:
    """It replaces what the catalog says of every share."""
    code, out, err = weft("recover")
    assert (code, out, plane.done) == (1, "+ share a: on 1 VMs\n", [])
    assert "warning: odd" in err
    assert weft("recover", "--dry-run")[0] == 0
    assert plane.done == []
    code, _, err = weft("recover", "--yes")
    assert (code, plane.done, "recovered 1 share\n" in err) == (0, ["recover"], True)
