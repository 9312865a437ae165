"""The broker's storage (pure): how full each stream is, what else is in it, and which guest sends the most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.streams import GIB, STREAMS
from controlplane.views import VmView, format_length
from weft.errors import SubjectError
from weft.finding import Finding, Verdict
from weft.wire.status import MAX_STATUS_BYTES
from weft.wire.subjects import event_vm

NEARLY_FULL = 0.8
FULL = 0.95
"""Of what a stream may take: a stream refuses, or evicts, before the last byte."""
LARGE_REPORT_BYTES = MAX_STATUS_BYTES // 2
"""More than a thousand failing shares."""
NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Fill:
    """
    How full one stream is.

    Attributes:
        name: What operators call it.
        held_bytes: What it holds.
        limit_bytes: What it may hold.
        is_evicting: Whether it evicts its oldest, rather than refuse, when it is full.
        reaches_back_s: Age of its oldest message.
    """

    name: str
    held_bytes: int
    limit_bytes: int
    is_evicting: bool
    reaches_back_s: float

    @property
    def part(self) -> float:
        """How much of what it may hold it does hold."""
        return self.held_bytes / self.limit_bytes if self.limit_bytes > 0 else 0.0


def check_fills(fills: Sequence[Fill]) -> list[Finding]:
    """Say which streams are nearly full, and what follows; one line where none is."""
    storage = sum(fill.limit_bytes for fill in fills)
    more = f"raise max_file_store, then weft init --storage {2 * storage // GIB + 1}GiB"
    found: list[Finding] = []
    for fill in fills:
        says = f"{fill.name} holds {_mib(fill.held_bytes)} of {_mib(fill.limit_bytes)}"
        if fill.is_evicting and fill.part >= FULL:
            back = format_length(fill.reaches_back_s)
            message = f"{says}: it reaches back {back}, and forgets its oldest"
            found.append(Finding("storage", Verdict.NOTE, message, more))
        elif not fill.is_evicting and fill.part >= FULL:
            found.append(Finding("storage", Verdict.BAD, f"{says}: publishing fails", more))
        elif not fill.is_evicting and fill.part >= NEARLY_FULL:
            found.append(Finding("storage", Verdict.NOTE, f"{says}: publishing fails when it is full", more))
    held = sum(fill.held_bytes for fill in fills)
    return found or [Finding("storage", Verdict.GOOD, f"{_mib(held)} of the {_mib(storage)} kept for weft")]


def check_strangers(configs: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Name the streams of others that may fill the broker's storage; their settings as the API writes them."""
    ours = {spec.stream for spec in STREAMS}
    endless = sorted(
        config["name"]
        for config in configs
        if config["name"] not in ours and config.get("storage") == "file" and (config.get("max_bytes") or 0) <= 0
    )
    if not endless:
        return []
    message = f"other streams have no max_bytes, and may fill the broker's storage: {_named(endless)}"
    return [Finding("storage", Verdict.NOTE, message, f"nats stream edit {endless[0]} --max-bytes SIZE")]


def check_floods(counts: Mapping[str, int], most: int, views: Iterable[VmView]) -> list[Finding]:
    """
    Name the guests that send more than is kept of one.

    Args:
        counts: Events kept, by subject.
        most: How many are kept of each kind and VM.
        views: The VMs.
    """
    kept: dict[str, int] = {}
    full: set[str] = set()
    for subject, count in counts.items():
        try:
            vm, _ = event_vm(subject)
        except SubjectError:
            continue
        kept[str(vm)] = kept.get(str(vm), 0) + count
        if count >= most > 0:
            full.add(str(vm))
    loud = sorted(full, key=lambda vm: (-kept[vm], vm))
    found = []
    if loud:
        message = f"more events than are kept of one VM come from {_named(loud)}"
        step = f"weft events --vm {loud[0]}; weft events purge --vm {loud[0]}"
        found.append(Finding("floods", Verdict.NOTE, message, step))
    sizes = {view.vm: len(view.report) for view in views if len(view.report) > LARGE_REPORT_BYTES}
    large = sorted(sizes, key=lambda vm: (-sizes[vm], vm))
    if large:
        message = f"reports of {_mib(sizes[large[0]])} or less, where 1 MiB is the most, come from {_named(large)}"
        found.append(Finding("floods", Verdict.NOTE, message, f"weft status {large[0]}"))
    return found


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size < GIB else f"{size / GIB:.1f} GiB"


def _named(names: Sequence[str]) -> str:
    rest = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
