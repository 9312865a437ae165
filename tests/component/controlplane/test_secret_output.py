"""Secrets go into files that only their owner can read, or into a pipe; never onto a screen."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.auth.directory import SCHEMA, AuthDirectory
from controlplane.auth.roles import Role
from controlplane.cli.app import run
from weft.link.credentials import parse_credentials

Capture = pytest.CaptureFixture[str]
SECRETS = (
    ("auth", "guest", "vm-1"),
    ("auth", "operator", "ann"),
    ("auth", "observer", "wallboard"),
    ("auth", "admin", "root"),
    ("auth", "guest", "vm-1", "-o", "json"),
    ("enroll", "vm-1", "--installed", "--server", "tls://n1:4222"),
    ("enroll", "vm-1", "--installed", "--server", "tls://n1:4222", "--format", "shell"),
)
"""Every command that hands out a private key."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with keys."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NATS_URL", "NATS_CREDS", "NATS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    AuthDirectory(tmp_path / "weft" / "auth").init(now_s=1000)
    return tmp_path


def weft(*arguments: str, stdout: int) -> subprocess.CompletedProcess[bytes]:
    """Run ``weft`` as a shell would, with *stdout* where the shell points it."""
    command = (sys.executable, "-m", "controlplane.cli", *arguments)
    environ = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environ, check=False, timeout=60)


@pytest.mark.parametrize("command", SECRETS, ids=" ".join)
def test_a_redirect_that_others_can_read_is_refused(home: Path, command: tuple[str, ...]) -> None:
    """As the shell's ``>`` makes it; nothing is issued, and the sentence says what to do."""
    path = home / "out"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.fchmod(handle, 0o644)
    done = weft(*command, stdout=handle)
    os.close(handle)
    assert (done.returncode, path.read_bytes()) == (2, b"")
    assert b"--out FILE" in done.stderr
    assert AuthDirectory(home / "weft" / "auth").users() == ()


@pytest.mark.parametrize("command", SECRETS, ids=" ".join)
def test_a_terminal_is_refused(home: Path, command: tuple[str, ...]) -> None:
    """It keeps what it shows; the file that is proposed is called as what goes into it."""
    kind = "sh" if "shell" in command else "yaml" if "enroll" in command else "json" if "json" in command else "creds"
    ours, theirs = pty.openpty()
    try:
        done = weft(*command, stdout=theirs)
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            os.read(ours, 1)  # nothing was shown
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"on a terminal" in done.stderr
    assert f"add --out FILE.{kind}\n".encode() in done.stderr
    assert AuthDirectory(home / "weft" / "auth").users() == ()


def test_a_pipe_and_a_private_file_are_the_readers_own(home: Path) -> None:
    """``umask 077`` before the redirect, or a program that reads."""
    assert parse_credentials(weft(*SECRETS[0], stdout=subprocess.PIPE).stdout.decode(), home)
    handle = os.open(home / "private", os.O_WRONLY | os.O_CREAT, 0o600)
    assert weft(*SECRETS[0], stdout=handle).returncode == 0
    os.close(handle)
    assert parse_credentials((home / "private").read_text(), home)


def test_out_takes_a_file_or_a_directory(home: Path) -> None:
    """The file's mode is 0600, whatever the umask."""
    before = os.umask(0)
    try:
        assert run(["auth", "operator", "ann", "--out", str(home / "ann.creds")]) == 0
        assert run(["auth", "admin", "root", "--out", str(home / "creds")]) == 0
        assert (
            run(["enroll", "vm-1", "--installed", "--server", "tls://n1:4222", "--out", str(home / "vm-1.yaml")]) == 0
        )
    finally:
        os.umask(before)
    for path in (home / "ann.creds", home / "creds" / "root.creds", home / "vm-1.yaml"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_there_is_not_replaced_unasked(home: Path, capsys: Capture) -> None:
    """And nobody is issued anything by the attempt."""
    path = home / "ann.creds"
    path.write_text("mine")
    users = AuthDirectory(home / "weft" / "auth").users
    assert run(["auth", "operator", "ann", "--out", str(path)]) == 1
    assert "--force" in capsys.readouterr().err
    assert (path.read_text(), users()) == ("mine", ())
    assert run(["auth", "operator", "ann", "--out", str(path), "--force"]) == 0
    assert parse_credentials(path.read_text(), path)
    assert run(["auth", "guest", "vm-1", "vm-2", "--out", str(home / "both.creds")]) == 2


def test_a_login_in_the_brokers_address_is_nobody_elses(home: Path, capsys: Capture) -> None:
    """Neither in what the guest gets nor in a warning."""
    for more in ([], ["--no-auth"]):
        assert run(["enroll", "vm-1", "--installed", "--server", "nats://ann:hunter2@n1:4222", *more]) == 0
        out, err = capsys.readouterr()
        assert "hunter2" not in out + err
        assert "nats://n1:4222" in out
        assert "left out" in err


def test_a_realm_of_an_older_version_is_brought_up_to_date(home: Path, capsys: Capture) -> None:
    """Guests' credentials stay; operators' end, each named with the next command; twice is the same as once."""
    directory = AuthDirectory(home / "weft" / "auth")
    for role, name in ((Role.GUEST, "vm-1"), (Role.OPERATOR, "ann"), (Role.OBSERVER, "wallboard")):
        directory.issue(role, name, now_s=1000)
    keys = directory.path / "keys"
    for name in ("weft-operators", "weft-observers", "sign-admin"):
        (keys / f"{name}.nk").unlink()
    (directory.path / "realm.json").write_text(json.dumps({"schema": 1, "made_at_s": 1000}))
    kept = {path.name: path.read_text() for path in keys.iterdir()}
    assert run(["auth", "guest", "vm-2"]) == 1
    assert "run 'weft auth init'" in capsys.readouterr().err
    assert run(["auth", "init"]) == 0
    said = capsys.readouterr().err
    assert "weft auth operator ann --out" in said
    assert "weft auth observer wallboard --out" in said
    assert {path.name: path.read_text() for path in keys.iterdir()}.items() >= kept.items()
    states = {user.name: user.state(2000) for user in directory.users()}
    assert states == {"vm-1": "valid", "ann": "revoked", "wallboard": "revoked"}
    assert json.loads((directory.path / "realm.json").read_text()) == {"schema": SCHEMA, "made_at_s": 1000}
    assert run(["auth", "init"]) == 0
    assert "ann" not in capsys.readouterr().err


def test_a_lost_key_of_an_older_version_is_not_replaced(home: Path) -> None:
    """Bringing a realm up to date makes the keys that are new, and no other."""
    directory = AuthDirectory(home / "weft" / "auth")
    (directory.path / "realm.json").write_text(json.dumps({"schema": 1, "made_at_s": 1000}))
    (directory.path / "keys" / "sign-guest.nk").unlink()
    assert run(["auth", "init"]) == 1
    assert not (directory.path / "keys" / "sign-guest.nk").exists()
