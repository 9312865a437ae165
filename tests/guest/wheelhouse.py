"""What a guest without a registry installs from: the wheels of weft's dependencies, and weft's own of this checkout."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SOURCES = ("weft", "agent", "controlplane", "deploy", "nats.conf", "pyproject.toml", "README.md")
GUEST_PYTHON = (3, 11)
"""Debian 12's; a wheel of msgspec fits one Python only."""
FOR_SINGLE_TESTS = ("click>=8.1", "rich>=13.7", "uvloop>=0.19", "mfusepy>=3")
"""What an operator's service needs, and the stand-in of CubeFS's client; an ordinary guest has none of it."""


def dependencies_path(cache: Path) -> Path:
    """Name the directory with the wheels that today's dependencies ask for; it need not exist yet."""
    wanted = "\n".join((*_dependencies(), sys.version))
    return cache / f"wheels-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def ensure_dependencies(cache: Path) -> Path:
    """Fetch the wheels unless they are there, as :func:`tests.guest.rootfs.ensure_rootfs`; needs a package index."""
    assert sys.version_info[:2] == GUEST_PYTHON, "the wheels for a guest must be made with the guest's Python 3.11"
    path = dependencies_path(cache)
    if path.is_dir():
        return path
    for older in cache.glob("*wheels-*"):
        shutil.rmtree(older)
    making = path.with_name(f"making-{path.name}")
    _pip("wheel", "--wheel-dir", str(making), "setuptools", "wheel", *_dependencies())
    making.rename(path)
    return path


def build_wheel(directory: Path, *, dependencies: Path) -> Path:
    """
    Build weft's wheel from a copy of the sources, so that nothing of an earlier build gets into it.

    Returns:
        A directory that holds it and everything it depends on.
    """
    sources, wheels = directory / "sources", directory / "wheels"
    sources.mkdir(parents=True)
    for name in SOURCES:
        origin = CHECKOUT / name
        if origin.is_dir():
            shutil.copytree(origin, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, sources / name)
    shutil.copytree(dependencies, wheels)
    _pip("wheel", "--no-deps", "--no-index", "--find-links", str(wheels), "--wheel-dir", str(wheels), str(sources))
    return wheels


def _dependencies() -> tuple[str, ...]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return (*project["dependencies"], *project["optional-dependencies"]["rclone"], *FOR_SINGLE_TESTS)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
