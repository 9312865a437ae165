"""Take over, at start, what an earlier agent left: every mount and client, before anything is planned."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from agent.actual import LiveMount, ProcessIdentity, Stage
from agent.mounts import places
from agent.mounts.adopt import Adoption, AdoptionReport, Unrecorded, decide_adoption, find_unrecorded, rebuild_record
from agent.mounts.ownership import find_entry
from agent.mounts.parts import Parts
from agent.mounts.take_down import take_down
from agent.supervise.identity import find_by_output, identify_process
from agent.supervise.process import ClientProcess, attach_client
from weft.errors import MountError
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount

_log = structlog.get_logger(__name__)

_ROOT_DEADLINE_S = 10.0
"""For the read of a half-started mount's root; longer, and it is undone and mounted anew."""

_NOBODY = ProcessIdentity(pid=0, start_ticks=0, boot_id="")
"""A client that is gone; None would say that the mount needs no client."""


async def adopt_all(
    wanted: Mapping[ShareId, ShareMount], *, parts: Parts
) -> tuple[AdoptionReport, dict[ShareId, ClientProcess]]:
    """
    Decide about every record and every mount that carries our source, and act on it; all at once, each bounded.

    Args:
        wanted: The desired shares by id.
        parts: What to work with.

    Returns:
        What was found, and the clients of what was adopted, watched from now on.
    """
    _record_unrecorded(wanted, parts)
    records = list(parts.live.live())
    async with asyncio.TaskGroup() as group:
        tasks = {
            live.share_id: group.create_task(_Case(live, wanted, parts).settle(), name=f"adopt {live.share_id}")
            for live in records
        }
    cases = {share_id: task.result() for share_id, task in tasks.items()}
    _remove_strays(parts)

    def those(adoption: Adoption) -> tuple[ShareId, ...]:
        return tuple(share_id for share_id, case in cases.items() if case.error is None and case.outcome is adoption)

    adopted = those(Adoption.ADOPT)
    report = AdoptionReport(
        adopted=adopted,
        undone=those(Adoption.UNDO),
        lost=those(Adoption.REPAIR),
        cleaned=those(Adoption.CLEAN),
        orphans=tuple(share_id for share_id in adopted if share_id not in wanted),
        failed={share_id: case.error for share_id, case in cases.items() if case.error is not None},
    )
    clients = {share_id: case.client for share_id, case in cases.items() if case.client is not None}
    return report, clients


class _Case:
    """One record, and what became of it."""

    def __init__(self, live: LiveMount, wanted: Mapping[ShareId, ShareMount], parts: Parts) -> None:
        self._live = live
        self._is_wanted = live.share_id in wanted
        self._parts = parts
        self.client: ClientProcess | None = None
        self.outcome = Adoption.REPAIR
        self.error: MountError | None = None

    async def settle(self) -> _Case:
        """Act on the record; whatever goes wrong with it concerns it alone, and must not end the agent."""
        try:
            self.outcome = self._decide()
            if self.outcome is Adoption.VERIFY:
                self.outcome = await self._verify()
            match self.outcome:
                case Adoption.ADOPT:
                    self._adopt()
                case Adoption.UNDO | Adoption.CLEAN:
                    await self._take_down()
                case _:
                    pass
        except MountError as exc:
            self.error = exc
        except (OSError, ValueError, OverflowError) as exc:  # the last two: no kernel takes what a damaged record says
            self.error = _translate(exc, self._live.share_id)
        return self

    def _decide(self) -> Adoption:
        live, parts = self._live, self._parts
        self.client = None if live.process is None else attach_client(live.process, boot_id=parts.boot_id)
        return decide_adoption(
            live,
            is_standing=find_entry(live, parts.table.current, boot_id=parts.boot_id) is not None,
            is_served=live.process is None or self.client is not None,
            is_wanted=self._is_wanted,
        )

    async def _verify(self) -> Adoption:
        try:
            await self._parts.walker.read_root(self._live.real_path, deadline_s=_ROOT_DEADLINE_S, limit=1)
        except MountError:
            return Adoption.UNDO
        return Adoption.ADOPT

    def _adopt(self) -> None:
        entry = find_entry(self._live, self._parts.table.current, boot_id=self._parts.boot_id)
        assert entry is not None, "only what stands is adopted"
        self._parts.record(
            msgspec.structs.replace(
                self._live,
                stage=Stage.MOUNTED,
                mount_id=entry.mount_id,
                device=entry.device,
                root=entry.root,
                source=entry.source,
                fs_type=entry.fs_type,
            )
        )
        _log.info(
            "mount.adopted",
            share=self._live.share_id,
            mount_point=self._live.mount_point,
            pid=None if self.client is None else self.client.identity.pid,
        )

    async def _take_down(self) -> None:
        """A wanted share stays remembered as down, so that its repair may cover what was written there meanwhile."""
        client, self.client = self.client, None
        await take_down(self._live, client, parts=self._parts, is_drained=True)
        if not self._is_wanted:
            self._parts.forget_if_down(self._live.share_id)


