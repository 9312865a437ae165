"""A user of the guest who wants the agent's run directory: its lock, its files, or the directory itself."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.mounts.places import private_root
from agent.run_dir import LOCK_NAME, RunDirLock
from tests.attack.conftest import CountProbes
from tests.parts.agent_process import AgentProcess
from weft.errors import ConfigError

pytestmark = pytest.mark.integration

NOBODY = 65534

LOCK = """
import fcntl, os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_PATH):
    try:
        fcntl.flock(os.open(sys.argv[1], flags), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        continue
    print("locked")
"""

LOOK = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for root in sys.argv[1:]:
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(directory, name)
            if os.access(path, os.W_OK) and not path.endswith("agent.sock"):
                print("can write", path)
            if name.endswith((".log", ".conf", ".json", ".lock")) and "/etc/" not in path and os.access(path, os.R_OK):
                print("can read", path)
        if os.access(directory, os.W_OK):
            print("can write", directory)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that everybody can reach, with a path short enough for sockets."""
    with TemporaryDirectory(prefix="wr-", ignore_cleanup_errors=True) as made:
        os.chmod(made, 0o755)
        yield Path(made)


def as_nobody(script: str, *arguments: Path) -> str:
    """Run *script*, which becomes an ordinary user first."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout


def test_nobody_else_can_lock_it(directory: Path, count_probes: CountProbes) -> None:
    """Neither before an agent starts nor between two of them, however an earlier one had made the file."""
    run_dir = directory / "run"
    run_dir.mkdir()
    (run_dir / LOCK_NAME).touch(0o644)
    lock = RunDirLock(run_dir)
    lock.take()
    lock.release()
    assert as_nobody(LOCK, run_dir / LOCK_NAME) == ""
    lock.take()
    lock.release()
    count_probes("ways to a run directory", 4)


WRONG: dict[str, Callable[[Path], object]] = {
    "belongs to a user": lambda path: os.chown(path, NOBODY, 0),
    "can be written by its group": lambda path: path.chmod(0o775),
    "can be written by everybody": lambda path: path.chmod(0o777),
    "is like /tmp": lambda path: path.chmod(0o1777),
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG.keys())
def test_a_directory_that_others_can_change_is_refused(
    directory: Path, spoil: Callable[[Path], object], count_probes: CountProbes
) -> None:
    """What lies in it decides what root does."""
    run_dir = directory / "run"
    run_dir.mkdir()
    spoil(run_dir)
    with pytest.raises(ConfigError, match=r"others may change what lies in .*chmod it to 0755"):
        RunDirLock(run_dir).take()
    assert list(run_dir.iterdir()) == []
    count_probes("ways to a run directory")


def test_a_link_in_place_of_the_lock_is_not_followed(directory: Path, count_probes: CountProbes) -> None:
    """It would be emptied and given another mode, whatever it leads to."""
    (directory / "precious").write_text("precious")
    (directory / LOCK_NAME).symlink_to(directory / "precious")
    with pytest.raises(ConfigError, match="cannot use"):
        RunDirLock(directory).take()
    assert (directory / "precious").read_text() == "precious"
    count_probes("ways to a run directory")


async def test_nothing_of_a_running_agents_is_anybody_elses(directory: Path, count_probes: CountProbes) -> None:
    """What users can write to is the control socket; what they can read tells no secret."""
    agent = AgentProcess(directory, "nats://127.0.0.1:1")
    async with agent:
        assert as_nobody(LOOK, agent.run_dir, agent.state_dir) == ""
        assert as_nobody(LOCK, agent.run_dir / LOCK_NAME) == ""
        assert stat.S_IMODE(private_root(agent.run_dir).stat().st_mode) == 0o700
    count_probes("ways to a run directory", 7)
