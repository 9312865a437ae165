"""VMs as an operator sees them (pure): what guests say about themselves, next to what they were sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controlplane.heard import Heard, describe_claim, is_stale
from controlplane.report_bounds import LARGEST_BYTES, bounded
from controlplane.wanted import WantedList
from weft.wire.ids import ClassName, VmId
from weft.wire.status import VmStatus

_UNITS_S = (("d", 86400), ("h", 3600), ("m", 60))


@dataclass(frozen=True, slots=True)
class VmView:
    """
    One VM as an operator sees it.

    Attributes:
        vm: Its id.
        status: Its last report, None while it has never reported.
        stored_revision: The revision of its stored state, None where there is none.
        reported_age_s: Seconds since the last report by the broker's clock.
        is_stale: Whether it missed its heartbeats.
        claimants: Boot ids of the guests that take turns under this id, empty for one guest.
        classes: Classes it is in.
        wanted: Its stored list, None where there is none.
        report: Its last report as it was sent; empty while it has never reported.
        left_out: How many shares of that report are not in *status*: nobody published them.
    """

    vm: VmId
    status: VmStatus | None = None
    stored_revision: int | None = None
    reported_age_s: float | None = None
    is_stale: bool = False
    claimants: tuple[str, ...] = ()
    classes: tuple[ClassName, ...] = ()
    wanted: WantedList | None = None
    report: bytes = b""
    left_out: int = 0

    @property
    def is_claimed_twice(self) -> bool:
        """Whether two guests take turns under this id."""
        return bool(self.claimants)

    @property
    def is_behind(self) -> bool:
        """Whether the guest obeys an older list than the stored one."""
        if self.status is None or self.stored_revision is None:
            return False
        return self.status.held_revision < self.stored_revision

    @property
    def agent_version(self) -> str:
        """Version of its agent, empty while unknown."""
        return self.status.agent.version if self.status is not None and self.status.agent is not None else ""

    @property
    def problem(self) -> str | None:
        """What an operator should know about the VM itself, None for nothing."""
        if self.claimants:
            return describe_claim(self.vm, self.claimants)
        if self.status is None:
            return self._no_status()
        if self.left_out:
            return f"reports {self.left_out} more shares that nobody published"
        if self.is_stale:
            return f"has been silent for {format_length(self.reported_age_s or 0.0)}"
        return self.status.problem.message if self.status.problem is not None else None

    def _no_status(self) -> str:
        if not self.report:
            return "has never reported"
        if len(self.report) > LARGEST_BYTES:
            return f"sent a report of {len(self.report)} bytes: {LARGEST_BYTES} are read at most"
        return "sent a report that cannot be read"


def format_length(seconds: float) -> str:
    """Format a length of time in its largest unit: ``5s``, ``3m``, ``2h``, ``4d``."""
    for unit, size_s in _UNITS_S:
        if seconds >= 2 * size_s:
            return f"{int(seconds // size_s)}{unit}"
    return f"{max(0, int(seconds))}s"


def build_views(
    vms: Iterable[VmId],
    heard: Mapping[VmId, Heard],
    wanted: Mapping[VmId, WantedList],
    classes: Mapping[ClassName, Iterable[VmId]],
    *,
    now_s: float,
) -> list[VmView]:
    """Put together what is known about each of *vms*, in their order; *now_s* is the broker's clock."""
    classes_of = build_classes_of(classes)
    return [build_view(vm, heard.get(vm), wanted.get(vm), classes_of.get(vm, ()), now_s) for vm in vms]


def build_classes_of(classes: Mapping[ClassName, Iterable[VmId]]) -> dict[VmId, tuple[ClassName, ...]]:
    """Turn members by class into classes by member, sorted."""
    classes_of: dict[VmId, tuple[ClassName, ...]] = {}
    for name, members in sorted(classes.items()):
        for vm in members:
            classes_of[vm] = (*classes_of.get(vm, ()), name)
    return classes_of


def build_view(
    vm: VmId, heard: Heard | None, wanted: WantedList | None, classes: tuple[ClassName, ...], now_s: float
) -> VmView:
    """Put together what is known about one VM."""
    revision = wanted.revision if wanted is not None else None
    if heard is None:
        return VmView(vm, stored_revision=revision, classes=classes, wanted=wanted)
    age_s = max(0.0, now_s - heard.reported_at_s)
    status, left_out = heard.status, 0
    if status is not None:
        shown = bounded(status, wanted.ids if wanted is not None else ())
        status, left_out = shown.status, shown.left_out
    return VmView(
        vm=vm,
        status=status,
        stored_revision=revision,
        reported_age_s=age_s,
        is_stale=status is not None and is_stale(status, age_s),
        claimants=heard.claimants,
        classes=classes,
        wanted=wanted,
        report=heard.reports[0],
        left_out=left_out,
    )
