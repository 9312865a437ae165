"""The ledger: what was accepted, and what is mounted, on disk across the agent's life."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from agent.actual import LiveMount
from agent.desired import Desired
from agent.disk import read_file, set_aside, write_atomically
from agent.ledger_document import (
    Held,
    HeldDocument,
    LiveDocument,
    encode_held,
    encode_live,
    encode_mount,
    parse_held,
    parse_live,
)
from weft.errors import LedgerTooNewError
from weft.wire.ids import ShareId, VmId

__all__ = ["BEFORE_FILE", "LEDGER_FILE", "LIVE_FILE", "Held", "Ledger"]

T = TypeVar("T", HeldDocument, LiveDocument)
LEDGER_FILE = "ledger.json"
LIVE_FILE = "live.json"
BEFORE_FILE = "ledger.json.before"

log = structlog.get_logger("weft.ledger")


class Ledger:
    """
    Two files in the state directory.

    ``ledger.json`` is what was accepted; it survives power cuts. ``live.json`` is what is mounted, worthless after a
    reboot and therefore never synced to disk. Neither failing costs a mount: the agent goes on in memory and says so.
    The spare directory has ``live.json`` as well, for a state directory that is full and a file that is damaged: an
    agent that forgot a kernel mount could never tell it from a foreign one.

    Args:
        directory: The state directory; made (0700) if missing.
        vm: The guest's own id; what was kept for another one is set aside.
        spare: A directory in memory, made (0700) when it is needed; None for none.
    """

    def __init__(self, directory: Path, vm: VmId, *, spare: Path | None = None) -> None:
        self._directory = directory
        self._vm = vm
        self._live_paths = [folder / LIVE_FILE for folder in (directory, spare) if folder is not None]
        self._written = 0
        self._live: dict[ShareId, LiveMount] = {}
        self._encoded: dict[ShareId, msgspec.Raw] = {}
        self._problems: dict[str, str] = {}
        self._set_aside: list[str] = []

    @property
    def set_aside(self) -> tuple[str, ...]:
        """One sentence for each damaged file that was moved out of the way."""
        return tuple(self._set_aside)

    @property
    def problem(self) -> str | None:
        """Why the ledger is not on disk, None while it is."""
        return next(iter(self._problems.values()), None)

    def make_directory(self) -> None:
        """Make the state directory, for the owner alone, unless it is there."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            self._note(LEDGER_FILE, f"cannot make {self._directory}: {exc.strerror}")

    def load(self) -> Held:
        """
        Read both files; of two about what is mounted, the one that was written last.

        What is damaged is set aside, and what can be used of it is kept and written anew.

        Returns:
            What was held; an empty state where there is nothing usable.

        Raises:
            LedgerTooNewError: A newer agent wrote one of them; nothing was touched.
        """
        self.make_directory()
        found = [live for path in self._live_paths if (live := self._read(path, parse_live)) is not None]
        found.sort(key=lambda live: live.number, reverse=True)
        self._take_up(found)
        document = self._read(self._directory / LEDGER_FILE, parse_held) or HeldDocument(Held(Desired(self._vm)))
        if document.damages:
            self.commit(document.held)
        return document.held

    def commit(self, held: Held) -> None:
        """Write what is held, so that it survives a power cut; a failure is noted in :attr:`problem`."""
        if self._write(LEDGER_FILE, encode_held(held, self._vm), is_synced=True):
            log.debug("ledger.committed", revision=held.desired.revision)

    def keep_before(self) -> None:
        """Keep the ledger as it is, for :meth:`go_back`; no copy is made, as ledgers are replaced and never changed."""
        before = self._directory / BEFORE_FILE
        if before.is_dir():
            self._set_aside.append(set_aside(before, "it is a directory"))
        try:
            before.unlink(missing_ok=True)
            os.link(self._directory / LEDGER_FILE, before)
        except FileNotFoundError:
            return  # nothing was held yet
        except OSError as exc:
            self._note(BEFORE_FILE, f"cannot keep {before}: {exc.strerror}")
        else:
            self._problems.pop(BEFORE_FILE, None)

    def go_back(self, is_kept: bool) -> None:
        """
        Set the ledger aside.

        Args:
            is_kept: Whether to hold again what was kept; otherwise what is known of mounts is set aside too, and they
                are known by their sources alone.
        """
        for path in (self._directory / LEDGER_FILE, *(() if is_kept else self._live_paths)):
            if os.path.lexists(path):
                self._set_aside.append(set_aside(path, "the agent did not stay alive with it"))
        before = self._directory / BEFORE_FILE
        if is_kept and before.is_file():
            try:
                before.rename(self._directory / LEDGER_FILE)
            except OSError as exc:
                self._note(BEFORE_FILE, f"cannot go back to {before}: {exc.strerror}")

    # --- live mounts (LiveStore) ----------------------------------------------------------------------------------

    def live(self) -> Iterable[LiveMount]:
        """Return every remembered mount."""
        return tuple(self._live.values())

    def find_live(self, share_id: ShareId) -> LiveMount | None:
        """Return the mount of *share_id*, if one is remembered."""
        return self._live.get(share_id)

    def record_live(self, mount: LiveMount) -> None:
        """Remember *mount*, replacing what its share had."""
        self._live[mount.share_id] = mount
        self._encoded[mount.share_id] = encode_mount(mount)
        self._write_live()

    def forget_live(self, share_id: ShareId) -> None:
        """Forget the mount of *share_id*; unknown ids are fine."""
        if self._live.pop(share_id, None) is not None:
            del self._encoded[share_id]
            self._write_live()

    def _take_up(self, found: list[LiveDocument]) -> None:
        """Know what the newest document has; where it is damaged, older ones may still have what it lost."""
        newest = found[0] if found else LiveDocument()
        for document in found if newest.damages else found[:1]:
            for mount in document.mounts:
                self._live.setdefault(mount.share_id, mount)
        self._written = newest.number
        self._encoded = {share_id: encode_mount(mount) for share_id, mount in self._live.items()}
        if any(document.damages for document in found):
            self._write_live()

    def _write_live(self) -> None:
        self._written += 1
        data = encode_live(self._encoded, self._vm, number=self._written)
        self._write(LIVE_FILE, data, is_synced=False)
        for spare in self._live_paths[1:]:
            try:
                spare.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_atomically(spare, data, is_synced=False)
            except OSError as exc:  # its number tells that it is older than the other one
                log.debug("ledger.unusable", error=f"cannot write {spare}: {exc.strerror}")

    # --- files ----------------------------------------------------------------------------------------------------

    def _read(self, path: Path, parse: Callable[[bytes, VmId], T]) -> T | None:
        try:
            data = read_file(path)
        except FileNotFoundError:
            return None
        except NotADirectoryError as exc:
            self._note(path.name, f"cannot read {path}: {exc.strerror}")
            return None
        except OSError as exc:
            self._set_aside.append(set_aside(path, exc.strerror or "it cannot be read"))
            return None
        try:
            document = parse(data, self._vm)
        except LedgerTooNewError as exc:
            raise LedgerTooNewError(f"cannot read {path}: {exc}") from exc
        except Exception as exc:  # noqa: BLE001  # whatever is wrong with it, it must not end the agent at every start
            self._set_aside.append(set_aside(path, str(exc)))
            return None
        if document.damages:
            first, others = document.damages[0], len(document.damages) - 1
            why = f"{first} (and {others} more)" if others else first
            self._set_aside.append(set_aside(path, why, is_kept=True))
        return document

    def _write(self, name: str, data: bytes, *, is_synced: bool) -> bool:
        try:
            write_atomically(self._directory / name, data, is_synced=is_synced)
        except OSError as exc:
            self._note(name, f"cannot write {self._directory / name}: {exc.strerror}; going on in memory")
            return False
        self._problems.pop(name, None)
        return True

    def _note(self, name: str, problem: str) -> None:
        if self._problems.get(name) != problem:
            log.error("ledger.unusable", error=problem)
        self._problems[name] = problem
