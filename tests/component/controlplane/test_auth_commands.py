"""``weft auth`` and ``weft enroll`` as an operator types them; no broker is needed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from controlplane.auth.directory import AuthDirectory
from controlplane.auth.roles import Role
from controlplane.cli.app import run
from weft.errors import ConfigError
from weft.link.credentials import parse_credentials

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; returns where keys will be."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NATS_URL", "NATS_CREDS", "NATS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "weft" / "auth"


@pytest.fixture
def made(auth: Path) -> Path:
    """A directory with keys."""
    AuthDirectory(auth).init(now_s=1000)
    return auth


def seeds(auth: Path) -> list[str]:
    return [path.read_text().strip() for path in (auth / "keys").iterdir()]


def content(auth: Path) -> dict[str, bytes]:
    return {str(path.relative_to(auth)): path.read_bytes() for path in auth.rglob("*") if path.is_file()}


def test_init_makes_keys_that_only_their_owner_can_read(auth: Path, capsys: Capture) -> None:
    """Directory 0700, keys 0600, and no seed on the terminal."""
    assert run(["auth", "init"]) == 0
    assert stat.S_IMODE(auth.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (auth / "keys").iterdir()} == {0o600}
    out, err = capsys.readouterr()
    assert out == ""
    assert not any(seed in err for seed in seeds(auth))
    assert not any(seed in (auth / name).read_text() for seed in seeds(auth) for name in ("accounts.conf", "nats.conf"))


def test_init_twice_is_the_same_as_once(made: Path, capsys: Capture) -> None:
    """No byte changes, also not in a nats.conf that its owner edited."""
    (made / "nats.conf").write_text("# mine\n")
    before = content(made)
    assert run(["auth", "init"]) == 0
    assert content(made) == before


def test_init_goes_on_where_it_was_interrupted(made: Path) -> None:
    """Until the last file is written nothing was handed out, so what is missing is made and what is there is kept."""
    kept = (made / "keys" / "operator.nk").read_text()
    (made / "realm.json").unlink()
    (made / "keys" / "sign-guest.nk").unlink()
    assert run(["auth", "init"]) == 0
    assert (made / "keys" / "operator.nk").read_text() == kept
    assert run(["auth", "guest", "vm-1"]) == 0


def test_a_lost_key_is_never_replaced(made: Path, capsys: Capture) -> None:
    """A new one would lock out everybody; the sentence names the file."""
    (made / "keys" / "sign-guest.nk").unlink()
    assert run(["auth", "init"]) == 1
    assert "sign-guest.nk: no such file" in capsys.readouterr().err
    assert not (made / "keys" / "sign-guest.nk").exists()


def test_without_keys_the_next_command_is_named(auth: Path, capsys: Capture) -> None:
    """For guests, operators, listing and enrolling alike."""
    for command in (
        ["auth", "guest", "vm-1"],
        ["auth", "operator", "ann"],
        ["auth", "list"],
        ["enroll", "vm-1", "--installed"],
    ):
        assert run(command) == 1
        assert "run 'weft auth init'" in capsys.readouterr().err
    assert not auth.exists()


def test_credentials_go_to_stdout_and_nowhere_else(made: Path, capsys: Capture) -> None:
    """What is remembered of a user is not enough to be it."""
    assert run(["auth", "guest", "vm-1"]) == 0
    out, err = capsys.readouterr()
    creds = parse_credentials(out, made)
    assert creds.seed not in err
    assert not any(creds.seed.encode() in text for text in content(made).values())


def test_several_guests_need_a_place_each(made: Path, tmp_path: Path, capsys: Capture) -> None:
    """Files of mode 0600, or JSON; not one after the other on a terminal."""
    assert run(["auth", "guest", "vm-1", "vm-2"]) == 2
    assert run(["auth", "guest", "vm-1", "vm-2", "--out", str(tmp_path / "creds")]) == 0
    for vm in ("vm-1", "vm-2"):
        path = tmp_path / "creds" / f"{vm}.creds"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert parse_credentials(path.read_text(), path)
    capsys.readouterr()
    assert run(["auth", "guest", "vm-1", "vm-2", "-o", "json", "--expires", "90d"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["name"] for record in records] == ["vm-1", "vm-2"]
    assert all(record["expires_at"].endswith("Z") for record in records)


@pytest.mark.parametrize("name", ["vm.1", "*", ">", "a b", "a/b", "", "-x"])
def test_a_name_must_be_one_token(made: Path, capsys: Capture, name: str) -> None:
    """It becomes part of the subjects that the user may use."""
    for command in (
        ["auth", "guest"],
        ["auth", "operator"],
        ["enroll", "--installed"],
        ["enroll", "--installed", "--no-auth"],
    ):
        assert run([*command, "--", name]) == 1
        assert "cannot use" in capsys.readouterr().err
    assert AuthDirectory(made).users() == ()


def test_list_shows_who_and_how_long(made: Path, capsys: Capture) -> None:
    """Valid, expired and revoked are told apart."""
    directory = AuthDirectory(made)
    directory.issue(Role.GUEST, "vm-old", now_s=1000, lifetime_s=10)
    directory.issue(Role.GUEST, "vm-lost", now_s=1000)
    directory.issue(Role.OBSERVER, "wallboard", now_s=1000)
    assert run(["auth", "revoke", "vm-lost"]) == 0
    capsys.readouterr()
    assert run(["auth", "list", "-o", "json"]) == 0
    states = {record["name"]: record["state"] for record in json.loads(capsys.readouterr().out)}
    assert states == {"vm-old": "expired", "vm-lost": "revoked", "wallboard": "valid"}


def test_an_unknown_name_cannot_be_revoked(made: Path, capsys: Capture) -> None:
    """A typing mistake must not look like a success, and voids nobody else."""
    AuthDirectory(made).issue(Role.GUEST, "vm-1", now_s=1000)
    assert run(["auth", "revoke", "vm-1", "vm-11"]) == 1
    assert "vm-11" in capsys.readouterr().err
    assert AuthDirectory(made).users()[0].revoked_at_s is None


def test_a_damaged_list_is_said(made: Path) -> None:
    """It is not taken for an empty one: that would give revoked users their rights back."""
    (made / "users.jsonl").write_text('{"event":"issued"\n')
    with pytest.raises(ConfigError, match=r"users\.jsonl"):
        AuthDirectory(made).users()
    assert run(["auth", "init"]) == 1


def test_show_names_every_role(capsys: Capture) -> None:
    """The permissions can be read before anybody is given any."""
    assert run(["auth", "show"]) == 0
    table = capsys.readouterr().out
    assert "weft.status.NAME" in table
    assert run(["auth", "show", "-o", "json"]) == 0
    assert {row["role"] for row in json.loads(capsys.readouterr().out)} == set(Role)


def test_enroll_gives_each_vm_credentials_of_its_own(made: Path, tmp_path: Path, capsys: Capture) -> None:
    """One file per VM, mode 0600, with its id and the broker's address."""
    out = tmp_path / "enrolled"
    assert run(["enroll", "vm-1", "vm-2", "--installed", "--server", "tls://n1:4222", "--out", str(out)]) == 0
    texts = {vm: (out / f"{vm}.yaml").read_text() for vm in ("vm-1", "vm-2")}
    assert all(f'vm = "{vm}"' in text and "tls://n1:4222" in text for vm, text in texts.items())
    assert len({line.strip() for text in texts.values() for line in text.splitlines() if line.strip()[:2] == "SU"}) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert "warning" not in capsys.readouterr().err


def test_enroll_prints_one_document_per_vm(auth: Path, capsys: Capture) -> None:
    """Several scripts in a row would make the last VM win, so they need files."""
    assert run(["enroll", "vm-1", "vm-2", "--installed", "--no-auth", "--server", "nats://n1:4222"]) == 0
    assert [text.startswith("#cloud-config\n") for text in capsys.readouterr().out.split("---\n")] == [True, True]
    assert run(["enroll", "vm-1", "vm-2", "--installed", "--no-auth", "--format", "shell"]) == 2


def test_enroll_warns_of_an_address_that_guests_cannot_use(auth: Path, capsys: Capture) -> None:
    """The default is this machine, which the guest would take for itself."""
    assert run(["enroll", "vm-1", "--installed", "--no-auth"]) == 0
    assert "means the guest itself" in capsys.readouterr().err
