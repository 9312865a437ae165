"""Operations: what may be asked of a running agent, and the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from agent.desired import Desired
from agent.feed import Feed
from agent.reconcile.reconciler import Progress, Reconciler, is_reached
from agent.reconcile.standing import Standing
from weft.errors import ContractError, DeniedError, NotConvergedError, UnknownNameError
from weft.wire.answer import Seen, build_answer
from weft.wire.ids import ShareId, parse_share_id
from weft.wire.paths import parse_absolute_path
from weft.wire.status import ShareState, VmStatus
from weft.wire.tolerant import to_builtins

LONGEST_WAIT_S = 3600.0
DEFAULT_WAIT_S = 60.0
READ_WAIT_S = 6.0


class Operations:
    """
    Answer requests of the control socket.

    Args:
        reconciler: Does the work.
        feed: Reads the stream.
        desired: Returns what is held.
        report: Builds the status.
        keep_held: Remembers, across restarts, the ids that are kept away.
        forgive: Has a message that was set aside looked at again.
    """

    def __init__(
        self,
        *,
        reconciler: Reconciler,
        feed: Feed,
        desired: Callable[[], Desired],
        report: Callable[[], VmStatus],
        keep_held: Callable[[frozenset[ShareId]], Awaitable[None]],
        forgive: Callable[[], None],
    ) -> None:
        self._reconciler = reconciler
        self._feed = feed
        self._desired = desired
        self._report = report
        self._keep_held = keep_held
        self._forgive = forgive
        self._questions: Mapping[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "route": self._route,
            "wait": self._wait,
        }
        self._orders: Mapping[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "unmount": self._unmount,
            "retry": self._retry,
            "resync": self._resync,
        }

    async def answer(self, request: dict[str, Any], may_change: bool) -> dict[str, Any]:
        """
        Answer one request, an object with ``do`` and what belongs to it.

        Raises:
            WeftError: It cannot be done; the text says why.
        """
        verb = request.get("do")
        if not isinstance(verb, str) or verb not in {*self._questions, *self._orders}:
            raise ContractError(f"cannot understand the request {verb!r:.40}: the agent may be older than the command")
        if verb in self._questions:
            return await self._questions[verb](request)
        if not may_change:
            raise DeniedError(f"cannot {verb}: only root may change what is mounted")
        return await self._orders[verb](request)

    async def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        status = self._report()
        always = {"revision": status.revision, "held_revision": status.held_revision, "mode": status.mode, "shares": []}
        return {"status": always | to_builtins(status)}

    async def _route(self, request: dict[str, Any]) -> dict[str, Any]:
        path = parse_absolute_path(str(request.get("path", "")), field="path")
        standings = self._reconciler.progress.standings
        shares = [entry.share for share_id, entry in self._desired().shares.items() if share_id in standings]
        held = self._reconciler.held
        seen: dict[str, Seen] = {
            share_id: _seen(standing, is_held=share_id in held) for share_id, standing in standings.items()
        }
        answer: dict[str, Any] = msgspec.to_builtins(build_answer(path, shares, seen))
        return answer

    async def _wait(self, request: dict[str, Any]) -> dict[str, Any]:
        share_id = self._known(request)
        await self._until(frozenset({share_id}), request, lambda progress: is_reached(progress, share_id))
        standing = self._reconciler.progress.standings.get(share_id)
        return {"id": share_id, "state": standing.state if standing else "gone"}

    async def _unmount(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("all"):
            ids = frozenset(self._reconciler.progress.standings) | frozenset(self._desired().shares)
        else:
            ids = frozenset({self._known(request)})
        held = self._reconciler.held | ids
        self._reconciler.hold(held)
        if not request.get("is_shutdown"):  # after a shutdown, the next boot mounts everything again
            await self._keep_held(held)
        await self._until(ids, request, lambda progress: not _still_up(ids, progress))
        standings = self._reconciler.progress.standings
        faults = {share_id: standings[share_id].fault for share_id in sorted(ids) if share_id in standings}
        remarks = {
            share_id: {"message": fault.message, "detail": fault.detail} for share_id, fault in faults.items() if fault
        }
        return {"unmounted": sorted(ids), "remarks": remarks}

    async def _retry(self, request: dict[str, Any]) -> dict[str, Any]:
        share_id = self._known(request) if request.get("id") is not None else None
        self._reconciler.retry(share_id)
        return {"retried": share_id or sorted(self._reconciler.progress.standings)}

    async def _resync(self, request: dict[str, Any]) -> dict[str, Any]:
        returned = sorted(self._reconciler.held)
        self._reconciler.hold(frozenset())
        await self._keep_held(frozenset())
        self._reconciler.retry()
        self._forgive()
        try:
            async with asyncio.timeout(READ_WAIT_S):
                await self._feed.read_now()
        except TimeoutError:
            pass  # offline: what is held counts, and the feed's own problem is in the answer
        return {"returned": returned, "revision": self._desired().revision, "problem": self._feed.problem}

    def _known(self, request: dict[str, Any]) -> ShareId:
        share_id = parse_share_id(request.get("id"))
        known = {*self._reconciler.progress.standings, *self._desired().shares}
        if share_id not in known:
            nearest = sorted(each for each in known if each.startswith(share_id[:3]))[:3]
            raise UnknownNameError("share", share_id, nearest)
        return share_id

    async def _until(
        self, share_ids: frozenset[ShareId], request: dict[str, Any], is_done: Callable[[Progress], bool]
    ) -> None:
        seconds = request.get("timeout_s")
        limit_s = float(min(seconds, LONGEST_WAIT_S)) if isinstance(seconds, int | float) else DEFAULT_WAIT_S
        try:
            async with asyncio.timeout(limit_s):
                await self._reconciler.wait_for(is_done)
        except TimeoutError as exc:
            unfinished = [
                _describe(standing)
                for share_id, standing in sorted(self._reconciler.progress.standings.items())
                if share_id in share_ids and not standing.is_converged
            ]
            raise NotConvergedError(f"not done after {limit_s:g} s: {'; '.join(unfinished)}") from exc


def _seen(standing: Standing, *, is_held: bool) -> Seen:
    why = standing.fault.message if standing.fault is not None else ""
    state = ShareState.HELD if is_held else standing.state
    return Seen(standing.mount_point, state, is_there=bool(standing.digest), why=why)


def _describe(standing: Standing) -> str:
    why = f" ({standing.fault.message})" if standing.fault is not None else ""
    return f"share {standing.share_id!r} is {standing.state}{why}"


def _still_up(share_ids: frozenset[ShareId], progress: Progress) -> bool:
    in_work = (ShareState.MOUNTING, ShareState.UNMOUNTING)
    standings = (progress.standings.get(share_id) for share_id in share_ids)
    return any(standing and (standing.digest or standing.state in in_work) for standing in standings)
