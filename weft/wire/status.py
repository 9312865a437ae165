"""What a guest reports: its actual state, one message per VM."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated

import msgspec

from weft.errors import DecodeError, ErrorCode
from weft.wire.codec import decode_object
from weft.wire.fields import Change, declare
from weft.wire.tolerant import Tolerant, from_builtins, to_builtins

MISSED_HEARTBEATS_TO_STALE = 3
MAX_STATUS_BYTES = 1 << 20
"""What one report may take: about 2,500 shares that all fail, each with a sentence of why."""


class ShareState(enum.StrEnum):
    """Where a share stands in one guest."""

    PENDING = "pending"
    MOUNTING = "mounting"
    MOUNTED = "mounted"
    DEGRADED = "degraded"
    BACKOFF = "backoff"
    FAILED = "failed"
    DRAINING = "draining"
    UNMOUNTING = "unmounting"
    HELD = "held"
    SHADOWED = "shadowed"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Mode(enum.StrEnum):
    """How the guest hears the control plane."""

    JETSTREAM = "jetstream"
    CORE = "core"
    OFFLINE = "offline"


def _says(text: str) -> msgspec.Meta:
    return declare(text, change=Change.NONE)


class ShareError(Tolerant, frozen=True, kw_only=True):
    """Why a share is not as it should be."""

    code: Annotated[ErrorCode, _says("Kind of failure.")]
    message: Annotated[str, _says("One sentence, without secrets.")]
    detail: Annotated[str, _says("The client's last lines, or the holders of a busy mount.")] = ""
    retry_at: Annotated[datetime | None, _says("When it is tried again; absent when it waits for a change.")] = None


class ShareStatus(Tolerant, frozen=True, kw_only=True):
    """One share in one guest."""

    id: Annotated[str, _says("The share; empty where a rejected element's id could not be read.")]
    mount_point: Annotated[str, _says("Where it is, or should be.")] = ""
    backend: Annotated[str, _says("Its driver.")] = ""
    digest: Annotated[str, _says("Digest of what is mounted; empty where nothing is.")] = ""
    state: Annotated[ShareState, _says("Where it stands.")]
    since: Annotated[datetime | None, _says("Since when it is in this state.")] = None
    attempts: Annotated[int, _says("Tries since it was last mounted or changed.")] = 0
    error: Annotated[ShareError | None, _says("Why, where it is not as it should be.")] = None


class AgentInfo(Tolerant, frozen=True, kw_only=True):
    """The agent that reports."""

    version: Annotated[str, _says("Version of weft.")] = ""
    started_at: Annotated[datetime | None, _says("When it started.")] = None
    backends: Annotated[dict[str, str | None], _says("Backends it can mount, with the client's version.")] = {}  # noqa: RUF012


class VmStatus(Tolerant, frozen=True, kw_only=True):
    """
    Everything a guest says about itself.

    ``revision`` is the newest revision the guest has seen in the stream, ``held_revision`` the one it obeys; they
    differ while the newest was refused, and ``problem`` then says why.
    """

    vm: Annotated[str, _says("The VM's id.")]
    hostname: Annotated[str, _says("The guest's own host name.")] = ""
    revision: Annotated[int, _says("Newest revision seen in the stream, 0 for none.")] = 0
    held_revision: Annotated[int, _says("Revision of the desired state that is held.")] = 0
    boot_id: Annotated[str, _says("The kernel's boot id; two taking turns are two guests with one VM id.")] = ""
    heartbeat_s: Annotated[float, _says("Longest time between two reports, in seconds.")] = 0.0
    agent: Annotated[AgentInfo | None, _says("The agent that reports.")] = None
    mode: Annotated[Mode, _says("How the guest hears the control plane.")] = Mode.OFFLINE
    problem: Annotated[ShareError | None, _says("Why the newest message is not obeyed.")] = None
    remarks: Annotated[
        tuple[str, ...], _says("What a person should look at on the guest: damaged files that were set aside.")
    ] = ()
    shares: Annotated[tuple[ShareStatus, ...], _says("Every share it knows, by mount point.")] = ()
    reported_at: Annotated[datetime | None, _says("When, by the guest's clock.")] = None


def decode_status(data: bytes) -> VmStatus:
    """
    Read a status message.

    Raises:
        DecodeError: not JSON, or not a status.
    """
    obj = decode_object(data, what="status")
    if "vm" not in obj:
        raise DecodeError("cannot decode status: vm is missing", field="vm")
    return from_builtins(VmStatus, obj, what="status")


def encode_status(status: VmStatus) -> bytes:
    """Write a status message as compact JSON; ``shares`` always stands."""
    values = to_builtins(status)
    values.setdefault("shares", [])
    return msgspec.json.encode(values)


_CUT = 80


def in_short(status: VmStatus) -> VmStatus:
    """Keep of each share what tells whether it is as it should be: so a thousand long ids and errors fit a message."""
    shares = tuple(
        msgspec.structs.replace(
            share,
            mount_point="",
            backend=share.backend[:_CUT],
            since=None,
            error=msgspec.structs.replace(share.error, detail="", message=share.error.message[:_CUT])
            if share.error
            else None,
        )
        for share in status.shares
    )
    return msgspec.structs.replace(status, shares=shares)


def without_details(status: VmStatus) -> VmStatus:
    """Leave out what errors have beyond their sentence: of hundreds of failing shares it exceeds any message."""
    shares = tuple(
        msgspec.structs.replace(share, error=msgspec.structs.replace(share.error, detail="")) if share.error else share
        for share in status.shares
    )
    return msgspec.structs.replace(status, shares=shares)
