"""Look the operator's side over: broker, streams, catalog, clock and guests, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controlplane.jetstream import ask, count_by_subject, lives_with_streams, parse_time_s, stream_facts
from controlplane.observing import Observing
from controlplane.storage import Fill, check_fills, check_floods, check_strangers
from controlplane.streams import STREAMS, StreamSpec, differing_settings, has_fast_ingest, wanted_settings
from controlplane.views import VmView
from weft.errors import BrokerDeniedError, BrokerError, StreamMissingError, WeftError
from weft.finding import Finding, Verdict
from weft.link import Link
from weft.wire.subjects import EVENTS_VM_ALL, GUEST_EVENTS_STREAM

CLOCK_AHEAD_AT_MOST_S = 30.0
"""Further apart, times that an operator gives (an expiry, an age) mean something else in guests."""
NAMED_AT_MOST = 5


class CheckingUp(Observing):
    """Looking everything over; nothing is changed."""

    async def check_up(self) -> list[Finding]:
        """
        Look over broker, streams, catalog, clock and guests.

        Returns:
            One finding for each check; what depends on a check that failed is left out.
        """
        findings = check_broker(self._link)
        if not self._link.has_jetstream:
            return findings
        looks = [await _look_at(self._link, spec) for spec in STREAMS]
        findings += [finding for finding, _ in looks]
        findings += check_fills([fill for _, fill in looks if fill is not None])
        findings += await _check_strangers(self._link)
        if any(finding.verdict is Verdict.BAD for finding in findings):
            return findings
        try:
            views = await self.status()
        except WeftError as exc:
            return [*findings, Finding("catalog", Verdict.BAD, str(exc), "weft diff")]
        floods = await _check_floods(self._link, views)
        return [*findings, check_clock(self._catalog.clock_ahead_s), *floods, *check_guests(views)]


def check_broker(link: Link) -> list[Finding]:
    """Say what the connected server can do."""
    version = link.server_version
    found = [Finding("broker", Verdict.GOOD, f"nats-server {version}")]
    if not has_fast_ingest(version):
        found = [Finding("broker", Verdict.NOTE, f"nats-server {version} has no fast ingest", "2.14 publishes faster")]
    if link.has_jetstream:
        return [*found, Finding("jetstream", Verdict.GOOD, f"on; messages of at most {link.max_payload >> 10} KiB")]
    advice = "put 'jetstream {}' into nats-server's configuration"
    return [*found, Finding("jetstream", Verdict.BAD, "off: nothing published would be stored", advice)]


async def _look_at(link: Link, spec: StreamSpec) -> tuple[Finding, Fill | None]:
    """Look at one stream: whether it is as it should be, and how full, None where that cannot be said."""
    try:
        found = await ask(link, f"STREAM.INFO.{spec.stream}", stream=spec.stream)
    except StreamMissingError:
        return Finding(spec.name, Verdict.BAD, "missing", "weft init"), None
    except BrokerError as exc:
        return Finding(spec.name, Verdict.BAD, str(exc), "weft auth show says what each role may do"), None
    have, state = found["config"], found["state"]
    wanted = wanted_settings(spec, server_version=link.server_version)
    differing = differing_settings(have, wanted, replicas=1, adjustable=spec.adjustable)
    if differing:
        message = f"other settings than weft's: {', '.join(sorted(differing))}"
        return Finding(spec.name, Verdict.BAD, message, "weft init"), None
    fill = Fill(
        spec.name,
        held_bytes=state["bytes"],
        limit_bytes=have["max_bytes"],
        is_evicting=have["discard"] == "old",
        reaches_back_s=parse_time_s(found["ts"]) - parse_time_s(state["first_ts"]) if state["messages"] else 0.0,
    )
    return Finding(spec.name, Verdict.GOOD, f"as it should be, {have.get('num_replicas', 1)} replicas"), fill


async def _check_strangers(link: Link) -> list[Finding]:
    if not lives_with_streams(link):
        return []  # operators and observers see weft's own streams only
    configs: list[Mapping[str, Any]] = []
    try:
        while True:
            page = await ask(link, "STREAM.LIST", {"offset": len(configs)})
            configs += [stream["config"] for stream in page.get("streams") or ()]
            if not page.get("streams") or len(configs) >= page.get("total", 0):
                return check_strangers(configs)
    except BrokerDeniedError:
        return []  # as do users of a broker that somebody else set up so


async def _check_floods(link: Link, views: Sequence[VmView]) -> list[Finding]:
    counts = await count_by_subject(link, GUEST_EVENTS_STREAM, EVENTS_VM_ALL)
    most = (await stream_facts(link, GUEST_EVENTS_STREAM)).config["max_msgs_per_subject"]
    return check_floods(counts, most, views)


def check_clock(ahead_s: float) -> Finding:
    """Compare this machine's clock with the broker's; *ahead_s* is how far it is ahead."""
    if abs(ahead_s) <= CLOCK_AHEAD_AT_MOST_S:
        return Finding("clock", Verdict.GOOD, "agrees with the broker's")
    way = "ahead of" if ahead_s > 0 else "behind"
    return Finding("clock", Verdict.BAD, f"{abs(ahead_s):.0f} s {way} the broker's", "set it, or let NTP do so")


def check_guests(views: Iterable[VmView]) -> list[Finding]:
    """Say which VMs are silent, stale, behind or claimed twice."""
    seen = list(views)
    groups = (
        ("claims", Verdict.BAD, "two guests take turns as", [v.vm for v in seen if v.is_claimed_twice],
         "give each guest an id of its own"),
        ("stale", Verdict.BAD, "no heartbeat from", [v.vm for v in seen if v.is_stale],
         "look at the guest: weft-agent doctor; or weft vm forget"),
        ("silent", Verdict.NOTE, "no report ever from", [v.vm for v in seen if v.status is None],
         "weft enroll, or weft vm forget"),
        ("behind", Verdict.NOTE, "an older list is held by", [v.vm for v in seen if v.is_behind], "weft diff"),
    )  # fmt: skip
    found = [
        Finding(check, verdict, f"{message} {_named(vms)}", advice)
        for check, verdict, message, vms, advice in groups
        if vms
    ]
    return found or [Finding("guests", Verdict.GOOD, f"{len(seen)} known, all heard")]


def _named(vms: Sequence[str]) -> str:
    rest = len(vms) - NAMED_AT_MOST
    return ", ".join(vms[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
