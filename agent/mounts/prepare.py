"""What can be known before anything changes: policy, programs, the command, and what the driver finds out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.drivers.base import Driver, MountCommand, MountContext
from agent.mounts.ownership import source_of
from agent.mounts.parts import Parts
from agent.mounts.policy import decide_mount_point, decide_place, decide_source, find_covered
from weft.errors import MountTimeoutError, OccupiedError
from weft.wire.redact import redact_text
from weft.wire.share import ShareMount, share_secrets


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mount will show in mountinfo, and which of the guest's own entries it will hide."""

    path: str
    covered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    A share that may be mounted.

    Attributes:
        share: The spec as it was asked for, credential references unresolved.
        driver: Mounts it.
        path: The mount point as mountinfo will show it.
        context: What the driver was shown, credential references resolved.
        command: How it is started.
        is_first: Whether the share was never mounted at this place.
        covered: What was written into its directory while it was away, and will be hidden by it.
        sources: The guest's own directories that it shows: as the share names them → once links in their allowed root
            are resolved.
    """

    share: ShareMount
    driver: Driver
    path: str
    context: MountContext
    command: MountCommand
    is_first: bool
    covered: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def redact(self, text: str) -> str:
        """Take every secret of the share out of *text*."""
        return redact_text(text, share_secrets(self.context.share) | self.command.secrets)


async def prepare(share: ShareMount, *, standing_at: str | None, is_first: bool, parts: Parts) -> Prepared:
    """
    Check *share* and build its command; nothing is changed.

    Args:
        share: What is to be mounted.
        standing_at: Where this share is mounted now (as mountinfo shows it), if it is: that place is not looked at,
            since it is ours and its client might not answer.
        is_first: Whether it was never mounted at its mount point.
        parts: What to work with.

    Raises:
        MountError: it may not, or would not, be mounted.
    """
    driver = parts.find_driver(share)
    driver.require_programs(parts.programs)
    decide_place(share.mount_point, policy=parts.policy)
    resolved = parts.resolve(share)
    sources = await _check_sources(driver, resolved, parts)
    place = await find_place(share, standing_at=standing_at, is_first=is_first, parts=parts)
    context = parts.context(resolved, source=source_of(share))
    command = driver.build(context)
    try:
        async with asyncio.timeout(parts.limits.check_s + 1):  # the driver keeps its own deadline; this one is for bugs
            await driver.check(context, deadline_s=parts.limits.check_s)
    except TimeoutError as exc:
        raise MountTimeoutError(f"cannot check share {share.id!r} in {parts.limits.check_s:g} s") from exc
    return Prepared(
        share=share,
        driver=driver,
        path=place.path,
        context=context,
        command=command,
        is_first=is_first,
        covered=place.covered,
        sources=sources,
    )


async def find_place(share: ShareMount, *, standing_at: str | None, is_first: bool, parts: Parts) -> Place:
    """
    Judge the mount point and say where it is once links in its allowed root are resolved.

    Raises:
        MountError: the policy refuses it, or something is mounted there.
    """
    if standing_at is not None:
        return Place(standing_at)
    facts = await parts.walker.inspect(share.mount_point, parts.policy.roots)
    table = parts.table.refresh()
    made = parts.made_directories()
    decide_mount_point(
        share.mount_point,
        facts,
        table,
        is_first=is_first,
        made_by_us=facts.resolved_path in made,
        policy=parts.policy,
        is_ours=parts.is_ours,
        our_directories=made,
    )
    covered = find_covered(facts, table, is_ours=parts.is_ours, our_directories=made)
    return Place(facts.resolved_path, covered)


def refuse_stacking(prepared: Prepared, *, parts: Parts) -> None:
    """
    Refuse a place on which anything is mounted, ours or not, or where a mount would hide another.

    Raises:
        OccupiedError: naming what is there.
    """
    table = parts.table.refresh()
    refuse = f"cannot mount share {prepared.share.id!r} at {prepared.path!r}"
    there = table.at(prepared.path)
    if there:
        raise OccupiedError(f"{refuse}: {there[-1].source!r} is still mounted there")
    hidden = [entry.mount_point for entry in table.below(prepared.path) if table.is_visible(entry)]
    if hidden:
        raise OccupiedError(f"{refuse}: it would hide what is mounted at {hidden[0]!r}", detail="\n".join(hidden))


async def _check_sources(driver: Driver, resolved: ShareMount, parts: Parts) -> Mapping[str, str]:
    sources = {}
    for source in driver.source_paths(resolved):
        facts = await parts.walker.inspect(source, parts.policy.source_roots)
        decide_source(source, facts, policy=parts.policy)
        sources[source] = facts.resolved_path
    return sources
