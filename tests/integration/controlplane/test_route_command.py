"""``weft route`` as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.controlplane.test_weft_command import Operator
from tests.parts.broker import Broker
from tests.parts.told_guest import ToldGuest

pytestmark = pytest.mark.integration


async def test_the_answer_names_the_share_and_what_is_there_instead(broker: Broker, tmp_path: Path) -> None:
    """In a line for people, and as a record; a VM that nobody knows is an error with the nearest name."""
    weft = Operator(broker.url, tmp_path)
    await weft.must("init")
    async with ToldGuest(broker.url, "vm-1", refuses=True):
        at = ("--at", "/mnt/team", "--priority", "5", "--vm", "vm-1")
        await weft("publish", "team", "--from", "bind:/srv/team", *at, "--wait=20")
        await weft("publish", "docs", "--from", "bind:/srv/docs", "--at", "/mnt/team/docs", "--vm", "vm-1", "--wait=20")
        answer = (await weft.must("route", "vm-1", "/mnt/team/docs/plan")).split("\n")
        assert answer[0] == "/mnt/team/docs/plan: share team, because its priority 5 is higher than 0 of docs"
        assert answer[1].startswith("team is failed (cannot log in to team); until it is mounted, a look there finds")
        record = json.loads(await weft.must("route", "vm-1", "/mnt/team", "-o", "json"))
        assert (record["winner"], record["state"], record["shown_by"]) == ("team", "failed", None)
        said = await weft("route", "vm-2", "/mnt/team")
        assert (said.code, "vm-1" in said.err) == (1, True), said.err
        said = await weft("route", "vm-1", "mnt/team")
        assert (said.code, "not an absolute path" in said.err) == (1, True), said.err