def _record_unrecorded(wanted: Mapping[ShareId, ShareMount], parts: Parts) -> None:
    """Remember mounts that only their source and our own notes tell; those of another agent on this machine are not."""
    recorded = {live.share_id: live for live in parts.live.live()}

    def noted_at(share_id: ShareId) -> str:
        return places.read_mount_point(places.private_dir(parts.run_dir, share_id))

    for found in find_unrecorded(parts.table.refresh(), recorded, wanted, noted_at=noted_at):
        directory = places.private_dir(parts.run_dir, found.name.share_id)
        try:
            client = _find_client(directory, parts) if found.is_noted else None
        except OSError as exc:
            error = _translate(exc, found.name.share_id)
            _log.warning("mount.failed", share=found.name.share_id, step="adopt", error=str(error))
            continue
        share = wanted.get(found.name.share_id)
        live = rebuild_record(
            found, share, backend=_backend_of(found, parts), private_dir=str(directory), boot_id=parts.boot_id
        )
        parts.record(msgspec.structs.replace(live, process=client or _NOBODY))


def _find_client(directory: Path, parts: Parts) -> ProcessIdentity | None:
    """Find the process that writes its output below our run directory; the oldest, if it has children."""
    candidates = (
        identify_process(pid, boot_id=parts.boot_id) for pid in find_by_output(directory / places.OUTPUT_NAME)
    )
    return min(
        (identity for identity in candidates if identity is not None),
        key=lambda identity: identity.start_ticks,
        default=None,
    )


def _backend_of(found: Unrecorded, parts: Parts) -> str:
    """Guess the driver by the type: a FUSE client's subtype is mostly its name."""
    subtype = found.entry.fs_type.removeprefix("fuse.")
    return subtype if subtype in parts.drivers else next(iter(parts.drivers))


def _remove_strays(parts: Parts) -> None:
    """Remove private directories that belong to no record and that no process writes to; what stays is only untidy."""
    kept = {live.private_dir for live in parts.live.live()}
    try:
        for directory in list(places.private_root(parts.run_dir).iterdir()):
            is_ours = directory.is_dir() and len(directory.name) == places.SHORT_NAME_LENGTH
            if is_ours and str(directory) not in kept and not find_by_output(directory / places.OUTPUT_NAME):
                _remove_stray(directory)
    except FileNotFoundError:
        return  # nothing was ever mounted in this boot
    except OSError as exc:
        _log.warning("mount.untidy", error=f"cannot look for what was left: {os.strerror(exc.errno or 0)}")


def _remove_stray(directory: Path) -> None:
    try:
        places.remove_private(directory)
    except MountError as exc:
        _log.warning("mount.untidy", error=str(exc))


def _translate(exc: OSError | ValueError | OverflowError, share_id: ShareId) -> MountError:
    why = os.strerror(exc.errno or 0).lower() if isinstance(exc, OSError) else str(exc)
    return MountError(f"cannot adopt share {share_id!r}: {why}")
