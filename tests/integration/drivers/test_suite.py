"""The exported driver tests, on every built-in driver and on one from another package."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.cubefs import CubefsDriver
from agent.drivers.kernel import BindDriver, NfsDriver, Virtio9pDriver, VirtiofsDriver
from agent.drivers.mount_suite import MountSuite
from agent.drivers.rclone import RcloneDriver
from agent.drivers.suite import DriverSuite
from tests.parts.example_driver import EXAMPLE

sys.path.insert(0, str(EXAMPLE))
from weft_tmpfs import TmpfsDriver

pytestmark = pytest.mark.integration


def folder(directory: Path) -> Path:
    """Make a folder with one file."""
    path = directory / "source"
    path.mkdir(exist_ok=True)
    (path / "note").write_text("from the source")
    return path


class TestExample(MountSuite):
    """A driver from another package."""

    driver = TmpfsDriver()

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        return {"size_mb": 4}


class TestBind(MountSuite):
    """A driver of the kernel, mounted for real."""

    driver = BindDriver()
    entries = frozenset({"note"})

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        return {"source": str(folder(directory))}


class TestRclone(MountSuite):
    """A driver with a client process, mounted for real."""

    driver = RcloneDriver(allow_types=frozenset({"local"}))
    entries = frozenset({"note"})

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        return {"type": "local", "path": str(folder(directory))}


class TestRcloneSecrets(DriverSuite):
    """A remote with a password."""

    driver = RcloneDriver(allow_types=frozenset({"local"}))

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        return {"type": "sftp", "path": "docs", "config": {"host": "files", "user": "ann", "pass": "very-secret-word"}}


class TestCubefs(DriverSuite):
    """Its mounts are tried with a cluster of their own."""

    driver = CubefsDriver()
    fields: Mapping[str, Any] = {"readonly": True}

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        keys = {"access_key": "key-of-the-team", "secret_key": "very-secret-word"}
        return {"volume": "team", "masters": ["127.0.0.1:17010"], "owner": "alpha", **keys}


class TestNfs(DriverSuite):
    """The machine need not have a server."""

    driver = NfsDriver()

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        return {"server": "files", "export": "/docs", "options": "vers=4.2"}


class TestVirtiofs(DriverSuite):
    """The machine need not be virtual."""

    driver = VirtiofsDriver()

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        return {}


class TestVirtio9p(DriverSuite):
    """The machine need not be virtual."""

    driver = Virtio9pDriver()

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        return {"tag": "docs"}
