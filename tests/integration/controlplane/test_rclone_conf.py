"""What the real rclone writes is what is understood here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from controlplane.programs import find_program
from controlplane.rclone_conf import rclone_conf, rclone_conf_path
from controlplane.source import parse_source

pytestmark = pytest.mark.integration


def rclone(*argv: str, config: Path, stdin: str = "") -> str:
    program = find_program("rclone")
    assert program is not None
    return subprocess.run(
        [program, "--config", str(config), *argv], input=stdin, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_a_configuration_that_rclone_wrote_is_read(tmp_path: Path) -> None:
    """A crypt over an sftp remote, made by rclone itself, arrives with its passwords in plain text."""
    config = tmp_path / "rclone.conf"
    rclone("config", "create", "files", "sftp", "host=h", "user=u", "pass=first one", "--obscure", config=config)
    rclone("config", "create", "vault", "crypt", "remote=files:v", "password=second", "--obscure", config=config)

    source = parse_source("vault:x", rclone_conf({"RCLONE_CONFIG": str(config)}, tmp_path))

    assert source.block["config"]["password"] == "second"
    assert source.block["remotes"]["files"] == {"type": "sftp", "host": "h", "user": "u", "pass": "first one"}


def test_the_configuration_is_looked_for_where_rclone_does(tmp_path: Path) -> None:
    """The same file that rclone names."""
    said = subprocess.run(
        [str(find_program("rclone")), "config", "file"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin"}, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip

    assert str(rclone_conf_path({}, tmp_path)) in said
