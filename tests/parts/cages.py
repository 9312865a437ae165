"""A cage for any program: what a client without sources sees."""

from __future__ import annotations

from pathlib import Path

from agent.mounts.cage import Cage
from agent.mounts.cage_files import copy_etc
from tests.parts.views import PYTHON


def make_cage(directory: Path, **changes: object) -> Cage:
    """Make what a cage needs below *directory*; *changes* are fields of it."""
    paths = {name: directory / name.removesuffix("_dir") for name in ("private_dir", "cache_dir", "tmp_dir")}
    for path in paths.values():
        path.mkdir(exist_ok=True)
    copy_etc(directory / "etc")
    fields = {"etc": str(directory / "etc"), "read_only": PYTHON, **{name: str(path) for name, path in paths.items()}}
    return Cage(**{**fields, **changes})  # type: ignore[arg-type]
