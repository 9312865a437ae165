"""Shares that end by themselves (pure): the time an operator means, and what may leave the catalog."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from controlplane.decide import Intent
from controlplane.edits import Change
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot, Edit, ShareRecord
from weft.errors import ConfigError
from weft.wire.subjects import share_key

KEPT_S = 86_400.0
"""How long an expired share stays in the catalog, to be seen, or to be given more time."""
_LENGTH = re.compile(r"^(\d+(?:\.\d+)?)(s|m|h|d|w)\Z")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def parse_expiry(text: str, now: datetime) -> datetime | None:
    """
    Read when a share ends: ``2h``, ``2026-07-01``, ``2026-07-01T12:00``, or ``never``.

    Args:
        text: A length of time, or a time; one without a zone is in the zone of *now*, a date means its beginning.
        now: The operator's clock, with its zone.

    Returns:
        The time in UTC, in whole seconds; None for never.

    Raises:
        ConfigError: It is none of these, or over already.
    """
    if text == "never":
        return None
    length = _LENGTH.match(text)
    try:
        if length is not None:
            at = now + timedelta(seconds=float(length[1]) * _UNITS_S[length[2]])
        else:
            at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        raise ConfigError(
            [f"cannot use expiry {text!r}: expected a length of time such as 2h or 30d, a time, or never"]
        ) from exc
    if at.tzinfo is None:
        at = at.replace(tzinfo=now.tzinfo)
    if at <= now:
        raise ConfigError([f"cannot use expiry {text!r}: it is over already"])
    return at.astimezone(UTC).replace(microsecond=0)


def dropped_at(record: ShareRecord, *, kept_s: float = KEPT_S) -> datetime | None:
    """Say when *record* may leave the catalog, None for never."""
    ends = [edition.share.expires_at for edition in record.editions]
    known = [at for at in ends if at is not None]
    return max(known) + timedelta(seconds=kept_s) if known and len(known) == len(ends) else None


def next_drop(snapshot: CatalogSnapshot, *, kept_s: float = KEPT_S) -> datetime | None:
    """Say when the first share may leave the catalog, None where none ever expires."""
    times = (dropped_at(record, kept_s=kept_s) for record in snapshot.shares.values())
    return min((at for at in times if at is not None), default=None)


def build_drop_expired(snapshot: CatalogSnapshot, members: Members, now: datetime, *, kept_s: float = KEPT_S) -> Change:
    """
    Drop shares from the catalog that have been over for *kept_s* seconds; history can bring them back.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use.
        now: The broker's clock: an operator's may be wrong by days, and would end what nobody wants ended.
        kept_s: Also covers guests whose clocks are behind.
    """
    dropped = [
        record
        for record in snapshot.shares.values()
        if (at := dropped_at(record, kept_s=kept_s)) is not None and at <= now
    ]
    ids = tuple(record.share_id for record in dropped)
    edits = tuple(Edit(key, None, snapshot.editions.get(key, 0)) for key in map(share_key, ids))
    affected = frozenset().union(*(receivers(record, members) for record in dropped))
    return Change("share.expire", ids, edits, affected, Intent(frozenset(ids)), is_repeatable=True)
