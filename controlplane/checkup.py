"""Look the operator's side over: broker, streams, catalog, clock and guests, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.jetstream import ask
from controlplane.observing import Observing
from controlplane.streams import STREAMS, StreamSpec, differing_settings, has_fast_ingest, wanted_settings
from controlplane.views import VmView
from weft.errors import BrokerError, StreamMissingError, WeftError
from weft.finding import Finding, Verdict
from weft.link import Link

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
        findings += [await _check_stream(self._link, spec) for spec in STREAMS]
        if any(finding.verdict is Verdict.BAD for finding in findings):
            return findings
        try:
            views = await self.status()
        except WeftError as exc:
            return [*findings, Finding("catalog", Verdict.BAD, str(exc), "weft diff")]
        return [*findings, check_clock(self._catalog.clock_ahead_s), *check_guests(views)]


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


async def _check_stream(link: Link, spec: StreamSpec) -> Finding:
    try:
        have = (await ask(link, f"STREAM.INFO.{spec.stream}", stream=spec.stream))["config"]
    except StreamMissingError:
        return Finding(spec.name, Verdict.BAD, "missing", "weft init")
    except BrokerError as exc:
        return Finding(spec.name, Verdict.BAD, str(exc), "weft auth show says what each role may do")
    wanted = wanted_settings(spec, server_version=link.server_version)
    differing = differing_settings(have, wanted, replicas=1)
    if differing:
        return Finding(
            spec.name, Verdict.BAD, f"other settings than weft's: {', '.join(sorted(differing))}", "weft init"
        )
    return Finding(spec.name, Verdict.GOOD, f"as it should be, {have.get('num_replicas', 1)} replicas")


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
