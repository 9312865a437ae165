"""A check-up of a real broker."""

import pytest

from controlplane import ControlPlane
from tests.parts.broker import Broker
from weft.finding import Verdict

pytestmark = pytest.mark.integration


async def test_what_is_missing_is_found_and_gone_after_init(broker: Broker) -> None:
    """Before ``init`` every stream is missing; after it nothing is to be done."""
    async with ControlPlane.connect(broker.url) as plane:
        before = {finding.check: finding for finding in await plane.check_up()}
        assert before["weft-mounts"].verdict is Verdict.BAD
        assert before["weft-mounts"].advice == "weft init"
        await plane.init()
        after = await plane.check_up()
    assert [finding for finding in after if finding.verdict is not Verdict.GOOD] == []
    assert {"broker", "jetstream", "weft-mounts", "weft-catalog", "clock", "guests"} <= {each.check for each in after}


async def test_a_broker_without_jetstream_is_named(plain_broker: Broker) -> None:
    """Nothing else can be looked at then."""
    async with ControlPlane.connect(plain_broker.url) as plane:
        findings = await plane.check_up()
    assert [finding.check for finding in findings if finding.verdict is Verdict.BAD] == ["jetstream"]
