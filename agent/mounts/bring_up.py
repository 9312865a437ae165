"""Bring one share up: from a prepared spec to a mount that shows and answers, or to nothing at all."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog

from agent.actual import LiveMount, Stage
from agent.drivers.base import Failure
from agent.mounts import places
from agent.mounts.cage import build_cage
from agent.mounts.liveness import Liveness, liveness_of
from agent.mounts.ownership import belongs_to
from agent.mounts.parts import Parts
from agent.mounts.prepare import Prepared, refuse_stacking
from agent.mounts.start import StartFailed, find_started, wait_until_up
from agent.mounts.take_down import take_down
from agent.mounts.uploads import mend_cache
from agent.supervise.process import ClientProcess, start_client
from weft.errors import DeniedError, HungError, MountError, OccupiedError, PathError
from weft.wire.digest import share_digest

_log = structlog.get_logger(__name__)

_NAMED_AT_MOST = 20
"""Covered entries named in a status."""

_EXIT_SEEN_S = 0.5
"""From a dead mount to the exit of its client, whose exit code belongs to the story."""


@dataclass(slots=True)
class _Attempt:
    """What stands so far; the undo begins from here."""

    live: LiveMount
    process: ClientProcess | None = None


async def bring_up(prepared: Prepared, *, parts: Parts) -> tuple[LiveMount, ClientProcess | None]:
    """
    Mount a share at a place where nothing is mounted.

    The record is written before anything that a killed agent could leave behind. Whatever fails, all of it is undone:
    unmounted, the client stopped, its files and the directories that were made removed.

    Returns:
        The record, and the client where there is one.

    Raises:
        MountError: as the driver names the failure, with the client's last lines, redacted.
    """
    refuse_stacking(prepared, parts=parts)
    was_down = parts.live.find_live(prepared.share.share_id)
    async with AsyncExitStack() as undo:
        attempt = _Attempt(_record_start(prepared, was_down, parts))
        undo.push_async_callback(_undo, attempt, prepared, parts)
        attempt.live = await _make_directories(attempt.live, parts)
        await mend_cache(prepared)
        await _make_private(prepared)
        try:
            mount_id = await (_serve if prepared.command.is_client else _perform)(attempt, prepared, parts)
            attempt.live = _record_mounted(attempt.live, mount_id, prepared, parts)
            _refuse_another(attempt.live, prepared, parts)
            await _read_root(prepared, attempt.process, parts)
            attempt.live = await _record_root(attempt.live, parts)
        except StartFailed as failed:
            raise _classify(prepared, failed) from failed
        live = attempt.live = _change(attempt.live, parts, stage=Stage.MOUNTED)
        undo.pop_all()
    _tell_covered(prepared, parts)
    if not prepared.command.is_client:
        _remove_private(live)
    return live, attempt.process


async def _serve(attempt: _Attempt, prepared: Prepared, parts: Parts) -> int | None:
    """Start the client, wait for it to mount in its cage, and take the mount over; return its id."""
    process = attempt.process = await _start(prepared, parts)
    attempt.live = _change(attempt.live, parts, process=process.identity)
    await wait_until_up(process, prepared.command, driver=prepared.driver)
    for name in prepared.command.starting_files:
        (prepared.context.private_dir / name).unlink(missing_ok=True)
    try:
        return await parts.walker.take_over(
            process.identity,
            prepared.path,
            ("nosuid", "nodev", *(("ro",) if prepared.share.readonly else ())),
            deadline_s=parts.limits.take_over_s,
        )
    except PathError as exc:
        if await process.wait(deadline_s=_EXIT_SEEN_S):
            raise StartFailed(process.exit_code) from exc
        raise


async def _perform(attempt: _Attempt, prepared: Prepared, parts: Parts) -> int | None:
    """Have mount(8) mount what the kernel serves; return its id."""
    command = prepared.command
    is_bind = "bind" in command.argv[command.argv.index("-o") + 1].split(",")
    what = command.argv[-2]
    try:
        exit_code, mount_id = await parts.walker.perform_mount(
            command.argv,
            env=command.env,
            log=prepared.context.private_dir / places.OUTPUT_NAME,
            path=prepared.path,
            source=prepared.sources.get(what, what) if is_bind else None,
            deadline_s=command.deadline_s,
        )
    except HungError as exc:
        raise StartFailed(None) from exc
    if exit_code != 0:
        raise StartFailed(exit_code)
    return mount_id


def _record_mounted(live: LiveMount, mount_id: int | None, prepared: Prepared, parts: Parts) -> LiveMount:
    """
    Record which mount it is, before anything else is asked of it: it is found again wherever it is moved.

    Raises:
        DeniedError: its mount point was replaced meanwhile, and nothing is mounted.
        StartFailed: somebody else has unmounted it.
    """
    if mount_id is None:
        raise _replaced(prepared)
    entry = parts.table.refresh().find(mount_id)
    if entry is None:
        raise StartFailed(None if prepared.command.is_client else 0)
    return _change(
        live,
        parts,
        mount_id=entry.mount_id,
        device=entry.device,
        root=entry.root,
        source=entry.source,
        fs_type=entry.fs_type,
    )


async def _record_root(live: LiveMount, parts: Parts) -> LiveMount:
    """Record which directory of the guest it shows: that may be renamed, and the mount must be known all the same."""
    if live.root == "/":
        return live
    inode = await parts.walker.find_root_inode(live.real_path, live.mount_id, deadline_s=parts.limits.take_over_s)
    return _change(live, parts, root_inode=inode)


def _refuse_another(live: LiveMount, prepared: Prepared, parts: Parts) -> None:
    """Refuse a mount that is not where, or not what, it should be."""
    found = find_started(prepared.command, prepared.path, parts.table.current)
    if found is not None and found.mount_id == live.mount_id:
        return
    there = parts.table.current.find(live.mount_id)
    if there is not None and there.mount_point != prepared.path:
        raise _replaced(prepared)
    raise StartFailed(None if prepared.command.is_client else 0)


def _remove_private(live: LiveMount) -> None:
    """Remove what the start needed; the mount stands without it, and the take-down tries again."""
    try:
        places.remove_private(Path(live.private_dir))
    except MountError as exc:
        _log.warning("mount.untidy", share=live.share_id, error=str(exc))


def _tell_covered(prepared: Prepared, parts: Parts) -> None:
    """Having the share back matters more than what was written in its place meanwhile, but nobody may look in vain."""
    share, names = prepared.share, prepared.covered
    if not names:
        return
    _log.warning("mount.covering", share=share.id, mount_point=share.mount_point, entries=len(names))
    shown = ", ".join(map(repr, names[:3])) + (" and more" if len(names) > 3 else "")
    message = f"share {share.id!r} hides what was written to its directory while it was away ({shown})"
    detail = "\n".join(names[:_NAMED_AT_MOST])
    parts.remark(share.share_id, OccupiedError(f"{message}; it shows while the share is unmounted", detail=detail))


def _record_start(prepared: Prepared, was_down: LiveMount | None, parts: Parts) -> LiveMount:
    """
    Record that a start follows.

    From now on, directories on the way that another share made and cannot remove any more are left to this one.
    """
    share, path = prepared.share, prepared.path
    return parts.record(
        LiveMount(
            share=share,
            digest=share_digest(share),
            stage=Stage.STARTING,
            boot_id=parts.boot_id,
            path=path,
            source=prepared.command.source or "",
            made_directories=was_down.made_directories if was_down is not None and was_down.real_path == path else (),
            private_dir=str(prepared.context.private_dir),
        )
    )


async def _make_directories(live: LiveMount, parts: Parts) -> LiveMount:
    """
    Make the mount point, unless it is there, and record what was made.

    Raises:
        PathError: it cannot be made; inside another share, that share is named.
    """
    entry = parts.table.refresh().holding(live.real_path)
    parent = next(
        (other.share_id for other in parts.live.live() if belongs_to(entry, other, boot_id=parts.boot_id)), None
    )
    try:
        made = await parts.walker.make_directories(live.real_path)
    except PathError as exc:
        if parent is None:
            raise
        why = f"cannot mount share {live.share_id!r} inside share {parent!r}, which has no such directory"
        raise PathError(f"{why}: {exc.message}", errno=exc.errno, code=exc.code) from exc
    if parent is not None:
        made = ()  # they are the other share's content now, and may be wanted by its other users
    ours = {*_current(live, parts).made_directories, *made}
    live = _change(live, parts, made_directories=tuple(sorted(ours, key=len)))
    if parts.is_shielding and live.real_path in ours:
        await parts.walker.set_mode(live.real_path, 0)
    return live


def _change(live: LiveMount, parts: Parts, **changes: Any) -> LiveMount:
    """Change the record as it is now: what was left to this share meanwhile stays in it."""
    return parts.record(msgspec.structs.replace(_current(live, parts), **changes))


def _current(live: LiveMount, parts: Parts) -> LiveMount:
    return parts.live.find_live(live.share_id) or live


async def _make_private(prepared: Prepared) -> None:
    """Write what the start needs, on the guest's own disk."""
    context, command = prepared.context, prepared.command
    places.make_private(context.private_dir, context.cache_dir, command, mount_point=prepared.path)


