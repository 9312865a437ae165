"""What was heard of each VM (pure): its kept reports, the newest decoded, and whether two guests take turns in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from controlplane.report_bounds import LARGEST_BYTES, PLAIN_BYTES, SHORT, cut_texts
from controlplane.stored import StoredMessage
from weft.errors import DecodeError
from weft.wire.ids import VmId
from weft.wire.status import MISSED_HEARTBEATS_TO_STALE, VmStatus, decode_status

ASSUMED_HEARTBEAT_S = 60.0
"""For a guest that does not say how often it reports."""
LONGEST_HEARTBEAT_S = 3600.0
"""Whatever a guest says: its silence is seen within three hours."""
REMEMBERED = 4
"""Boot ids: two guests that take turns show after three reports; a reboot in between needs one more."""


class _Boot(msgspec.Struct):
    boot_id: str = ""


_BOOTS = msgspec.json.Decoder(_Boot)
_STATUSES = msgspec.json.Decoder(VmStatus)


@dataclass(frozen=True)
class Heard:
    """
    The reports of one VM.

    Attributes:
        reports: As they were sent, the newest first.
        reported_at_s: When the broker got it, as a Unix time.
        boot_ids: Of the kept reports, oldest first, each once per turn.
    """

    reports: tuple[bytes, ...] = field(repr=False)
    reported_at_s: float
    boot_ids: tuple[str, ...] = ()

    @cached_property
    def status(self) -> VmStatus | None:
        """The newest report that can be read, None where none can."""
        return next((status for data in self.reports if (status := parse_status(data)) is not None), None)

    @property
    def claimants(self) -> tuple[str, ...]:
        """The boot ids of guests that take turns under this id; empty for one guest, rebooted or not."""
        return tuple(sorted(set(self.boot_ids))) if takes_turns(self.boot_ids) else ()

    def followed_by(self, data: bytes, reported_at_s: float) -> Heard:
        """Return what is heard after one more report."""
        return Heard((data, self.reports[0]), reported_at_s, with_turn(self.boot_ids, parse_boot_id(data)))


def build_heard(messages: Sequence[StoredMessage]) -> Heard:
    """
    Put the kept reports of one VM together.

    Args:
        messages: At least one, oldest first.
    """
    boot_ids: tuple[str, ...] = ()
    for message in messages:
        boot_ids = with_turn(boot_ids, parse_boot_id(message.data))
    return Heard(tuple(message.data for message in reversed(messages)), messages[-1].stored_at_s, boot_ids)


def with_turn(boot_ids: tuple[str, ...], boot_id: str) -> tuple[str, ...]:
    """Append *boot_id* where it is another one's turn; only the last few are remembered."""
    if not boot_id or (boot_ids and boot_ids[-1] == boot_id):
        return boot_ids
    return (*boot_ids, boot_id)[-REMEMBERED:]


def takes_turns(boot_ids: Sequence[str]) -> bool:
    """Say whether a boot id comes back after another one, which no reboot does."""
    changes = [boot_id for index, boot_id in enumerate(boot_ids) if index == 0 or boot_ids[index - 1] != boot_id]
    return len(changes) > len(set(changes))


def describe_claim(vm: VmId, claimants: Iterable[str]) -> str:
    """Say that several guests report under one id, and how to tell them apart."""
    return f"two guests claim {vm}: boot ids {', '.join(claimants)}"


def is_stale(status: VmStatus, age_s: float) -> bool:
    """Say whether a guest that reported *age_s* ago missed its heartbeats."""
    heartbeat_s = min(status.heartbeat_s or ASSUMED_HEARTBEAT_S, LONGEST_HEARTBEAT_S)
    return age_s > MISSED_HEARTBEATS_TO_STALE * heartbeat_s


def parse_status(data: bytes) -> VmStatus | None:
    """
    Read a report, None where it cannot be read: one broken guest must not hide the others.

    What this version does not know is left out, which makes ten thousand of them readable in a tenth of a second. So
    are the ends of texts that are longer than an agent's.
    """
    if len(data) > LARGEST_BYTES:
        return None
    try:
        status = _STATUSES.decode(data)
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        # A null for an absent field, as a guest in Go writes it, is read the slow way.
        try:
            status = decode_status(data)
        except (DecodeError, RecursionError):
            return None
    return cut_texts(status) if len(data) > PLAIN_BYTES else status


def parse_boot_id(data: bytes) -> str:
    """Read the boot id of a report, empty where there is none."""
    if len(data) > LARGEST_BYTES:
        return ""
    try:
        return _BOOTS.decode(data).boot_id[:SHORT]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
