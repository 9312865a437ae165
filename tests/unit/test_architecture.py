"""Which code may import what."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPURE = frozenset({"asyncio", "nats", "os", "random", "socket", "structlog", "subprocess", "threading", "time"})
PURE_WITHOUT_SAYING_SO = (
    "agent/actual.py",
    "agent/desired.py",
    "agent/drivers/base.py",
    "agent/drivers/cubefs.py",
    "agent/drivers/cubefs_config.py",
    "agent/drivers/failures.py",
    "agent/drivers/programs.py",
    "agent/drivers/rclone.py",
    "agent/drivers/rclone_config.py",
    "agent/drivers/rclone_failures.py",
    "agent/drivers/rclone_options.py",
    "agent/reconcile/backoff.py",
    "agent/reconcile/ground.py",
    "agent/reconcile/phase.py",
    "agent/reconcile/plan.py",
    "agent/reconcile/standing.py",
    "agent/reconcile/wishes.py",
    "agent/report.py",
    "controlplane/records.py",
    "controlplane/results.py",
    "controlplane/source.py",
    "weft/errors.py",
    "weft/obscure.py",
)


def imports_of(path: Path) -> Iterator[str]:
    """Yield the dotted names that *path* imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def modules_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def pure_modules() -> list[Path]:
    """Return the modules that say in their first line that they are pure, the wire, and those that are known to be."""
    saying_so = [
        path
        for package in ("weft", "agent", "controlplane")
        for path in modules_of(package)
        if re.search(r"\(pure\)|\bPure\.", path.read_text().partition("\n")[0])
    ]
    return sorted({*saying_so, *modules_of("weft/wire"), *(ROOT / name for name in PURE_WITHOUT_SAYING_SO)})


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_modules_do_no_io(path: Path) -> None:
    """Decisions are functions over values; time, randomness and I/O come in from outside."""
    assert not {name.split(".")[0] for name in imports_of(path)} & IMPURE


@pytest.mark.parametrize(
    ("package", "foreign"),
    [("agent", "controlplane"), ("controlplane", "agent"), ("weft", "agent"), ("weft", "controlplane")],
)
def test_the_two_sides_do_not_know_each_other(package: str, foreign: str) -> None:
    """Both build on weft; neither imports the other."""
    guilty = [
        str(path.relative_to(ROOT))
        for path in modules_of(package)
        if any(name.split(".")[0] == foreign for name in imports_of(path))
    ]
    assert guilty == []


def test_the_guest_stays_light() -> None:
    """A guest installs nats-py, msgspec and structlog, nothing else."""
    import sys

    allowed = sys.stdlib_module_names | {"agent", "weft", "nats", "nkeys", "msgspec", "structlog"}
    found = {
        name.split(".")[0] for package in ("agent", "weft") for path in modules_of(package) for name in imports_of(path)
    }
    assert found - allowed == set()


@pytest.mark.parametrize("package", ["weft", "agent", "controlplane"])
def test_every_module_says_what_it_owns(package: str) -> None:
    """The first thing in a file is the sentence that says what it is for."""
    silent = [
        str(path.relative_to(ROOT))
        for path in modules_of(package)
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
