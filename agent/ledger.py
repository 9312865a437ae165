"""The ledger: what was accepted, and what is mounted, on disk across the agent's life."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from agent.actual import LiveMount, ProcessIdentity, Stage
from agent.desired import Desired, Entry, Origin, Stamp
from agent.disk import write_atomically
from weft.errors import LedgerCorruptError, LedgerTooNewError
from weft.wire.ids import ShareId, VmId
from weft.wire.mountset import CatalogMark, RejectedShare
from weft.wire.share import ShareMount, parse_share, share_to_builtins
from weft.wire.tolerant import from_builtins, to_builtins

T = TypeVar("T")
SCHEMA = 1
LEDGER_FILE = "ledger.json"
LIVE_FILE = "live.json"
BEFORE_FILE = "ledger.json.before"

log = structlog.get_logger("weft.ledger")


@dataclass(frozen=True, slots=True)
class Held:
    """What the ledger keeps beside live mounts: the desired state, and ids an administrator keeps away."""

    desired: Desired
    held: frozenset[ShareId] = field(default_factory=frozenset)


class Ledger:
    """
    Two files in the state directory.

    ``ledger.json`` is what was accepted; it survives power cuts. ``live.json`` is what is mounted, worthless after a
    reboot and therefore never synced to disk. Neither failing costs a mount: the agent goes on in memory and says so.
    While the state directory takes no ``live.json``, the spare directory has it: an agent that forgot a kernel mount
    could never tell it from a foreign one.

    Args:
        directory: The state directory; made (0700) if missing.
        vm: The guest's own id; what was kept for another one is set aside.
        spare: A directory in memory, made (0700) when it is needed; None for none.
    """

    def __init__(self, directory: Path, vm: VmId, *, spare: Path | None = None) -> None:
        self._directory = directory
        self._vm = vm
        self._live_paths = [folder / LIVE_FILE for folder in (directory, spare) if folder is not None]
        self._has_spare = False
        self._written = 0
        self._live: dict[ShareId, LiveMount] = {}
        self._encoded: dict[ShareId, msgspec.Raw] = {}
        self._problems: dict[str, str] = {}

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

        Returns:
            What was held; an empty state where there is nothing usable, which has then been set aside.

        Raises:
            LedgerTooNewError: A newer agent wrote one of them; nothing was touched.
        """
        self.make_directory()
        found = [live for path in self._live_paths if (live := self._read(path, _parse_live)) is not None]
        self._has_spare = any(path.exists() for path in self._live_paths[1:])
        self._written, mounts = max(found, key=lambda live: live[0], default=(0, []))
        self._live = {mount.share_id: mount for mount in mounts}
        self._encoded = {share_id: _encode_live(mount) for share_id, mount in self._live.items()}
        return self._read(self._directory / LEDGER_FILE, _parse_held) or Held(Desired(self._vm))

    def commit(self, held: Held) -> None:
        """Write what is held, so that it survives a power cut; a failure is noted in :attr:`problem`."""
        values = {
            "schema": SCHEMA,
            "vm": self._vm,
            "held": sorted(held.held),
            "desired": _desired_to_builtins(held.desired),
        }
        if self._write(LEDGER_FILE, values, is_synced=True):
            log.debug("ledger.committed", revision=held.desired.revision)

    def keep_before(self) -> None:
        """Keep the ledger as it is, for :meth:`go_back`; no copy is made, as ledgers are replaced and never changed."""
        before = self._directory / BEFORE_FILE
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
            if path.exists():
                self._set_aside(path, "the agent did not stay alive with it")
        before = self._directory / BEFORE_FILE
        if is_kept and before.exists():
            before.rename(self._directory / LEDGER_FILE)

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
        self._encoded[mount.share_id] = _encode_live(mount)
        self._write_live()

    def forget_live(self, share_id: ShareId) -> None:
        """Forget the mount of *share_id*; unknown ids are fine."""
        if self._live.pop(share_id, None) is not None:
            del self._encoded[share_id]
            self._write_live()

    def _write_live(self) -> None:
        self._written += 1
        values = {"schema": SCHEMA, "vm": self._vm, "number": self._written, "live": list(self._encoded.values())}
        is_written = self._write(LIVE_FILE, values, is_synced=False)
        for spare in self._live_paths[1:]:
            if not is_written:
                self._write_spare(spare, values)
            elif self._has_spare:
                self._remove_spare(spare)

    def _write_spare(self, path: Path, values: Mapping[str, Any]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, msgspec.json.encode(values), is_synced=False)
        except OSError as exc:
            log.error("ledger.unusable", error=f"cannot write {path}: {exc.strerror}; going on in memory")
        else:
            self._has_spare = True

    def _remove_spare(self, path: Path) -> None:
        """Remove what is older than the file in the state directory; where that fails, its number says that it is."""
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            log.debug("ledger.unusable", error=f"cannot remove {path}: {exc.strerror}")
        else:
            self._has_spare = False

    # --- files ----------------------------------------------------------------------------------------------------

    def _read(self, path: Path, parse: Callable[[dict[str, Any], VmId], T]) -> T | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            self._note(path.name, f"cannot read {path}: {exc.strerror}")
            return None
        try:
            values = _parse_frame(data, path, self._vm)
            return parse(values, self._vm)
        except LedgerTooNewError:
            raise
        except Exception as exc:  # noqa: BLE001  # whatever is wrong with it, it must not end the agent at every start
            self._set_aside(path, str(exc))
            return None

    def _set_aside(self, path: Path, why: str) -> None:
        number = 1
        while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
            number += 1
        try:
            path.rename(aside)
        except OSError as exc:
            self._note(path.name, f"cannot set {path} aside: {exc.strerror}")
        log.error("ledger.set_aside", path=str(aside), error=why)

    def _write(self, name: str, values: Mapping[str, Any], *, is_synced: bool) -> bool:
        try:
            write_atomically(self._directory / name, msgspec.json.encode(values), is_synced=is_synced)
        except OSError as exc:
            self._note(name, f"cannot write {self._directory / name}: {exc.strerror}; going on in memory")
            return False
        self._problems.pop(name, None)
        return True

    def _note(self, name: str, problem: str) -> None:
        if self._problems.get(name) != problem:
            log.error("ledger.unusable", error=problem)
        self._problems[name] = problem


