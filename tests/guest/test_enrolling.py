"""``weft enroll`` against a bare Debian machine: it becomes a guest from the one file that was meant, or not at all."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controlplane.cli.app import run
from tests.guest.fleet import Fleet
from tests.guest.network import OUTSIDE
from tests.guest.nspawn import Guest
from tests.guest.outside import Outside
from tests.guest.rootfs import cache_directory
from tests.guest.template import AGENT_UNIT, INSTALL_S
from tests.guest.wheelhouse import build_wheel, dependencies_path

pytestmark = pytest.mark.integration

BUNDLE = "weft.tar.gz"
NO_APT = "#!/bin/sh\n# The packages are there, and there is no mirror.\n"


@pytest.fixture
def served(bridge: None, tmp_path: Path) -> Iterator[Path]:
    """A directory that guests can fetch from."""
    directory = tmp_path / "served"
    directory.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(directory))
    with ThreadingHTTPServer((str(OUTSIDE.ip), 8080), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="files")
        thread.start()
        yield directory
        server.shutdown()
        thread.join()


@pytest.fixture
def bundle(served: Path, tmp_path: Path) -> Path:
    """Weft's wheel and those of its dependencies, in a file that is served."""
    wheels = build_wheel(tmp_path / "build", dependencies=dependencies_path(cache_directory()))
    with tarfile.open(served / BUNDLE, "w:gz", compresslevel=1) as archive:
        for wheel in sorted(wheels.glob("*.whl")):
            archive.add(wheel, arcname=f"./{wheel.name}")
    return served / BUNDLE


Enroll = Callable[[str], str]


@pytest.fixture
def enroll(outside: Outside, capsys: pytest.CaptureFixture[str]) -> Enroll:
    """Prints the script for the guest ``alpha``, which is to install the file of a digest."""

    def enroll(sha256: str) -> str:
        url = f"http://{OUTSIDE.ip}:8080/{BUNDLE}"
        options = ["--format", "shell", "--no-auth", "--server", outside.broker.url]
        assert run(["enroll", "alpha", *options, "--package", url, "--sha256", sha256]) == 0
        return capsys.readouterr().out

    return enroll


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


async def _booted(fleet: Fleet, script: str) -> Guest:
    guest = await fleet.add("alpha")
    guest.write("/usr/local/bin/apt-get", NO_APT, mode=0o755)
    guest.write("/root/enroll.sh", script, mode=0o600)
    await guest.boot()
    return guest


async def test_a_bare_machine_becomes_a_guest(
    bare_fleet: Fleet, outside: Outside, bundle: Path, enroll: Enroll
) -> None:
    """Everything comes out of the one file; there is no index to ask."""
    script = enroll(_digest(bundle))
    guest = await _booted(bare_fleet, script)
    await guest.run("sh", "/root/enroll.sh", deadline_s=INSTALL_S)
    assert (await guest.run("systemctl", "is-active", AGENT_UNIT)).strip() == "active"
    await outside.reports.until("alpha", lambda status: status.agent is not None)
    installed = await guest.run("/opt/weft/bin/pip", "list", "--disable-pip-version-check")
    assert "weft-mounts" in installed
    assert "\nweft " not in installed


async def test_a_file_that_was_tampered_with_installs_nothing(bare_fleet: Fleet, bundle: Path, enroll: Enroll) -> None:
    """Whoever holds the server, or the way to it, gets no program into the guest."""
    script = enroll(_digest(bundle))
    with tarfile.open(bundle, "w:gz") as archive:
        evil = tarfile.TarInfo("./weft_mounts-99-py3-none-any.whl")
        archive.addfile(evil, io.BytesIO())
    guest = await _booted(bare_fleet, script)
    code, _, err = await guest.attempt("sh", "/root/enroll.sh", deadline_s=INSTALL_S)
    assert code == 1
    assert "its digest is" in err
    assert (await guest.run("ls", "/opt/weft")).split() == ["package"]
    code, _, _ = await guest.attempt("systemctl", "is-active", AGENT_UNIT)
    assert code != 0
