"""The catalog as operators see it: shares, classes and one share's card. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from controlplane.cli.output import Column, Row, format_value
from weft.wire.share import redacted_block, redacted_share, share_to_builtins

if TYPE_CHECKING:
    from controlplane.history import Edition
    from controlplane.records import RemoteRecord, ShareRecord

SHARE_COLUMNS = (
    Column("ID"),
    Column("BACKEND"),
    Column("MOUNT POINT"),
    Column("TARGETS"),
    Column("ENABLED"),
    Column("EXPIRES", is_wide=True),
    Column("PRIORITY", is_wide=True),
    Column("MODE", is_wide=True),
    Column("OWNER", is_wide=True),
    Column("TENANT", is_wide=True),
    Column("LABELS", is_wide=True),
    Column("UPDATED", is_wide=True),
    Column("BY", is_wide=True),
)
EDITION_COLUMNS = (
    Column("EDITION"),
    Column("STORED"),
    Column("BY"),
    Column("TARGETS", is_wide=True),
    Column("CHANGED"),
)
REMOTE_COLUMNS = (
    Column("REMOTE"),
    Column("BACKEND"),
    Column("TYPE"),
    Column("SHARES"),
    Column("USED BY", is_wide=True),
    Column("UPDATED", is_wide=True),
    Column("BY", is_wide=True),
    Column("DESCRIPTION", is_wide=True),
)
CLASS_COLUMNS = (Column("CLASS"), Column("VMS"), Column("MEMBERS", is_wide=True))


def share_row(record: ShareRecord, *, now: datetime) -> Row:
    """Build the line of one share, seen at *now*; secrets never stand in it."""
    share = record.share
    return Row(
        name=share.id,
        cells=(
            share.id,
            share.backend_name,
            share.mount_point,
            targets_text(record),
            _enabled_text(record, now),
            _instant(share.expires_at),
            str(share.priority),
            "ro" if share.readonly else "rw",
            record.owner,
            record.tenant,
            format_value(record.labels),
            _instant(record.updated_at),
            record.updated_by,
        ),
        record=share_card(record, show_secrets=False),
    )


def _enabled_text(record: ShareRecord, now: datetime) -> str:
    """Say whether guests have a share: all its VMs, only those that its rollout has reached, or none any more."""
    if not record.enabled:
        return "no"
    if record.share.expires_at is not None and record.share.expires_at <= now:
        return "expired"
    return "in waves" if record.open_rollout is not None else "yes"


def targets_text(record: ShareRecord) -> str:
    """Say who should have a share: ``class algebra, vm-7, not vm-3``."""
    targets = record.targets
    return ", ".join(
        [
            *(f"class {name}" for name in targets.classes),
            *targets.vms,
            *(f"not {vm}" for vm in targets.excepted),
        ]
    )


def share_card(record: ShareRecord, *, show_secrets: bool) -> dict[str, Any]:
    """Turn everything about a share into plain values, secrets replaced unless *show_secrets*."""
    share = record.share
    return {
        "share": share_to_builtins(share) if show_secrets else redacted_share(share),
        "remote": record.remote,
        "targets": {
            "classes": list(record.targets.classes),
            "vms": list(record.targets.vms),
            "except": list(record.targets.excepted),
        },
        "enabled": record.enabled,
        "rollout": _rollout_card(record),
        "owner": record.owner,
        "tenant": record.tenant,
        "description": record.description,
        "labels": dict(record.labels),
        "created_at": _instant(record.created_at),
        "created_by": record.created_by,
        "updated_at": _instant(record.updated_at),
        "updated_by": record.updated_by,
    }


def _rollout_card(record: ShareRecord) -> dict[str, Any]:
    """Turn a rollout into plain values, without the edition before it: 'weft history' has that."""
    rollout = record.rollout
    if rollout is None:
        return {}
    return {
        "state": rollout.state.value,
        "waves": list(rollout.waves),
        "canary": rollout.canary,
        "max_failed": rollout.max_failed,
        "step": rollout.step + 1,
        "problem": rollout.problem,
        "started_at": _instant(rollout.started_at),
        "started_by": rollout.started_by,
    }


def edition_row(edition: Edition, *, show_secrets: bool = False) -> Row:
    """Build the line of one edition."""
    record = edition.record
    stored = datetime.fromtimestamp(edition.at_s, UTC).isoformat(timespec="seconds")
    what = edition.problem or ("ended" if record is None else ", ".join(edition.changed))
    return Row(
        name=str(edition.number),
        cells=(str(edition.number), stored, edition.who, targets_text(record) if record is not None else "", what),
        record={
            "edition": edition.number,
            "stored_at": stored,
            "by": edition.who,
            "changed": list(edition.changed),
            "problem": edition.problem,
            **({} if record is None else share_card(record, show_secrets=show_secrets)),
        },
    )


def remote_row(name: str, record: RemoteRecord, users: Sequence[str]) -> Row:
    """Build the line of one remote; secrets never stand in it."""
    return Row(
        name=name,
        cells=(
            name,
            record.backend,
            str(record.block.get("type", "")),
            str(len(users)),
            ", ".join(users),
            _instant(record.updated_at),
            record.updated_by,
            record.description,
        ),
        record={"name": name, **remote_card(record, show_secrets=False), "shares": list(users)},
    )


def remote_card(record: RemoteRecord, *, show_secrets: bool) -> dict[str, Any]:
    """Turn everything about a remote into plain values, secrets replaced unless *show_secrets*."""
    return {
        "backend": record.backend,
        record.backend: dict(record.block) if show_secrets else redacted_block(record.backend, record.block),
        "description": record.description,
        "created_at": _instant(record.created_at),
        "created_by": record.created_by,
        "updated_at": _instant(record.updated_at),
        "updated_by": record.updated_by,
    }


def class_row(name: str, members: Sequence[str]) -> Row:
    """Build the line of one class."""
    return Row(name, (name, str(len(members)), ", ".join(members)), {"class": name, "vms": list(members)})


def without_nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing: empty texts, lists and maps."""
    kept = {key: without_nothing(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    return {key: value for key, value in kept.items() if value not in ("", None, [], {})}


def _instant(value: Any) -> str:
    return value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else str(value or "")
