"""The part of the control plane that says where catalog, stream and guests do not agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from controlplane.convergence import goals_of, judge
from controlplane.decide import Survey, check_mark
from controlplane.differences import Difference, guest_differences, stream_differences
from controlplane.known import concerned_vms
from controlplane.messages import LastMessage
from controlplane.part import Part
from controlplane.patience import patiently
from controlplane.projection import project
from controlplane.reader import read_complete, read_last
from controlplane.results import FanOut, Outcome, VmProblem
from controlplane.roster import unknown
from controlplane.status import read_heard
from controlplane.survey import build_last, parse_report
from controlplane.views import build_views
from controlplane.wanted import Digests, WantedList
from weft.link import Link
from weft.wire.ids import VmId, parse_vm_id
from weft.wire.subjects import MOUNTS_ALL, MOUNTS_STREAM, subject


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    What was compared, and where it does not agree.

    Attributes:
        vms: Every VM that was looked at.
        differences: By VM.
    """

    vms: tuple[VmId, ...] = ()
    differences: tuple[Difference, ...] = ()


class Comparing(Part):
    """Comparing catalog, stream and guests."""

    async def diff(self, vms: Iterable[str] | None = None) -> Comparison:
        """
        Compare what the catalog means each VM to have with its stored list, and that with what the guest reports.

        Args:
            vms: Only these; by default every VM that has something, should, or obeys a list.

        Raises:
            UnknownNameError: Nothing is known of one of *vms*.
            CatalogBehindError: The stream knows more than this catalog.
            BrokerError: Catalog or streams could not be read.
        """
        asked = None if vms is None else list(dict.fromkeys(parse_vm_id(vm) for vm in vms))
        return await patiently(partial(self._compare, asked))

    async def _compare(self, asked: Sequence[VmId] | None) -> Comparison:
        last = await _read_last(self._link, asked)
        heard, now_s = await read_heard(self._link, asked)
        snapshot = await self._catalog.load()
        members = await self._publisher.members(snapshot)
        for vm, message in last.items():
            check_mark(vm, message, snapshot)
        survey = Survey(last, {vm: parse_report(found.reports[0]) for vm, found in heard.items()})
        concerned = concerned_vms(snapshot, members, survey)
        for vm in asked or ():
            if vm not in concerned | heard.keys():
                raise unknown("VM", vm, concerned)
        chosen = sorted(concerned if asked is None else asked)
        digests = Digests()
        wanted = {vm: WantedList(last[vm], digests) for vm in chosen if vm in last}
        views = build_views(chosen, heard, wanted, {}, now_s=now_s)
        found = [*stream_differences(project(snapshot, members, chosen), last), *guest_differences(views)]
        return Comparison(tuple(chosen), tuple(sorted(found, key=lambda item: (item.vm, item.side, item.share_id))))

    async def standing(self, fan_out: FanOut) -> Outcome:
        """
        Say where the guests of a fan-out stand at this moment, without waiting for any.

        Raises:
            BrokerError: The reports could not be read.
        """
        goals = goals_of(fan_out)
        heard, _ = await read_heard(self._link, goals)
        converged: list[VmId] = []
        failed: dict[VmId, VmProblem] = {}
        waiting: dict[VmId, VmProblem] = {}
        for vm, goal in sorted(goals.items()):
            lacking = judge(vm, goal, heard[vm].status if vm in heard else None)
            if lacking is None:
                converged.append(vm)
            else:
                (failed if lacking.is_failed else waiting)[vm] = lacking.problem
        return Outcome(tuple(converged), failed, waiting)


async def _read_last(link: Link, vms: Iterable[VmId] | None) -> dict[VmId, LastMessage]:
    if vms is None:
        return build_last((await read_complete(link, MOUNTS_STREAM, MOUNTS_ALL)).last.values())
    messages = await read_last(link, MOUNTS_STREAM, (subject(vm) for vm in vms), everything=MOUNTS_ALL)
    return build_last(messages.values())
