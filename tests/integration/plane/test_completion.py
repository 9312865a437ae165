"""A shell completes names that the broker knows, and says nothing where there is no broker."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from controlplane import ControlPlane
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share

pytestmark = pytest.mark.integration

ASK = "from controlplane.cli import main; main()"


async def completed(url: str, words: str) -> tuple[list[str], str]:
    """Return what a shell is offered for the last of *words*, and what it is shown beside."""
    typed = words.split(" ")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ASK),
        env={
            **os.environ,
            "NATS_URL": url,
            "_WEFT_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(typed) - 1),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return [line.removeprefix("plain,") for line in out.decode().split()], err.decode()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param("weft info d", ["docs"], id="a share, and none that was ended"),
        pytest.param("weft unpublish docs --class a", ["algebra"], id="a class behind an option"),
        pytest.param("weft class remove algebra vm-1", ["vm-1"], id="a VM among several"),
        pytest.param("weft status vm-", ["vm-0", "vm-1", "vm-2"], id="every VM that is known"),
        pytest.param("weft remote info m", ["minio"], id="a remote"),
    ],
)
async def test_names_are_completed(broker: Broker, plane: ControlPlane, words: str, offered: list[str]) -> None:
    """What begins like the word before the cursor."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    await plane.set_remote("minio", "rclone", {"type": "s3"})
    await plane.publish([share("docs"), share("done")], classes=["algebra"])
    await plane.unpublish("done")
    assert await completed(broker.url, words) == (offered, "")


async def test_without_a_broker_nothing_is_offered_and_nothing_said(broker: Broker) -> None:
    """A half-typed command is no place for an error."""
    await broker.stop()
    assert await completed(broker.url, "weft info d") == ([], "")
