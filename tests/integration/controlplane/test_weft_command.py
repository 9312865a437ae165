"""``weft`` as a process, against a real broker, with guests that report."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.broker import Broker
from tests.parts.told_guest import ToldGuest

pytestmark = pytest.mark.integration
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Said:
    """How a run ended."""

    code: int
    out: str
    err: str


class Operator:
    """Somebody who types ``weft`` commands; nothing of the test machine's settings gets in."""

    def __init__(self, url: str, home: Path) -> None:
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(home), "NATS_URL": url, "LOGNAME": "ann"}

    async def start(self, *argv: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "controlplane.cli", *argv),
            env=self._environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *argv: str, stdin: str = "") -> Said:
        async with asyncio.timeout(DEADLINE_S):
            process = await self.start(*argv)
            out, err = await process.communicate(stdin.encode())
        said = Said(process.returncode or 0, out.decode(), err.decode())
        assert "Traceback" not in said.err, said.err
        return said

    async def must(self, *argv: str, stdin: str = "") -> str:
        said = await self(*argv, stdin=stdin)
        assert said.code == 0, said.err
        return said.out


@pytest.fixture
async def weft(broker: Broker, tmp_path: Path) -> Operator:
    """An operator of an initialised broker with a class of two VMs."""
    operator = Operator(broker.url, tmp_path)
    await operator.must("init")
    await operator.must("class", "create", "algebra", "vm-1", "vm-2")
    return operator


BIND = ("--from", "bind:/srv/docs")


async def test_publish_to_a_class_converges_and_ends(weft: Operator, broker: Broker) -> None:
    """From publish to unpublish, every VM is waited for, and listings show it meanwhile."""
    async with ToldGuest(broker.url, "vm-1"), ToldGuest(broker.url, "vm-2"):
        said = await weft("publish", "docs", *BIND, "--class", "algebra", "--wait")
        assert (said.code, "converged: 2 VMs" in said.err) == (0, True), said.err

        again = await weft("publish", "docs", *BIND, "--class", "algebra", "--wait")
        assert "(0 stored, 2 unchanged)" in again.err

        counts = [line.split() for line in (await weft.must("status")).splitlines()]
        assert ["algebra", "docs", "2", "2", "0", "0", "0"] in counts
        records = json.loads(await weft.must("status", "-o", "json"))
        assert [(record["vm"], record["shares"][0]["state"]) for record in records] == [
            ("vm-1", "mounted"),
            ("vm-2", "mounted"),
        ]
        assert (await weft.must("list", "-o", "name")).split() == ["docs"]
        assert await weft.must("wait", "docs") == ""

        ended = await weft("unpublish", "docs", "--wait")
        assert (ended.code, await weft.must("list", "-o", "name")) == (0, "")


async def test_a_vm_that_does_not_converge_is_named(weft: Operator, broker: Broker) -> None:
    """A failing guest and a silent one are told apart, and the exit code is 3."""
    async with ToldGuest(broker.url, "vm-1", refuses=True):
        said = await weft("publish", "docs", *BIND, "--class", "algebra", "--wait=1")
        failing = json.loads(await weft.must("status", "--failed", "-o", "json"))

    assert said.code == 3
    first, second = said.out.splitlines()
    assert first.split()[:4] == ["vm-1", "docs", "failed", "auth"]
    assert second.startswith("vm-2")
    assert [record["vm"] for record in failing] == ["vm-1", "vm-2"]


async def test_late_joiners_get_the_shares_and_leavers_lose_them(weft: Operator, broker: Broker) -> None:
    """Adding to a class fans out at once; so does removing."""
    await weft.must("publish", "docs", *BIND, "--class", "algebra")
    async with ToldGuest(broker.url, "vm-1"), ToldGuest(broker.url, "vm-2"), ToldGuest(broker.url, "vm-3"):
        assert (await weft("class", "add", "algebra", "vm-3", "--wait")).code == 0
        (record,) = json.loads(await weft.must("status", "vm-3", "-o", "json"))
        assert [share["id"] for share in record["shares"]] == ["docs"]

        assert (await weft("class", "set", "algebra", "-f", "-", "--yes", "--wait", stdin="vm-3\n")).code == 0
        assert (await weft.must("class", "info", "algebra")).split() == ["vm-3"]


