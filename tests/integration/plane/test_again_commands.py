"""``weft refresh``, ``retry``, ``wait`` and ``events`` as commands: what is printed, and how they exit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from controlplane import ControlPlane
from controlplane.cli.app import run
from tests.integration.plane.guests import Guests
from tests.integration.plane.test_refresh import fails_until_told_again
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share

pytestmark = pytest.mark.integration

Weft = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def weft(broker: Broker, capsys: pytest.CaptureFixture[str]) -> Weft:
    """Runs ``weft`` beside the test's loop; returns exit code, stdout and stderr."""

    async def weft(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(run, [*argv, "--server", broker.url])
        said = capsys.readouterr()
        return code, said.out, said.err

    return weft


async def test_a_failure_is_named_with_the_next_command_and_mended_by_it(
    broker: Broker, plane: ControlPlane, weft: Weft
) -> None:
    """Wait exits with 3 and says what to run; that is run, and then everybody has it."""
    async with Guests(broker.url, judge=fails_until_told_again):
        await plane.publish(share("a"), vms=["vm-0", "vm-1"])
        code, out, err = await weft("wait", "a", "--timeout", "20")
        assert (code, out.split()[:4]) == (3, ["vm-1", "a", "failed", "auth"])
        assert "not converged: 1 of 2 VMs" in err
        assert "try: weft status vm-1, and when it is mended: weft retry a --wait" in err
        code, out, err = await weft("retry", "a", "--wait=20")
        assert (code, out) == (0, "")
        assert "retried a: 1 VM (1 stored)" in err
        assert "converged: 1 VM" in err
        code, _, err = await weft("retry", "a", "--wait=20")
    assert (code, "nothing to try again" in err) == (0, True)


async def test_a_refresh_of_one_vm_is_waited_for(broker: Broker, plane: ControlPlane, weft: Weft) -> None:
    """The same shape as every command that changes guests; a VM without the share is nobody to wait for."""
    async with Guests(broker.url):
        await plane.publish(share("a"), vms=["vm-0", "vm-1"])
        code, out, _ = await weft("refresh", "a", "--vm", "vm-1", "--wait=20", "-o", "json")
        record = json.loads(out)
        assert (code, list(record["stored"]), record["outcome"]["converged"]) == (0, ["vm-1"], ["vm-1"])
        code, _, err = await weft("refresh", "a", "--vm", "vm-9", "--wait=20")
    assert code == 1
    assert "vm-9 does not have share 'a'" in err


async def test_events_are_printed_oldest_first(plane: ControlPlane, weft: Weft) -> None:
    """With who says to have done it and what came of it; what there is nothing of is said on stderr."""
    code, out, err = await weft("events")
    assert (code, out) == (0, "")
    assert "nothing happened in the last hour" in err
    await plane.create_class("algebra")
    await plane.publish(share("a"), vms=["vm-1"])
    _, out, _ = await weft("events")
    head, created, published = out.splitlines()
    assert head.split() == ["TIME", "WHO", "EVENT", "SHARE", "MESSAGE"]
    assert created.split()[2:] == ["teacher?", "class.create", "-", "algebra"]
    assert published.split()[2:] == ["teacher?", "publish", "a", "1", "VM", "(1", "stored)"]
    _, out, _ = await weft("events", "--share", "a", "-o", "json")
    (record,) = [json.loads(line) for line in out.splitlines()]
    assert (record["event"], record["shares"], record["vms"]) == ("publish", ["a"], {"stored": 1})
    assert (record["who"], record["checked_who"]) == ("teacher", "")


async def test_the_age_of_events_is_an_option_of_init(plane: ControlPlane, weft: Weft) -> None:
    """It changes the streams of events, and no other."""
    code, _, err = await weft("init", "--events-age", "90d")
    assert (code, err.splitlines()[0]) == (0, "upgraded: weft-events, weft-guest-events")


async def test_one_vm_is_shown_with_what_it_should_have(broker: Broker, plane: ControlPlane, weft: Weft) -> None:
    """Its card, each share with its reason, and the next command."""
    async with Guests(broker.url, judge=fails_until_told_again):
        await plane.wait(await plane.publish(share("a"), vms=["vm-1"]), timeout_s=20)
        code, out, err = await weft("status", "vm-1")
    assert code == 0
    assert "vm-1: failing" in err
    assert "try: weft retry a" in err
    assert ["state", "failing"] in [line.split() for line in out.splitlines()]
    (line,) = [line for line in out.splitlines() if line.startswith("a ")]
    assert line.endswith("auth: cannot mount share 'a': the key is refused")
