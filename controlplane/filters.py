"""Which shares an operator is looking for (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from controlplane.projection import VM_PLACEHOLDER, Members, targeted
from controlplane.records import ShareRecord
from weft.wire.ids import ClassName, VmId
from weft.wire.paths import MountPoint


@dataclass(frozen=True, slots=True)
class ShareFilter:
    """
    What shares must have in common; what is empty does not matter.

    Attributes:
        owner: Their owner.
        tenant: Their tenant.
        classes: They are for one of these classes.
        vms: They are for one of these VMs, by name or by class; also while disabled.
        labels: They have all these labels; an empty value stands for any.
        backend: Their backend.
        at: They are mounted here or below.
        remote: The remote that completes them.
    """

    owner: str = ""
    tenant: str = ""
    classes: tuple[ClassName, ...] = ()
    vms: tuple[VmId, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    backend: str = ""
    at: MountPoint | None = None
    remote: str = ""

    @property
    def needs_members(self) -> bool:
        """Whether it must be known who is in a class."""
        return bool(self.vms)

    def matches(self, record: ShareRecord, members: Members) -> bool:
        """
        Say whether *record* is looked for.

        Args:
            record: The share.
            members: VMs of its classes; only where :attr:`needs_members`.
        """
        wanted = ((self.owner, record.owner), (self.tenant, record.tenant), (self.remote, record.remote))
        return (
            all(not want or want == have for want, have in wanted)
            and (not self.backend or self.backend == record.share.backend_name)
            and (not self.classes or not set(self.classes).isdisjoint(record.targets.classes))
            and all(name in record.labels and value in ("", record.labels[name]) for name, value in self.labels.items())
            and (self.at is None or is_at_or_below(record.share.mount_point, self.at))
            and (not self.vms or not _everybody(record, members).isdisjoint(self.vms))
        )


def _everybody(record: ShareRecord, members: Members) -> frozenset[VmId]:
    return targeted(msgspec.structs.replace(record, enabled=True), members)


def is_at_or_below(mount_point: str, path: str) -> bool:
    """Say whether *mount_point*, in which ``{vm}`` stands for any VM, is *path* or below it."""
    if path == "/":
        return True
    have, want = mount_point.split("/"), path.split("/")
    return len(have) >= len(want) and all(map(_is_like, have, want))


def _is_like(have: str, want: str) -> bool:
    pattern = re.escape(have).replace(re.escape(VM_PLACEHOLDER), "[A-Za-z0-9][A-Za-z0-9_-]*")
    return have == want or re.fullmatch(pattern, want) is not None
