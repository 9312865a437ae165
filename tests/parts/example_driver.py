"""The example driver's package, and an installation of it that needs neither network nor build tools."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "example_driver"


def install(directory: Path) -> Path:
    """
    Install the package into *directory*, as an installer would lay it out.

    Returns:
        What to put on ``PYTHONPATH``.
    """
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    name, version = project["project"]["name"].replace("-", "_"), project["project"]["version"]
    for package in project["tool"]["setuptools"]["packages"]:
        shutil.copytree(EXAMPLE / package, directory / package)
    info = directory / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, points in project["project"]["entry-points"].items()
        for line in (f"[{group}]", *(f"{point} = {target}" for point, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return directory