async def _start(prepared: Prepared, parts: Parts) -> ClientProcess:
    context, command = prepared.context, prepared.command
    cage = build_cage(
        command,
        programs=tuple(str(parts.programs[name]) for name in prepared.driver.programs),
        private_dir=str(context.private_dir),
        cache_dir=str(context.cache_dir),
        etc=str(places.etc_dir(parts.run_dir)),
        sources=prepared.sources,
        is_read_only=prepared.share.readonly,
        views=parts.views,
    )
    process = await start_client(
        command.argv,
        env=command.env,
        log=context.private_dir / places.OUTPUT_NAME,
        cage=cage,
        status_fd_variable=command.status_fd_variable,
        walker=parts.walker,
        boot_id=parts.boot_id,
    )
    _log.debug("process.started", share=prepared.share.id, pid=process.identity.pid)
    return process


async def _read_root(prepared: Prepared, process: ClientProcess | None, parts: Parts) -> None:
    """Ask for one name of the root directory: a client with a wrong key mounts and then answers nothing but this."""
    try:
        await parts.walker.read_root(prepared.path, deadline_s=prepared.command.deadline_s, limit=1)
    except PathError as exc:
        if exc.errno not in prepared.driver.harmless_root_errnos:
            if process is not None and liveness_of(exc.errno) is Liveness.DEAD:
                await process.wait(deadline_s=_EXIT_SEEN_S)
            raise StartFailed(_exit_code(process), root_errno=exc.errno) from exc
    except HungError as exc:
        raise StartFailed(_exit_code(process)) from exc
    if process is not None and process.has_exited:
        raise StartFailed(process.exit_code)