async def test_many_shares_from_standard_input_are_one_fan_out(weft: Operator) -> None:
    """A file of shares stores one message per VM."""
    shares = [{"id": f"s{n}", "backend": "bind", "bind": {"source": f"/srv/{n}"}} for n in range(20)]

    out = await weft.must("publish", "-", "--class", "algebra", "-o", "json", stdin=json.dumps(shares))

    record = json.loads(out)
    assert (len(record["shares"]), sorted(record["stored"])) == (20, ["vm-1", "vm-2"])
    assert len((await weft.must("list", "-o", "name")).split()) == 20


async def test_sync_repairs_a_lost_stream(weft: Operator, broker: Broker) -> None:
    """One command brings back what every VM should have."""
    from weft.link import Link, LinkOptions

    await weft.must("publish", "docs", *BIND, "--class", "algebra")
    async with Link(LinkOptions(servers=(broker.url,))) as link:
        await link.js.delete_stream("weft-mounts")
    lost = await weft("sync")
    await weft.must("init")

    assert (lost.code, "weft init" in lost.err) == (1, True)
    assert "2 to change" in (await weft("sync", "--dry-run")).err
    assert "2 stored" in (await weft("sync")).err


async def test_secrets_stay_out_of_every_listing(weft: Operator, tmp_path: Path) -> None:
    """Only --show-secrets shows what was published."""
    (tmp_path / "key").write_text("hunter2\n")
    await weft.must(
        "publish", "vol", "--from", "cubefs://team@m1:17010/vol", "--class", "algebra",
        "--secret", f"cubefs.secret_key=@{tmp_path / 'key'}",
    )  # fmt: skip

    shown = [
        await weft.must(*argv) for argv in (("info", "vol"), ("list", "-o", "json"), ("info", "vol", "-o", "json"))
    ]
    assert "hunter2" not in "".join(shown)
    assert "hunter2" in await weft.must("info", "vol", "--show-secrets")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        pytest.param(("publish", "docs", *BIND, "--class", "algbra"), "did you mean algebra?", id="unknown class"),
        pytest.param(("publish", "docs", *BIND), "--disabled", id="new share for nobody"),
        pytest.param(("unpublish", "dosc"), "weft list", id="unknown share"),
        pytest.param(("status", "vm-9"), "weft vm list", id="unknown VM"),
        pytest.param(("class", "create", "algebra"), "it exists", id="class twice"),
        pytest.param(
            ("publish", "docs", *BIND, "--vm", "vm-1", "--unstored"), "JetStream", id="unstored, but it stores"
        ),
    ],
)
async def test_mistakes_are_sentences(weft: Operator, argv: Sequence[str], said: str) -> None:
    """Exit 1, nothing on stdout, and what to do next."""
    run = await weft(*argv)

    assert (run.code, run.out) == (1, "")
    assert said in run.err


async def test_a_broker_without_jetstream_says_how_to_enable_it(plain_broker: Broker, tmp_path: Path) -> None:
    """Publishing names the setting, and what works without it."""
    operator = Operator(plain_broker.url, tmp_path)

    said = await operator("publish", "docs", *BIND, "--vm", "vm-1")
    sent = await operator("publish", "docs", *BIND, "--vm", "vm-1", "--unstored")

    assert (said.code, "jetstream" in said.err.lower()) == (1, True)
    assert (sent.code, "not stored" in sent.err) == (0, True)


async def test_an_interrupted_wait_exits_130(weft: Operator) -> None:
    """Ctrl-C ends a wait at once, without a traceback."""
    async with asyncio.timeout(DEADLINE_S):
        process = await weft.start("publish", "docs", *BIND, "--class", "algebra", "--wait", "--label", "x=y")
        # What was published shows in the catalog, so that the interrupt meets the wait and not the start.
        while "docs" not in (await weft("list", "-o", "name")).out:
            assert process.returncode is None
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()

    assert process.returncode == 130
    assert b"Traceback" not in err
