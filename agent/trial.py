"""The trial of every new state: how often the agent began with it and did not stay alive, counted on disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Annotated

import msgspec
import structlog
from msgspec.structs import replace

from agent.disk import read_file, set_aside, write_atomically
from weft.errors import LedgerTooNewError

TRIAL_FILE = "trial.json"
LIMIT = 5
"""Attempts: a guest that is switched off a few times in a row loses nothing, and crashes cost ten seconds at most."""

_MAX_BYTES = 4096
"""A count has a few hundred."""

PROOF_S = 5.0
"""Alive for so long with a state that cannot be reached: it is not the state that ends the agent."""

log = structlog.get_logger("weft.trial")


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is on disk.

    Attributes:
        message: Digest of the message that was looked at last.
        looks: How often an agent looked at it and is not known to have stayed alive.
        starts: How often an agent held what came of it and is not known to have stayed alive.
        is_proven: Whether an agent has lived with it once.
        set_aside: Digest of the message that is not looked at any more.
        check: Of all that; a flipped bit in a count must not drop what is held. Older agents wrote none.
    """

    message: str = ""
    looks: Annotated[int, msgspec.Meta(ge=0)] = 0
    starts: Annotated[int, msgspec.Meta(ge=0)] = 0
    is_proven: bool = True
    set_aside: str = ""
    check: str = ""


class Trial:
    """
    Keep a message that crashes or hangs the agent from doing so at every start.

    Counted before the message is looked at, and before what is held of it is read; called off once the agent has lived
    with what came of it. Nothing is synced: the count must survive the agent, not the machine.

    Args:
        directory: The state directory.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / TRIAL_FILE
        self._record = _Record()
        self._looked_at = ""
        self._has_begun = asyncio.Event()
        self._damages: tuple[str, ...] = ()

    @property
    def set_aside(self) -> tuple[str, ...]:
        """One sentence for a damaged count that was moved out of the way; counting began anew then."""
        return self._damages

    def start(self, *, go_back: Callable[[bool], None]) -> None:
        """
        Count this start, before what is held is read; if there were too many, hold it no longer.

        Args:
            go_back: Drops what is held now; True: for what was held before the last message.
        """
        last = self._record = self._read()
        if last.starts < LIMIT:
            self._write(replace(last, starts=last.starts + 1))
        else:
            log.error("message.abandoned", attempt=last.starts)
            go_back(not last.is_proven)
            self._write(_Record(starts=1, set_aside=last.message))
        self._has_begun.set()

    def begin(self, data: bytes, *, keep_held: Callable[[], None]) -> bool:
        """
        Count this look at a message, unless it was looked at since the start.

        Args:
            data: The message.
            keep_held: Keeps what is held now, which the agent is known to live with.

        Returns:
            Whether it may be looked at: False where it is set aside.
        """
        message, last = _digest(data), self._record
        if message == last.set_aside:
            return False
        if message == self._looked_at:
            return True
        if message != last.message:
            if last.is_proven:
                keep_held()
            self._write(_Record(message=message, looks=1, starts=1, is_proven=False, set_aside=last.set_aside))
        elif last.looks < LIMIT:
            self._write(replace(last, looks=last.looks + 1))
        else:
            log.error("message.abandoned", attempt=last.looks)
            self._write(_Record(set_aside=message, starts=last.starts))
            return False
        self._looked_at = message
        self._has_begun.set()
        return True

    def call_off(self) -> None:
        """Note that the agent lives with what it holds."""
        is_seen = self._looked_at == self._record.message
        seen = {"looks": 0, "is_proven": True} if is_seen else {}
        self._write(replace(self._record, starts=0, **seen))

    def end(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        """Take this run back where it ends as it is meant to, which says nothing about what the agent holds."""
        if kind is not None and issubclass(kind, asyncio.CancelledError | LedgerTooNewError):
            is_seen = self._looked_at == self._record.message
            looks = max(self._record.looks - 1, 0) if is_seen else self._record.looks
            self._write(replace(self._record, starts=max(self._record.starts - 1, 0), looks=looks))

    def forgive(self) -> None:
        """Look again at what was set aside."""
        self._write(replace(self._record, set_aside=""))

    async def run(self, live_with_it: Callable[[], Awaitable[None]]) -> None:
        """
        Call each trial off in time, until cancelled.

        Args:
            live_with_it: Returns when the newest state is reached.
        """
        while True:
            await self._has_begun.wait()
            self._has_begun.clear()
            try:
                async with asyncio.timeout(PROOF_S):
                    await live_with_it()
            except TimeoutError:
                pass  # what cannot be reached does not end the agent either
            if not self._has_begun.is_set():
                self.call_off()

    def _write(self, record: _Record) -> None:
        before, self._record = self._record, record
        if record == before:
            return
        try:
            write_atomically(self._path, msgspec.json.encode(_checked(record)), is_synced=False)
        except OSError as exc:  # the ledger says so to the operator: it is on the same disk
            log.debug("trial.unwritten", error=str(exc))

    def _read(self) -> _Record:
        """Read the counts; where they are damaged, counting begins anew, and the worst is a few attempts more."""
        try:
            record = msgspec.json.decode(read_file(self._path, most_bytes=_MAX_BYTES), type=_Record)
        except FileNotFoundError:
            return _Record()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            why = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        else:
            if record.check in ("", _checked(record).check):
                return replace(record, check="")
            why = "it is not what was written"
        self._damages = (set_aside(self._path, why),)
        return _Record()


def _checked(record: _Record) -> _Record:
    return replace(record, check=_digest(msgspec.json.encode(replace(record, check=""))))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
