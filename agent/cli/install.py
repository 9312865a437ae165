"""``weft-agent install``: put the systemd units, and an example configuration if there is none, where they belong."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from weft.deploy import find_data_file

from agent.cli.question import Commands
from weft.errors import ConfigError, WeftError
from weft.terminal import show, tell

UNITS = ("weft-agent.service", "weft-shares.service")
UNITS_DIR = Path("etc/systemd/system")
EXAMPLE = "agent.toml"
CONFIG = Path("etc/weft/agent.toml")
PACKAGED_BIN = "/opt/weft/bin/"
"""Where the units that travel with weft expect its programs."""


def add_to(commands: Commands) -> None:
    """Describe the command."""
    summary = "write the systemd units, and /etc/weft/agent.toml if there is none"
    parser: argparse.ArgumentParser = commands.add_parser("install", help=summary, description=summary)
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="the guest's file system (/)")
    parser.set_defaults(perform=perform)


def perform(arguments: argparse.Namespace) -> int:
    """Write what is missing or differs, say so, and name the next command."""
    bin_dir = installed_bin(Path(sys.prefix))
    wanted = {UNITS_DIR / name: build_unit(find_data_file(name).read_text(), bin_dir) for name in UNITS}
    if not (arguments.root / CONFIG).exists():
        wanted[CONFIG] = find_data_file(EXAMPLE).read_text()
    for path, text in wanted.items():
        show(f"{arguments.root / path}: {'written' if _write(arguments.root / path, text) else 'unchanged'}")
    tell(f"next: set vm and nats in {Path('/') / CONFIG}, then systemctl enable --now {' '.join(UNITS)}")
    return 0


def installed_bin(prefix: Path) -> Path:
    """
    Find the directory of the ``weft-agent`` that the units shall start.

    Args:
        prefix: Where this Python environment is.

    Raises:
        ConfigError: the path cannot stand in a unit.
    """
    directory = prefix / "bin"
    if any(character.isspace() or character in "\"'\\%$;" for character in str(directory)):
        raise ConfigError(
            [f"cannot start {directory}/weft-agent from a systemd unit: install weft into a plainer path"]
        )
    return directory


def build_unit(text: str, bin_dir: Path) -> str:
    """Build a unit that starts weft's programs from *bin_dir*."""
    return text.replace(PACKAGED_BIN, f"{bin_dir}/")


def _write(path: Path, text: str) -> bool:
    """Make *path* hold *text*; return whether it did not."""
    try:
        if path.exists() and path.read_text() == text:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as exc:
        raise WeftError(f"cannot write {path}: {exc.strerror}; installing needs root") from exc
    return True
