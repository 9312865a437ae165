"""What can happen to a fleet."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import assert_never

from tests.chaos.model import Share


class Document(enum.StrEnum):
    """A file of the agent's ledger."""

    DESIRED = "ledger.json"
    LIVE = "live.json"


class Damage(enum.StrEnum):
    """What becomes of it."""

    CUT = "cut"
    EMPTY = "empty"
    NOISE = "noise"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Publish:
    """An operator creates, changes or repeats a share."""

    share: Share


@dataclass(frozen=True, slots=True)
class Unpublish:
    """An operator ends a share."""

    name: str


@dataclass(frozen=True, slots=True)
class SetClass:
    """An operator changes who is in a class."""

    name: str
    vms: frozenset[str]


@dataclass(frozen=True, slots=True)
class Write:
    """A user of a guest writes a file into a share and closes it."""

    vm: str
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class EndAgent:
    """The agent is killed, or told to end."""

    vm: str
    is_killed: bool


@dataclass(frozen=True, slots=True)
class StartAgent:
    """It is started again."""

    vm: str


@dataclass(frozen=True, slots=True)
class DamageLedger:
    """While it is down, its memory suffers."""

    vm: str
    document: Document
    damage: Damage


@dataclass(frozen=True, slots=True)
class KillClient:
    """A client crashes."""

    vm: str
    name: str


@dataclass(frozen=True, slots=True)
class StopClient:
    """A client is stopped; for good, or only for a moment."""

    vm: str
    name: str
    is_for_good: bool


@dataclass(frozen=True, slots=True)
class UnmountBehind:
    """Somebody else unmounts a share."""

    vm: str
    name: str


class Outage(enum.StrEnum):
    """Something outside the guests is away until the storm is over."""

    S3_SILENT = "the S3 server does not answer"
    CUBEFS_SILENT = "the CubeFS volumes do not answer"
    MASTERS_AWAY = "the CubeFS masters refuse connections"
    BROKER_KILLED = "the broker is killed"
    BROKER_SILENT = "the broker does not answer"


@dataclass(frozen=True, slots=True)
class Begin:
    """An outage begins."""

    outage: Outage


@dataclass(frozen=True, slots=True)
class End:
    """An outage ends."""

    outage: Outage


@dataclass(frozen=True, slots=True)
class PurgeStream:
    """The stream of desired states loses everything."""


@dataclass(frozen=True, slots=True)
class Let:
    """Time passes before the next fault strikes."""

    seconds: float


Action = (
    Publish
    | Unpublish
    | SetClass
    | Write
    | EndAgent
    | StartAgent
    | DamageLedger
    | KillClient
    | StopClient
    | UnmountBehind
    | Begin
    | End
    | PurgeStream
    | Let
)


def describe(action: Action) -> str:
    """Tell an action in a few words."""
    match action:
        case Publish(share):
            who = "+".join([*sorted(share.classes), *sorted(share.vms)])
            what = f"{share.kind}-{share.page}, priority {share.priority}"
            return f"publish {share.name} ({what}) at {share.place} for {who}"
        case Unpublish(name):
            return f"unpublish {name}"
        case SetClass(name, vms):
            return f"class {name} is {'+'.join(sorted(vms)) or 'empty'}"
        case Write(vm, name, file):
            return f"write {file} into {name} of {vm}"
        case EndAgent(vm, is_killed):
            return f"{'kill' if is_killed else 'end'} agent of {vm}"
        case StartAgent(vm):
            return f"start agent of {vm}"
        case DamageLedger(vm, document, damage):
            return f"{document.value} of {vm} is {damage.value}"
        case KillClient(vm, name):
            return f"kill client of {name} on {vm}"
        case StopClient(vm, name, is_for_good):
            return f"stop client of {name} on {vm}{'' if is_for_good else ' for a moment'}"
        case UnmountBehind(vm, name):
            return f"unmount {name} behind {vm}"
        case Begin(outage):
            return f"{outage.value} from now on"
        case End(outage):
            return f"no longer: {outage.value}"
        case PurgeStream():
            return "purge the stream"
        case Let(seconds):
            return f"{seconds:g} s"
        case _:
            assert_never(action)
