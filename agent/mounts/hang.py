"""One hang of a mount: what is said of it, and whether waiting any longer is pointless."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from agent.actual import LiveMount
from agent.mounts.parts import Parts
from agent.supervise.process import ClientProcess
from weft.errors import HungError, MountError, ProcessError

_CONTROL_DEADLINE_S: Final = 2.0
_SILENT_AT_MOST: Final = 3
"""Unanswered questions to a control socket, one after the other, that make a client hopeless; a busy guest is slow."""


class Hang:
    """
    A mount that has stopped answering.

    Args:
        live: Its record.
        process: Its client, if there is one.
        parts: What to work with.
        abort_after_s: Seconds after which it is ended by force; None for never.
    """

    def __init__(
        self, live: LiveMount, process: ClientProcess | None, parts: Parts, *, abort_after_s: float | None = None
    ) -> None:
        self._live = live
        self._process = process
        self._parts = parts
        self._abort_after_s = abort_after_s
        self._began_s = asyncio.get_running_loop().time()
        self._silent = 0
        since = datetime.now(UTC).strftime("%H:%M:%S")
        self.error = HungError(f"share {live.share_id!r} hangs: its client gives no answer since {since} UTC")
        """What is said while it lasts: the mount stays, as most clients go on when their backend is back."""
        self.error.keeps_old = True

    async def find_cause_to_abort(self) -> MountError | None:
        """Say why this hang will not end by itself; None while it may. Only FUSE connections can be aborted."""
        share, process = self._live.share_id, self._process
        if not self._live.fs_type.startswith("fuse"):
            return None
        if process is not None and process.is_stopped:
            return ProcessError(f"the client of share {share!r} was stopped (pid {process.identity.pid})")
        if await self._is_hopeless():
            return HungError(f"the client of share {share!r} answers neither its mount nor its control socket")
        hung_s = asyncio.get_running_loop().time() - self._began_s
        if self._abort_after_s is not None and hung_s >= self._abort_after_s:
            return HungError(f"share {share!r} hung for {hung_s:.0f} s, longer than this guest waits (abort_after_s)")
        return None

    async def _is_hopeless(self) -> bool:
        driver = self._parts.drivers.get(self._live.share.backend_name)
        if driver is None or self._process is None:
            return False
        context = self._parts.context(self._live.share, source=self._live.source)
        try:
            async with asyncio.timeout(_CONTROL_DEADLINE_S + 1):
                is_answering = await driver.is_answering(
                    context, self._process.identity.pid, deadline_s=_CONTROL_DEADLINE_S
                )
        except TimeoutError:
            is_answering = False
        self._silent = 0 if is_answering else self._silent + 1
        return self._silent >= _SILENT_AT_MOST
