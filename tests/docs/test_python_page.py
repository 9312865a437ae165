"""The examples of the Python page run and print what the page says; those of other pages are valid code."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import Driver, Failure, MountContext
from tests.docs.pages import DOCS, ROOT, code_blocks, every_page
from tests.parts.broker import Broker
from weft.errors import CommandNotFoundError, ErrorCode
from weft.wire.blocks import register_block
from weft.wire.share import ShareMount

PAGE = DOCS / "python.md"
DEADLINE_S = 60.0


@pytest.mark.integration
async def test_the_examples_print_what_the_page_says(broker: Broker, tmp_path: Path) -> None:
    """All of them in one program, as a reader would type them one after the other."""
    program = tmp_path / "examples.py"
    program.write_text("\n".join(code_blocks(PAGE, "python")))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program)),
        env={"NATS_URL": broker.url, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()

    assert (process.returncode, err.decode()) == (0, "")
    assert out.decode() == "".join(code_blocks(PAGE, "text"))


@pytest.mark.parametrize("page", every_page(), ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_every_page_compiles(page: Path) -> None:
    """No example has a mistake that Python sees."""
    for block in code_blocks(page, "python"):
        compile(block, str(page), "exec")


def test_the_example_driver_mounts_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver of the drivers page builds a command, wants its programs, and names a failure."""
    monkeypatch.setattr("weft.wire.blocks._REGISTERED", {})
    driver = load_example_driver()
    register_block(driver.name, driver.block)
    share = ShareMount(id="files", backend="sshfs", mount_point="/mnt/files", extra={"sshfs": {"host": "h"}})
    programs = {name: Path("/usr/bin") / name for name in driver.programs}
    context = MountContext(
        share=share, source="weft:files:0", private_dir=tmp_path, cache_dir=tmp_path, programs=programs
    )

    assert driver.build(context).argv[-2:] == ("h:/", "/mnt/files")
    assert driver.classify(context, Failure(1, "Permission denied")).code is ErrorCode.AUTH
    with pytest.raises(CommandNotFoundError):
        driver.require_programs({})


def load_example_driver() -> Driver:
    """Load the example as the entry point of a package would be."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code_blocks(DOCS / "drivers.md", "python")[0], "drivers.md", "exec", dont_inherit=True), names)
    driver = names["SshfsDriver"]()
    assert isinstance(driver, Driver)
    return driver
