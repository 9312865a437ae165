"""`weft-agent install`: what it writes, what it leaves alone, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import main
from agent.cli.install import build_unit, installed_bin
from weft.errors import ConfigError

UNIT = "etc/systemd/system/weft-agent.service"
CONFIG = "etc/weft/agent.toml"


def install(root: Path) -> int:
    """Run the command for the file system at *root* and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["install", "--root", str(root)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_fresh_guest_gets_both_units_and_an_example_configuration(tmp_path: Path) -> None:
    """Everything that ``systemctl enable --now`` needs is there."""
    assert install(tmp_path) == 0
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {UNIT, "etc/systemd/system/weft-shares.service", CONFIG}


def test_an_existing_configuration_is_left_alone(tmp_path: Path) -> None:
    """Installing again upgrades units, never what the operator wrote."""
    config = tmp_path / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text('vm = "alpha"\n')
    assert install(tmp_path) == 0
    assert config.read_text() == 'vm = "alpha"\n'


def test_installing_twice_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time says of each unit that it is unchanged."""
    install(tmp_path)
    capsys.readouterr()
    assert install(tmp_path) == 0
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines()] == ["unchanged", "unchanged"]


def test_units_start_the_agent_that_was_asked_to_install_them() -> None:
    """A virtual environment elsewhere than the usual place works as well."""
    text = "ExecStart=/opt/weft/bin/weft-agent run\n"
    assert build_unit(text, installed_bin(Path("/srv/weft"))) == "ExecStart=/srv/weft/bin/weft-agent run\n"


def test_a_path_that_cannot_stand_in_a_unit_is_refused() -> None:
    """Systemd would read it as something else."""
    with pytest.raises(ConfigError, match="plainer path"):
        installed_bin(Path("/srv/my weft"))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, no traceback."""
    (tmp_path / "etc").write_text("not a directory")
    assert install(tmp_path) == 1
    assert f"cannot write {tmp_path / UNIT}" in capsys.readouterr().err
