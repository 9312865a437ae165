"""The unit that keeps ``weft sync --watch`` running."""

from __future__ import annotations

from configparser import ConfigParser

from weft.deploy import find_data_file

from controlplane.cli.commands.sync import command


def test_the_unit_runs_a_command_that_exists_and_says_ready() -> None:
    """Its options are those of the command, and it is supervised as a service that notifies."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(find_data_file("weft-sync.service").read_text())
    program, name, *arguments = unit["Service"]["ExecStart"].split()
    known = {option for param in command.params for option in param.opts}
    assert (program, name, unit["Service"]["Type"]) == ("/opt/weft/bin/weft", command.name, "notify")
    assert {argument for argument in arguments if argument.startswith("-")} <= known
    assert float(unit["Service"]["WatchdogSec"]) > 0
