"""Ask every mounted share, now and then, whether its client still answers; tell of hangs, deaths and recoveries."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import structlog

from agent.actual import LiveMount, Presence
from agent.drivers.base import Failure
from agent.mounts import places
from agent.mounts.hang import Hang
from agent.mounts.liveness import Liveness, liveness_of
from agent.mounts.losses import Losses
from agent.mounts.ownership import find_entry
from agent.mounts.parts import Parts
from agent.mounts.unmount import abort_connection
from weft.errors import HungError, MountError, NotMountedError, PathError, ProcessError
from weft.wire.ids import ShareId

_log = structlog.get_logger(__name__)

_PATIENCE_S = 7 * 86400.0
"""A helper that waits for a hung client is kept, since its answer tells at once that the client is back."""

OnChange = Callable[[ShareId, MountError | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """
    How often shares are asked, and for how long.

    Attributes:
        interval_s: Between two questions to one share, jittered by a quarter.
        deadline_s: Until a silent ``statvfs`` counts as a hang.
        read_every: Each so manyth question reads a name of the root directory instead: ``statvfs`` may be answered
            from a cache, and where keys have expired it is.
        read_deadline_s: Until a silent read counts as a hang; a client may list a whole bucket first.
        abort_after_s: Until a hang that goes on is ended by force; None for never.
    """

    interval_s: float = 15.0
    deadline_s: float = 5.0
    read_every: int = 4
    read_deadline_s: float = 30.0
    abort_after_s: float | None = None


class LivenessWatch:
    """
    One task for each watched share, with at most one question under way.

    Args:
        parts: What to work with.
        losses: Told of mounts that are dead although they stand.
        on_change: Told of a hang or an unreadable root, again and again while it lasts, and with None when it is over.
        rhythm: How often.
        jitter: Uniform in [0, 1).
    """

    def __init__(
        self,
        *,
        parts: Parts,
        losses: Losses,
        on_change: OnChange,
        rhythm: Rhythm,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._parts = parts
        self._losses = losses
        self._on_change = on_change
        self._rhythm = rhythm
        self._jitter = jitter
        self._tasks: dict[ShareId, asyncio.Task[None]] = {}
        self._hung: set[ShareId] = set()

    def follow(self, share_id: ShareId) -> None:
        """Ask *share_id* from now on."""
        self.leave(share_id)
        task = asyncio.get_running_loop().create_task(self._follow(share_id), name=f"weft-liveness-{share_id}")
        task.add_done_callback(_tell_end)
        self._tasks[share_id] = task

    def leave(self, share_id: ShareId) -> bool:
        """Ask no more; a question under way is abandoned. Say whether the share was hanging."""
        task = self._tasks.pop(share_id, None)
        if task is not None:
            task.cancel()
        was_hung = share_id in self._hung
        self._hung.discard(share_id)
        return was_hung

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._tasks.values())
        for share_id in tuple(self._tasks):
            self.leave(share_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one share --------------------------------------------------------------------------------------------------

    async def _follow(self, share_id: ShareId) -> None:
        is_unreadable = False
        number = 0
        pause_s = self._rhythm.interval_s * self._jitter()  # the first one spreads the shares over the interval
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._rhythm.interval_s * (0.75 + self._jitter() / 2)
            live = self._parts.live.find_live(share_id)
            if live is None or self._losses.presence(share_id) is not Presence.MOUNTED:
                continue  # it is being changed, covered or lost: whoever noticed tells
            if live.private_dir:
                _trim_output(live)
            number += 1
            is_read = is_unreadable or number % self._rhythm.read_every == 0
            is_unreadable = await self._look(live, is_read=is_read, was_unreadable=is_unreadable)

    async def _look(self, live: LiveMount, *, is_read: bool, was_unreadable: bool) -> bool:
        """Ask once, however long that takes; say whether the root cannot be read."""
        rhythm = self._rhythm
        begun = asyncio.Event()
        ask = self._read if is_read else self._probe
        question = asyncio.ensure_future(ask(live, begun.set))
        try:
            limit_s = rhythm.read_deadline_s if is_read else rhythm.deadline_s
            await _until_asked(question, begun)
            was_hung = not await self._is_answered(question, live, limit_s=limit_s)
            if was_hung:
                await self._endure(question, live)
            finding = await question
        finally:
            question.cancel()
        match finding:
            case Liveness.DEAD:
                self._losses.give_up(live.share_id, _dead(live))
            case Liveness.HUNG:  # the kernel gave up waiting, as it does for a soft NFS mount
                self._on_change(live.share_id, Hang(live, None, self._parts).error)
                was_unreadable = True  # so that only a read that succeeds ends it
            case Liveness.ALIVE:
                if was_hung or was_unreadable:
                    self._on_change(live.share_id, None)
                was_unreadable = False
            case MountError():
                self._on_change(live.share_id, finding)
                was_unreadable = True
            case None:
                pass
            case _:
                assert_never(finding)
        self._hung.discard(live.share_id)
        return was_unreadable

    async def _is_answered(
        self, question: asyncio.Future[Liveness | MountError | None], live: LiveMount, *, limit_s: float
    ) -> bool:
        """Wait for the answer as long as it may take; a client that is stopped gives none, so it is not waited for."""
        client = self._losses.client(live.share_id)
        while limit_s > 0 and not question.done():
            await asyncio.wait({question}, timeout=min(self._rhythm.deadline_s, limit_s))
            limit_s -= self._rhythm.deadline_s
            if client is not None and client.is_stopped:
                break
        return question.done()

    async def _endure(self, question: asyncio.Future[Liveness | MountError | None], live: LiveMount) -> None:
        """Wait until a hung mount answers; most do when their backend returns, and none is helped by a remount."""
        hang = Hang(live, self._losses.client(live.share_id), self._parts, abort_after_s=self._rhythm.abort_after_s)
        self._hung.add(live.share_id)
        while not question.done():
            self._on_change(live.share_id, hang.error)
            if (why := await hang.find_cause_to_abort()) is not None:
                await self._abort(live)
                self._losses.give_up(live.share_id, why)
            await asyncio.wait({question}, timeout=self._rhythm.interval_s)

    async def _abort(self, live: LiveMount) -> None:
        entry = find_entry(live, self._parts.table.refresh(), boot_id=self._parts.boot_id)
        if entry is None:
            return
        try:
            await abort_connection(entry, walker=self._parts.walker)
        except MountError as exc:  # the repair that follows detaches it, which frees nobody but hides it
            _log.warning("mount.failed", share=live.share_id, step="abort", error=str(exc))

    # --- the questions ----------------------------------------------------------------------------------------------

    async def _probe(self, live: LiveMount, on_begun: Callable[[], None]) -> Liveness | None:
        try:
            return await self._parts.walker.probe(
                live.real_path, deadline_s=_PATIENCE_S, mount_id=live.mount_id, on_begun=on_begun
            )
        except MountError as exc:
            _note_nothing_found(live, exc)
            return None

    async def _read(self, live: LiveMount, on_begun: Callable[[], None]) -> Liveness | MountError | None:
        logged = places.output_size(Path(live.private_dir)) if live.private_dir else 0
        try:
            await self._parts.walker.probe_root(
                live.real_path, deadline_s=_PATIENCE_S, mount_id=live.mount_id, on_begun=on_begun
            )
        except HungError:
            return Liveness.HUNG
        except PathError as exc:
            liveness = liveness_of(exc.errno)
            return self._name_refusal(live, exc, logged) if liveness is Liveness.ALIVE else liveness
        except MountError as exc:
            _note_nothing_found(live, exc)
            return None
        return Liveness.ALIVE

    def _name_refusal(self, live: LiveMount, refusal: PathError, logged: int) -> Liveness | MountError:
        """Have the driver say why a root cannot be read, from what its client printed since it was asked."""
        driver = self._parts.drivers.get(live.share.backend_name)
        if driver is None or refusal.errno in driver.harmless_root_errnos:
            return Liveness.ALIVE
        context = self._parts.context(live.share, source=live.source)
        output = self._parts.tell_output(live, since=logged)
        cause = driver.classify(context, Failure(exit_code=None, output=output, root_errno=refusal.errno))
        why = cause.message.partition(": ")[2] or cause.message
        error = MountError(
            f"cannot read share {live.share_id!r}: {why}", code=cause.code, detail=cause.detail, is_permanent=False
        )
        error.keeps_old = True
        return error


async def _until_asked(question: asyncio.Future[Liveness | MountError | None], begun: asyncio.Event) -> None:
    """Wait until *question* has its turn: as long as it has not, silence says nothing about the mount."""
    asked = asyncio.ensure_future(begun.wait())
    either: set[asyncio.Future[Any]] = {question, asked}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()


def _trim_output(live: LiveMount) -> None:
    """Keep the output short where that can be done: a share is worth watching whatever becomes of its output."""
    try:
        places.trim_output(Path(live.private_dir))
    except OSError as exc:
        _log.warning("mount.untidy", share=live.share_id, error=f"cannot cut its output: {os.strerror(exc.errno or 0)}")


def _dead(live: LiveMount) -> MountError:
    return ProcessError(f"the mount of share {live.share_id!r} is dead: its client serves it no more")


def _note_nothing_found(live: LiveMount, exc: MountError) -> None:
    """The mount is gone, which the mount table tells too, or the walker failed: neither says anything of the client."""
    if not isinstance(exc, NotMountedError):
        _log.debug("mount.unknown", share=live.share_id, step="probe", error=str(exc))


def _tell_end(task: asyncio.Task[None]) -> None:
    """A watch ends when it is cancelled; anything else is a fault of this program and must not go unseen."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        _log.error("agent.failed", step=task.get_name(), error=str(exc), exc_info=exc)
