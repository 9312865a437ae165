"""Every error weft raises on purpose, as one tree; an error's type, never its text, decides what happens next."""

from __future__ import annotations

import enum
from collections.abc import Sequence


class ErrorCode(enum.StrEnum):
    """Why a share is not mounted, in the operator's words (the status wire format)."""

    BAD_SPEC = "bad_spec"
    DENIED = "denied"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    HUNG = "hung"
    BUSY = "busy"
    OCCUPIED = "occupied"
    NO_SPACE = "no_space"
    HELPER_MISSING = "helper_missing"
    FUSE_MISSING = "fuse_missing"
    EXITED = "exited"
    CONFLICT = "conflict"
    INTERNAL = "internal"


PERMANENT_CODES = frozenset({ErrorCode.BAD_SPEC, ErrorCode.DENIED, ErrorCode.AUTH, ErrorCode.HELPER_MISSING})
"""Codes that only a changed spec, a changed guest or ``weft-agent retry`` can mend; all others are tried again."""


class WeftError(Exception):
    """Root of weft's errors; ``str()`` is one clear sentence without secrets."""


# --- what arrived is not what the contract says: report, never apply ---------------------------------------------


class ContractError(WeftError):
    """Something on the wire, or about to go there, breaks the contract."""


class DecodeError(ContractError):
    """
    A message, or one share in it, cannot be decoded.

    Args:
        reason: The sentence, naming field and value; secrets are already left out.
        field: Dotted path of the offending field, ``""`` where the whole text is at fault.
        share_id: The id of the share it concerns, as far as it could be read.
    """

    def __init__(self, reason: str, *, field: str = "", share_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.share_id = share_id


class TooManySharesError(DecodeError):
    """A list has more shares than the guest takes; it was counted, and not read."""

    def __init__(self, vm: str, revision: int, count: int, limit: int) -> None:
        super().__init__(
            f"cannot accept revision {revision}: it has {count} shares, and this guest takes {limit}; "
            "publish fewer, or raise max_shares in its /etc/weft/agent.toml",
            field="shares",
        )
        self.vm = vm
        self.revision = revision


class SubjectError(ContractError):
    """A VM id, class name, remote name or share id is not one safe subject token."""

    def __init__(self, what: str, value: object) -> None:
        super().__init__(
            f"cannot use {value!r} as {what}: it must start with a letter or digit and hold only "
            "letters, digits, '-' and '_' (at most 128 characters)"
        )
        self.what = what
        self.value = value


# --- desired state ------------------------------------------------------------------------------------------------


class DesiredError(WeftError):
    """An arriving state does not follow the one that is held."""


class StaleRevisionError(DesiredError):
    """The message is older than what is held."""

    def __init__(self, revision: int, held_revision: int) -> None:
        super().__init__(f"cannot accept revision {revision}: revision {held_revision} is held")
        self.revision = revision
        self.held_revision = held_revision


class RevisionConflictError(DesiredError):
    """The same revision arrived with other content."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"cannot accept revision {revision}: it is held with other content")
        self.revision = revision


# --- mounting -----------------------------------------------------------------------------------------------------


class MountError(WeftError):
    """
    A share cannot be mounted or unmounted.

    Args:
        message: One sentence, lower case, "cannot <verb> <object>: why".
        code: What the operator's status shows.
        detail: The client's last lines, redacted, or the holders of a busy mount; may be several lines.
        is_permanent: Whether trying again is pointless; taken from the code unless given.

    Attributes:
        keeps_old: Whether the share's earlier mount still stands, and is not to be replaced for this: it is degraded,
            not failed.
    """

    code = ErrorCode.INTERNAL
    keeps_old = False

    def __init__(
        self, message: str, *, code: ErrorCode | None = None, detail: str = "", is_permanent: bool | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else type(self).code
        self.detail = detail
        self.is_permanent = self.code in PERMANENT_CODES if is_permanent is None else is_permanent


class MountTimeoutError(MountError):
    """The mount was not up by its deadline; everything it began was undone."""

    code = ErrorCode.TIMEOUT


class BusyError(MountError):
    """Somebody holds the mount; ``detail`` names pids, commands and paths."""

    code = ErrorCode.BUSY


class OccupiedError(MountError):
    """The mount point is somebody else's mount, a file, or a directory with entries (named in ``detail``)."""

    code = ErrorCode.OCCUPIED


class DeniedError(MountError):
    """The guest's policy refuses this mount point, source, option or credential."""

    code = ErrorCode.DENIED


class UnmountError(MountError):
    """The mount could not be taken away."""

    code = ErrorCode.BUSY


class NotMountedError(MountError):
    """Nothing is mounted where something was expected to be."""

    code = ErrorCode.NOT_FOUND


class HungError(MountError):
    """A call that walks into a mount gave no answer by its deadline and was abandoned."""

    code = ErrorCode.HUNG


class PathError(MountError):
    """
    The kernel refused a call on a path.

    Args:
        message: One sentence, naming the path.
        errno: The kernel's reason, for whoever classifies it further.
    """

    def __init__(
        self, message: str, *, errno: int, code: ErrorCode | None = None, detail: str = "", is_permanent: bool = False
    ) -> None:
        super().__init__(message, code=code, detail=detail, is_permanent=is_permanent)
        self.errno = errno


class ProcessError(MountError):
    """A client process could not be started or ended early."""

    code = ErrorCode.EXITED


class CommandNotFoundError(ProcessError):
    """A helper program is not installed; the text names it and its package."""

    code = ErrorCode.HELPER_MISSING


class ExitedEarlyError(ProcessError):
    """A client ended before its mount was up; *exit_code* is negative for a signal."""

    def __init__(self, message: str, *, exit_code: int, code: ErrorCode | None = None, detail: str = "") -> None:
        super().__init__(message, code=code, detail=detail)
        self.exit_code = exit_code


# --- the ledger ---------------------------------------------------------------------------------------------------


class LedgerError(WeftError):
    """The ledger cannot be read or written."""


class LedgerCorruptError(LedgerError):
    """The ledger's text is damaged; it is set aside and the stream is the source."""


class LedgerTooNewError(LedgerError):
    """A newer agent wrote the ledger; this one refuses to guess."""


# --- the broker ---------------------------------------------------------------------------------------------------


class BrokerError(WeftError):
    """The broker, or something in it, does not do what was asked."""


class BrokerUnreachableError(BrokerError):
    """No answer from the broker in time."""


class NoLeaderError(BrokerUnreachableError):
    """The broker's cluster has no leader at the moment, or this node does not know it yet."""


class BrokerDeniedError(BrokerError):
    """The broker refuses these credentials, or this subject to these credentials."""


class NoRespondersError(BrokerError):
    """Nobody listens on the subject that was asked: no such service, stream or JetStream there."""


class NoJetStreamError(BrokerError):
    """The broker, or the account, has no JetStream."""


class StreamMissingError(BrokerError):
    """A stream or bucket is not there; ``weft init`` makes it."""


class StreamSettingsError(BrokerError):
    """
    A stream exists with settings that cannot be changed in place.

    Args:
        stream: Its name.
        field: The setting, as the broker names it.
        have: Its value.
        want: The value it must have.
    """

    def __init__(self, stream: str, field: str, *, have: object, want: object) -> None:
        super().__init__(
            f"cannot use stream {stream!r}: its {field} is {have!r}, not {want!r}, and cannot be changed in place"
        )
        self.stream = stream
        self.field = field
        self.have = have
        self.want = want


class StreamFullError(BrokerError):
    """The stream refuses more messages."""


class PayloadTooLargeError(BrokerError):
    """A message is larger than the broker's ``max_payload``."""


# --- the catalog --------------------------------------------------------------------------------------------------


class CatalogError(WeftError):
    """The catalog cannot answer or cannot be changed this way."""


class UnknownNameError(CatalogError):
    """
    No such share, class, remote or VM.

    Args:
        what: ``"share"``, ``"class"``, ``"remote"`` or ``"VM"``.
        name: What was asked for.
        nearest: Known names that look alike, best first.
    """

    def __init__(self, what: str, name: str, nearest: Sequence[str] = ()) -> None:
        hint = f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
        super().__init__(f"cannot find {what} {name!r}{hint}")
        self.what = what
        self.name = name
        self.nearest = tuple(nearest)


class CatalogConflictError(CatalogError):
    """
    Somebody else changed the entry meanwhile; nothing was overwritten.

    Args:
        what: What could not be changed.
        keys: The catalog's entries.
        who: Who changed it, ``""`` where it does not say.
        at: When, RFC 3339, ``""`` where it does not say.
    """

    def __init__(self, what: str, *, keys: Sequence[str] = (), who: str = "", at: str = "") -> None:
        did = f"{who or 'somebody else'} did meanwhile" + (f", at {at[:19].replace('T', ' ')} UTC" if at else "")
        super().__init__(f"cannot change {what}: {did} (look, and try again)")
        self.keys = tuple(keys)
        self.who = who
        self.at = at


class CatalogBehindError(CatalogError):
    """
    The stream knows more than this catalog, or another catalog: publishing would take shares away by absence.

    Args:
        message: The sentence.
        may_catch_up: Whether it is the right catalog, which may only have been read from a server that lags.
    """

    def __init__(self, message: str, *, may_catch_up: bool = False) -> None:
        super().__init__(message)
        self.may_catch_up = may_catch_up


class ConfirmationNeededError(CatalogError):
    """
    The change would take shares that it does not name from many VMs; nothing was done.

    Args:
        vms: The VMs that would lose something.
        share_ids: What they would lose.
        total: How many VMs are known.
    """

    def __init__(self, vms: Sequence[str], share_ids: Sequence[str], *, total: int) -> None:
        shown = ", ".join(share_ids[:5]) + (" …" if len(share_ids) > 5 else "")
        super().__init__(
            f"cannot do this unasked: it would also take shares ({shown}) from {len(vms)} of {total} VMs"
            " (confirm with --yes)"
        )
        self.vms = tuple(vms)
        self.share_ids = tuple(share_ids)
        self.total = total


class RosterError(CatalogError):
    """A roster is missing, failing or empty where it must not be."""


# --- the rest -----------------------------------------------------------------------------------------------------


class NotConvergedError(WeftError):
    """Not every VM has what was published; the outcome names them."""


class ConfigError(WeftError):
    """
    Configuration is wrong.

    Args:
        problems: Every problem found, each one sentence with its field path.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