# --- documents ------------------------------------------------------------------------------------------------------


def _parse_frame(data: bytes, path: Path, vm: VmId) -> dict[str, Any]:
    values = msgspec.json.decode(data)
    if not isinstance(values, dict) or not isinstance(values.get("schema"), int):
        raise LedgerCorruptError(f"cannot read {path}: it is no ledger")
    if values["schema"] > SCHEMA:
        raise LedgerTooNewError(
            f"cannot read {path}: it has schema {values['schema']}, this agent knows {SCHEMA}; "
            "install the newer agent again, or move the file away to start from the stream"
        )
    if values.get("vm") != vm:
        raise LedgerCorruptError(f"cannot use {path}: it was written for VM {values.get('vm')!r}, this is {vm!r}")
    return values


def _desired_to_builtins(desired: Desired) -> dict[str, Any]:
    stamp = desired.last_stamp
    return {
        "revision": desired.revision,
        "content": desired.content,
        "catalog": to_builtins(desired.catalog) if desired.catalog else None,
        "shares": [
            {"origin": entry.origin, "share": share_to_builtins(entry.share)} for entry in desired.shares.values()
        ],
        "rejected": desired.rejected,
        "unusable": sorted(desired.unusable),
        "is_complete": desired.is_complete,
        "dismissed": desired.dismissed,
        "last_stamp": [stamp.time_ns, stamp.stream_seq] if stamp else None,
    }


def _parse_held(values: dict[str, Any], vm: VmId) -> Held:
    document = values["desired"]
    stamp = document["last_stamp"]
    entries = [Entry.of(parse_share(item["share"]), Origin(item["origin"])) for item in document["shares"]]
    desired = Desired(
        vm=vm,
        revision=document["revision"],
        content=document["content"],
        catalog=from_builtins(CatalogMark, document["catalog"], what="ledger catalog") if document["catalog"] else None,
        shares={entry.share.share_id: entry for entry in entries},
        rejected=msgspec.convert(document["rejected"], tuple[RejectedShare, ...]),
        unusable=frozenset(ShareId(each) for each in document["unusable"]),
        is_complete=document["is_complete"],
        dismissed=tuple(document["dismissed"]),
        last_stamp=Stamp(*stamp) if stamp else None,
    )
    return Held(desired, frozenset(ShareId(each) for each in values.get("held", ())))


def _encode_live(mount: LiveMount) -> msgspec.Raw:
    """Encode one record, once for all the times that the file is written because of others."""
    values: dict[str, Any] = {name: getattr(mount, name) for name in mount.__struct_fields__ if name != "share"}
    return msgspec.Raw(msgspec.json.encode(values | {"share": share_to_builtins(mount.share)}))


def _parse_live(values: dict[str, Any], vm: VmId) -> tuple[int, list[LiveMount]]:
    """Return how often the file had been written, 0 where an older agent wrote it, and the mounts."""
    mounts = []
    for item in values["live"]:
        share: ShareMount = parse_share(item.pop("share"))
        process = item.pop("process")
        mounts.append(
            LiveMount(
                share=share,
                stage=Stage(item.pop("stage")),
                process=msgspec.convert(process, ProcessIdentity) if process else None,
                made_directories=tuple(item.pop("made_directories")),
                **item,
            )
        )
    return int(values.get("number", 0)), mounts
