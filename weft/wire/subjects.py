"""Every subject, stream and bucket name of the contract, in one place."""

from __future__ import annotations

from weft.wire.ids import ClassName, RemoteName, ShareId, VmId, parse_vm_id

MOUNTS_STREAM = "weft-mounts"
STATUS_STREAM = "weft-status"
EVENTS_STREAM = "weft-events"
GUEST_EVENTS_STREAM = "weft-guest-events"
CATALOG_BUCKET = "weft-catalog"
CATALOG_STREAM = f"KV_{CATALOG_BUCKET}"

MOUNTS_PREFIX = "weft.mounts."
LIVE_PREFIX = "weft.live."
STATUS_PREFIX = "weft.status."
INBOX_PREFIX = "_INBOX_"
OPERATOR_INBOX_PREFIX = "_INBOX."
"""An operator's own inbox is below it: wherever permissions are ordinary, that is allowed too."""
IMPORTED_API = "weft.api."
"""JetStream's API as operators and observers import it: a server answers ``$JS.API.`` in every account itself."""
MOUNTS_ALL = MOUNTS_PREFIX + "*"
STATUS_ALL = STATUS_PREFIX + "*"
EVENTS_PREFIX = "weft.events."
EVENTS_ALL = EVENTS_PREFIX + ">"
EVENTS_VM_PREFIX = "weft.events.vm."
EVENTS_VM_ALL = EVENTS_VM_PREFIX + "*.>"
EVENTS_OPERATOR_PREFIX = "weft.events.op."
EVENTS_OPERATOR_ALL = EVENTS_OPERATOR_PREFIX + ">"
LIVE_TEMPLATE = LIVE_PREFIX + "{{wildcard(1)}}"
"""Republish destination: the server fills in the VM id."""
CATALOG_PREFIX = f"$KV.{CATALOG_BUCKET}."
REPEATED_STATUS_PREFIX = "weft.repeated.status."
REPEATED_EVENTS_PREFIX = "weft.repeated.events."
REPEATED_CATALOG_PREFIX = "weft.repeated.catalog."
"""Where the broker repeats what a stream stored: what one account sends to a second crosses into no third."""


def subject(vm: str) -> str:
    """
    Name the subject that carries the desired state of *vm*.

    Raises:
        SubjectError: *vm* is not one subject token.
    """
    return MOUNTS_PREFIX + parse_vm_id(vm)


def live_subject(vm: VmId) -> str:
    """Name the subject on which the broker repeats each stored desired state of *vm*."""
    return LIVE_PREFIX + vm


def status_subject(vm: VmId) -> str:
    """Name the subject on which the guest *vm* reports its actual state."""
    return STATUS_PREFIX + vm


def inbox_prefix(vm: VmId) -> str:
    """Name where answers to the guest *vm* arrive: its credentials allow it to subscribe to no other inbox."""
    return INBOX_PREFIX + vm


def event_subject(vm: VmId, family: str) -> str:
    """Name the audit subject for one state change in *vm*; *family* is ``noun.past_participle``."""
    return f"{EVENTS_VM_PREFIX}{vm}.{family}"


def vm_events(vm: VmId) -> str:
    """Name every audit subject of *vm*."""
    return f"{EVENTS_VM_PREFIX}{vm}.>"


def operator_event_subject(action: str, name: str = "") -> str:
    """
    Name the audit subject for an operator's *action*.

    Args:
        action: What was done.
        name: The operator, where credentials allow it to write below its own name only; empty where nobody checks.
    """
    return f"{EVENTS_OPERATOR_PREFIX}{name}.{action}" if name else EVENTS_OPERATOR_PREFIX + action


def event_vm(text: str) -> tuple[VmId | None, str]:
    """
    Take an audit subject apart.

    Returns:
        The VM, None for an operator's act, and what happened, with the operator's name before it where it was checked.

    Raises:
        SubjectError: it is no audit subject of a VM id.
    """
    if text.startswith(EVENTS_OPERATOR_PREFIX):
        return None, text.removeprefix(EVENTS_OPERATOR_PREFIX)
    vm, _, family = text.removeprefix(EVENTS_VM_PREFIX).partition(".")
    return parse_vm_id(vm), family


def vm_of_subject(text: str) -> VmId:
    """
    Take the VM id out of a mounts, live or status subject.

    Raises:
        SubjectError: the last token is not a VM id.
    """
    return parse_vm_id(text.rsplit(".", 1)[-1])


def share_key(share_id: ShareId) -> str:
    """Name the catalog key of a share record."""
    return f"share.{share_id}"


def class_key(name: ClassName) -> str:
    """Name the catalog key of a class."""
    return f"class.{name}"


def member_key(name: ClassName, vm: VmId) -> str:
    """Name the catalog key of one membership."""
    return f"member.{name}.{vm}"


def remote_key(name: RemoteName) -> str:
    """Name the catalog key of a remote."""
    return f"remote.{name}"


def vm_key(vm: VmId) -> str:
    """Name the catalog key of a VM record."""
    return f"vm.{vm}"
