"""``weft publish --wave``, ``weft rollout`` and ``--expires`` as an operator types them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.controlplane.test_weft_command import Operator
from tests.integration.plane.guests import Guests
from tests.integration.plane.stored import stored_sets
from tests.integration.plane.test_rollout import CLASS, failing
from tests.parts.broker import Broker

pytestmark = pytest.mark.integration

SOURCE = ("--from", "bind:/srv/docs")


@pytest.fixture
async def weft(broker: Broker, tmp_path: Path) -> Operator:
    """An operator with a class of twenty VMs that have a share."""
    operator = Operator(broker.url, tmp_path)
    await operator.must("init")
    await operator.must("class", "create", "algebra", *CLASS)
    await operator.must("publish", "a", *SOURCE, "--readonly", "--class", "algebra")
    return operator


async def test_publish_in_waves_waits_from_wave_to_wave(weft: Operator, broker: Broker) -> None:
    """Each step is told, and the exit code is that of the end."""
    async with Guests(broker.url):
        said = await weft("publish", "a", *SOURCE, "--writable", "--canary", "1", "--wave", "50%", "--wait")
    assert (said.code, said.out) == (0, "")
    assert "a: running at canary 1" in said.err
    assert "a: running at wave 1 of 2 (50%)" in said.err
    assert said.err.splitlines()[-1] == "a: done, 20 of 20 VMs have it, 0 to come"
    assert "no rollout is under way" in (await weft("rollout", "status")).err


async def test_a_stopped_rollout_names_the_vms_and_the_way_back(weft: Operator, broker: Broker) -> None:
    """Exit 3, the reason, what to type; status says the same, and undo ends it."""
    async with Guests(broker.url, judge=failing(CLASS)):
        said = await weft("publish", "a", *SOURCE, "--writable", "--wave", "10%", "--max-failed", "1", "--wait")
        assert said.code == 3
        assert "2 of 2 VMs failed, and 1 may" in said.err
        assert "weft rollout undo a" in said.err
        assert len([line for line in said.out.splitlines() if "key is refused" in line]) == 2

        listed = json.loads(await weft.must("rollout", "status", "-o", "json"))
        assert [(item["share"], item["state"], item["failed"], item["vms"]) for item in listed] == [
            ("a", "stopped", 2, 20)
        ]
        shown = await weft.must("rollout", "status", "a")
        assert shown.splitlines()[0].startswith("a: stopped at wave 1 of 2 (10%), 0 of 2 VMs have it, 2 failed")

        await weft.must("rollout", "undo", "a")
    assert {share.readonly for message in (await stored_sets(broker)).values() for share in message.shares} == {True}


async def test_a_rollout_nobody_waits_for_says_how_it_goes_on(weft: Operator, broker: Broker) -> None:
    """Paused and resumed by command; the last one waits."""
    said = await weft("publish", "a", *SOURCE, "--writable", "--wave", "10%")
    assert "in waves" in await weft.must("list")
    assert "rollout.state" in await weft.must("info", "a")
    assert "a: running at wave 1 of 2 (10%)" in said.err
    assert "weft rollout resume a --wait" in said.err
    assert (await weft("rollout", "pause", "a")).code == 0
    assert (await weft.must("rollout", "status", "-o", "name")).split() == ["a"]
    again = await weft("rollout", "resume", "a", "--wait=1")
    assert (again.code, "none of the 2 VMs reached reports" in again.err) == (3, True)
    async with Guests(broker.url):
        await weft.must("refresh", "a")
        assert (await weft("rollout", "resume", "a", "--wait")).code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("--wave", "ten"), "cannot use wave 'ten'", id="no percentage"),
        pytest.param(("--wave", "50%", "--wave", "10%"), "expected growing percentages", id="waves that shrink"),
        pytest.param(("--max-failed", "3"), "--max-failed and --patience need --wave", id="limits without waves"),
        pytest.param(("--wave", "10%", "--disabled"), "it is saved disabled", id="nobody gets it"),
        pytest.param(("--expires", "yesterday"), "cannot use expiry 'yesterday'", id="no time"),
        pytest.param(("--expires", "2020-01-01"), "it is over already", id="in the past"),
    ],
)
async def test_a_mistake_is_one_sentence(weft: Operator, arguments: tuple[str, ...], sentence: str) -> None:
    """And changes nothing."""
    said = await weft("publish", "b", *SOURCE, "--class", "algebra", *arguments)
    assert said.code in (1, 2)
    assert sentence in said.err
    assert (await weft.must("list", "-o", "name")).split() == ["a"]


async def test_rollouts_that_are_not_there_are_said(weft: Operator) -> None:
    """An unknown share, and one that everybody got at once."""
    for verb in ("status", "pause", "resume", "undo"):
        assert "cannot find share 'aa' (did you mean a?)" in (await weft("rollout", verb, "aa")).err
        said = await weft("rollout", verb, "a")
        assert (said.code, "rollout of share 'a'" in said.err) == (1, True)


async def test_a_share_with_an_end_shows_it(weft: Operator, broker: Broker) -> None:
    """In the catalog and in the guests' lists; never takes it away."""
    await weft.must("publish", "a", "--expires", "2h")
    (listed,) = json.loads(await weft.must("list", "-o", "json"))
    at = datetime.fromisoformat(listed["share"]["expires_at"])
    assert timedelta(minutes=118) < at - datetime.now(UTC) < timedelta(minutes=121)
    assert (await stored_sets(broker))["vm-1"].shares[0].expires_at == at
    assert "expires_at" in await weft.must("info", "a")
    assert str(at.year) in await weft.must("list", "-o", "wide")
    await weft.must("publish", "a", "--expires", "never")
    assert (await stored_sets(broker))["vm-1"].shares[0].expires_at is None


async def test_sync_watch_goes_with_nothing_else(weft: Operator) -> None:
    """A watch has no VMs of its own and asks nobody."""
    for arguments in (("--vm", "vm-1"), ("--yes",), ("--wait",), ("--dry-run",)):
        assert (await weft("sync", "--watch", *arguments)).code == 2
    assert (await weft("sync", "--interval", "5s")).code == 2
