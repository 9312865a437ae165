"""``weft demo``: the installed command tells the whole story, is honest about failure, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controlplane.demo.checks import Process, descendants_of, is_alive
from controlplane.demo.steps import STORY
from tests.parts.leftovers import find_leftovers, remove_leftovers
from weft.distribution import install_command

pytestmark = pytest.mark.integration
DEADLINE_S = 120.0
WEFT = Path(sys.executable).with_name("weft")
LAST_TITLE = "nothing is left: no mount, no process, no directory"


@pytest.fixture
def home() -> Iterator[Path]:
    """Give the demo a temporary directory of its own, which must be empty and unused afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="wd-"))
    yield directory
    leftovers = find_leftovers(directory)
    entries = list(directory.iterdir())
    remove_leftovers(directory)
    shutil.rmtree(directory)
    assert not leftovers, f"the demo left behind:\n{leftovers}"
    assert entries == []


@asynccontextmanager
async def demo(home: Path, *argv: str, before: tuple[str, ...] = ()) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start ``weft demo``; end it, however the test goes."""
    process = await asyncio.create_subprocess_exec(
        *(*before, str(WEFT), "demo", *argv),
        env={**os.environ, "TMPDIR": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), DEADLINE_S)


async def finish(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Return exit code, output and messages of a demo that goes on to its end."""
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    return process.returncode or 0, out.decode(), err.decode()


async def until_line(process: asyncio.subprocess.Process, part: str) -> None:
    """Read the output until a line holds *part*."""
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        while part not in (line := (await process.stdout.readline()).decode()):
            assert line, f"the demo ended before {part!r}"


async def test_the_story_comes_true_and_leaves_nothing(home: Path) -> None:
    """Every step has its line, with its time; the exit code says that all of them were verified."""
    async with demo(home) as process:
        code, out, err = await finish(process)

    assert code == 0, out + err
    assert not err, err
    lines = [line for line in out.splitlines() if line.startswith("✓")]
    titles = [step.title for step in STORY] + [LAST_TITLE]
    assert [title for title, line in zip(titles, lines, strict=True) if f" s  {title}" not in line] == []
    assert "back after " in out
    assert "algebra   lessons    3     3 " in out


async def test_two_at_once_do_not_disturb_each_other(home: Path) -> None:
    """Each has a broker, VMs and a directory of its own; as JSON, each step is a record."""
    async with demo(home, "-o", "json") as one, demo(home, "-o", "json") as other:
        ends = await asyncio.gather(finish(one), finish(other))

    for code, out, err in ends:
        assert code == 0, out + err
        assert [step["title"] for step in json.loads(out)] == [*(step.title for step in STORY), LAST_TITLE]
        assert all(step["ok"] and step["took_s"] >= 0 for step in json.loads(out))


async def test_a_server_that_dies_fails_the_step_that_needs_it(home: Path) -> None:
    """The step says what was seen, the agents' last words follow, and everything is cleared."""
    async with demo(home) as process:
        await until_line(process, "files are read")
        (server,) = [child for child in descendants_of(process.pid) if "serve" in _command(child)]
        os.kill(server.pid, signal.SIGKILL)
        code, out, err = await finish(process)

    assert code == 1
    assert sum(line.startswith("✗") for line in out.splitlines()) == 1
    assert LAST_TITLE not in out
    assert "\n  vm-1: " in f"\n{err}"
    assert "weft: cannot finish the demo: " in err
    assert "Traceback" not in err


async def test_an_agent_that_ends_by_itself_is_named_at_once(home: Path) -> None:
    """What would wait for it does not wait."""
    async with demo(home) as process:
        await until_line(process, "have mounted both")
        (agent,) = [child for child in descendants_of(process.pid) if _command(child)[2:5] == ["run", "--vm", "vm-1"]]
        os.kill(agent.pid, signal.SIGKILL)
        code, _, err = await finish(process)

    assert code == 1
    last = err.splitlines()[-1]
    assert last == f"weft: cannot finish the demo: the agent of vm-1 ended by itself, with exit code -{signal.SIGKILL}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_an_interrupted_demo_leaves_nothing(home: Path, number: signal.Signals) -> None:
    """Whatever is mounted and running then goes; the exit code is that of an interruption."""
    async with demo(home) as process:
        await until_line(process, "have mounted both")
        children = descendants_of(process.pid)
        process.send_signal(number)
        code, _, err = await finish(process)

    assert (code, err) == (130, "interrupted; nothing is left behind\n")
    assert len(children) >= 4
    assert not [child for child in children if is_alive(child)]


@pytest.mark.parametrize(
    ("program", "advice"),
    [
        pytest.param("fusermount3", "apt-get install fuse3", id="no FUSE"),
        pytest.param("rclone", install_command("rclone"), id="no rclone"),
    ],
)
async def test_what_is_missing_is_named_before_anything_starts(home: Path, program: str, advice: str) -> None:
    """One sentence says what to install, and the exit code is 1."""
    async with demo(home, before=("unshare", "--mount", "sh", "-c", f'{_mask(program)} && exec "$@"', "sh")) as process:
        code, out, err = await finish(process)

    assert (code, out) == (1, "")
    assert err == f"weft: cannot run the demo: {program} is not installed ({advice})\n"


def _command(process: Process) -> list[str]:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
    except FileNotFoundError:
        return []  # one of the agents' short-lived helpers


def _mask(program: str) -> str:
    """Build the shell command that hides *program*, in a mount namespace of one's own."""
    places = {Path(sys.executable).with_name(program), Path(shutil.which(program) or os.devnull)}
    return " && ".join(f"mount --bind /dev/null {path}" for path in places if path.is_file())