def _exit_code(process: ClientProcess | None) -> int | None:
    return 0 if process is None else process.exit_code


def _classify(prepared: Prepared, failed: StartFailed) -> MountError:
    """Have the driver name the failure; its own words are redacted once more, as it may quote what it was given."""
    printed = places.read_output(prepared.context.private_dir, prepared.command.log_files)
    output = prepared.redact("\n".join(text for text in (printed, failed.said) if text))
    error = prepared.driver.classify(
        prepared.context, Failure(exit_code=failed.exit_code, output=output, root_errno=failed.root_errno)
    )
    return error


def _replaced(prepared: Prepared) -> DeniedError:
    """Name what only a user of the guest who owns a directory above can have done; he may stop doing it."""
    return DeniedError(
        f"cannot mount share {prepared.share.id!r} at {prepared.path!r}: "
        "the mount point was replaced while it was being mounted",
        is_permanent=False,
    )


async def _undo(attempt: _Attempt, prepared: Prepared, parts: Parts) -> None:
    """Leave nothing; a share that was mounted here before stays remembered, so that a later repair knows it."""
    try:
        await take_down(attempt.live, attempt.process, parts=parts, is_drained=True)
    except MountError as exc:  # why the start failed matters more; the record stays, and the next try begins with it
        _log.error("unmount.failed", share=prepared.share.id, mount_point=prepared.path, error=str(exc))
        return
    if prepared.is_first:
        parts.forget_if_down(prepared.share.share_id)
