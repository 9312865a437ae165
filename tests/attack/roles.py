"""What the suite tries with the credentials of each role: subjects, reply subjects, headers and bodies, as tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from controlplane.auth.roles import STREAMS, Role

ATTACKER = "mallory"
"""The name of whoever attacks; a guest's is a VM's id."""
VICTIM = "victim"
CANARY = "canary"
"""In subjects that no probe names as its own subject: whatever changes there was changed by a trick."""


@dataclass(frozen=True)
class Family:
    """
    Subjects that stand together in the table.

    Attributes:
        name: Its row.
        subjects: What is tried.
        may: Who may send there.
    """

    name: str
    subjects: tuple[str, ...]
    may: frozenset[Role] = frozenset()


def _api(prefix: str, *verbs: str) -> tuple[str, ...]:
    """Spell *verbs* out: ``%`` is each of weft's streams, and one that is not weft's."""
    return tuple(
        f"{prefix}{verb.replace('%', stream)}"
        for verb in verbs
        for stream in ((*STREAMS, "other") if "%" in verb else ("",))
    )


def _own(prefix: str, *verbs: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{verb.replace('%', stream)}" for verb in verbs for stream in STREAMS)


IMPORTING = frozenset({Role.OPERATOR, Role.OBSERVER})
ADMIN = frozenset({Role.ADMIN})
WRITERS = frozenset({Role.OPERATOR, Role.ADMIN})
JS, OURS = "$JS.API.", "weft.api."

FAMILIES = (
    Family("desired states: `weft.mounts.VM`", ("weft.mounts.probe", f"weft.mounts.{ATTACKER}"), WRITERS),
    Family("catalog: `$KV.weft-catalog.KEY`", ("$KV.weft-catalog.share.probe", "$KV.weft-catalog.meta.probe"), WRITERS),
    Family("own audit: `weft.events.op.NAME.ACT`", (f"weft.events.op.{ATTACKER}.probe",), WRITERS),
    Family("another's audit, or nobody's", (f"weft.events.op.{VICTIM}.publish", "weft.events.op.publish")),
    Family(
        "own status and events of a guest",
        (f"weft.status.{ATTACKER}", f"weft.events.vm.{ATTACKER}.share.failed"),
        frozenset({Role.GUEST}),
    ),
    Family(
        "another guest's status and events",
        (f"weft.status.{VICTIM}", f"weft.events.vm.{VICTIM}.share.failed", "weft.status.a.b", "weft.events.x"),
    ),
    Family(
        "live and repeated copies",
        (
            f"weft.live.{VICTIM}",
            f"weft.live.{ATTACKER}",
            f"weft.repeated.status.{VICTIM}",
            "weft.repeated.events.op.x",
            f"weft.repeated.events.vm.{VICTIM}.share.failed",
            "weft.repeated.catalog.share.x",
        ),
    ),
    Family(
        "a guest's own list: `DIRECT.GET.weft-mounts.weft.mounts.VM`",
        (f"{JS}DIRECT.GET.weft-mounts.weft.mounts.{ATTACKER}",),
        frozenset({Role.GUEST}),
    ),
    Family(
        "another VM's list by the same form",
        (
            f"{JS}DIRECT.GET.weft-mounts.weft.mounts.{VICTIM}",
            f"{OURS}DIRECT.GET.weft-mounts.weft.mounts.{VICTIM}",
            *_own(JS, "DIRECT.GET.%.>", "DIRECT.GET.%.x"),
        ),
    ),
    Family(
        "reading: `STREAM.INFO`, `STREAM.MSG.GET`, `DIRECT.GET`, imported",
        _own(OURS, "STREAM.INFO.%", "STREAM.MSG.GET.%", "DIRECT.GET.%"),
        IMPORTING,
    ),
    Family("the same beside the streams", _own(JS, "STREAM.INFO.%", "STREAM.MSG.GET.%", "DIRECT.GET.%"), ADMIN),
    Family(
        "reading other streams",
        tuple(
            f"{prefix}{verb}.other" for prefix in (JS, OURS) for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")
        ),
    ),
    Family("listing: `INFO`, `STREAM.NAMES`, `STREAM.LIST`", _api(JS, "INFO", "STREAM.NAMES", "STREAM.LIST"), ADMIN),
    Family(
        "listing, imported", _api(OURS, "INFO", "STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES.%", "CONSUMER.LIST.%")
    ),
    Family("`STREAM.CREATE`, `STREAM.UPDATE` of weft's", _own(JS, "STREAM.CREATE.%", "STREAM.UPDATE.%"), ADMIN),
    Family("`STREAM.PURGE` of weft's", _own(JS, "STREAM.PURGE.%"), ADMIN),
    Family("`STREAM.DELETE` of weft's", _own(JS, "STREAM.DELETE.%"), ADMIN),
    Family(
        "the same, imported or of other streams",
        (
            *_api(OURS, "STREAM.CREATE.%", "STREAM.UPDATE.%", "STREAM.PURGE.%", "STREAM.DELETE.%"),
            *(f"{JS}STREAM.{verb}.other" for verb in ("CREATE", "UPDATE", "PURGE", "DELETE")),
        ),
    ),
    Family("`STREAM.MSG.DELETE`", _api(JS, "STREAM.MSG.DELETE.%") + _api(OURS, "STREAM.MSG.DELETE.%")),
    Family(
        "`STREAM.SNAPSHOT`, `STREAM.RESTORE`",
        _api(JS, "STREAM.SNAPSHOT.%", "STREAM.RESTORE.%") + _api(OURS, "STREAM.SNAPSHOT.%", "STREAM.RESTORE.%"),
    ),
    Family(
        "`STREAM.TEMPLATE.*`",
        _api(
            JS,
            "STREAM.TEMPLATE.CREATE.x",
            "STREAM.TEMPLATE.NAMES",
            "STREAM.TEMPLATE.INFO.x",
            "STREAM.TEMPLATE.DELETE.x",
        ),
    ),
    Family(
        "leaders and peers",
        _api(
            JS,
            "STREAM.LEADER.STEPDOWN.%",
            "STREAM.PEER.REMOVE.%",
            "CONSUMER.LEADER.STEPDOWN.%.x",
            "META.LEADER.STEPDOWN",
            "SERVER.REMOVE",
            "ACCOUNT.PURGE.x",
            "ACCOUNT.STREAM.MOVE.x.y",
            "ACCOUNT.STREAM.CANCEL_MOVE.x.y",
        ),
    ),
    Family(
        "`CONSUMER.*`",
        tuple(
            subject
            for prefix in (JS, OURS)
            for subject in _api(
                prefix,
                "CONSUMER.CREATE.%",
                "CONSUMER.CREATE.%.x",
                "CONSUMER.CREATE.%.x.>",
                "CONSUMER.DURABLE.CREATE.%.x",
                "CONSUMER.INFO.%.x",
                "CONSUMER.DELETE.%.x",
                "CONSUMER.MSG.NEXT.%.x",
                "CONSUMER.PAUSE.%.x",
                "CONSUMER.RESET.%.x",
                "CONSUMER.UNPIN.%.x",
            )
        )
        + _api(JS, "CONSUMER.NAMES.%", "CONSUMER.LIST.%"),
    ),
    Family(
        "flow control, acknowledgements, advisories",
        ("$JS.FC.weft-mounts.x.y", "$JS.ACK.weft-mounts.x.1.1.1.1.1", "$JS.EVENT.ADVISORY.API", "$JS.M.x", "$JSC.R.x"),
    ),
    Family("other API prefixes", ("$JS.hub.API.STREAM.DELETE.weft-mounts", "$JS.API.>", "weft.api.>", "weft.api.x")),
    Family(
        "the system account",
        (
            "$SYS.REQ.SERVER.PING",
            "$SYS.REQ.ACCOUNT.x.CLAIMS.UPDATE",
            "$SYS.REQ.CLAIMS.UPDATE",
            "$SYS.REQ.CLAIMS.LIST",
            "$SYS.REQ.USER.INFO",
            "$SYS.ACCOUNT.x.CONNECT",
            "$SYS.REQ.SERVER.x.KICK",
            "$SYS.REQ.SERVER.x.RELOAD",
        ),
    ),
    Family(
        "others' inboxes and the broker's replies",
        (f"_INBOX.{VICTIM}.x", f"_INBOX_{VICTIM}.x", "_INBOX.x", "_R_.x.y", "_GR_.x.y.z", f"_INBOX.{ATTACKER}.x"),
    ),
    Family("anything else", ("foo", "weft", "weft.x", "weft.mounts.a.b", "$KV.other.x", "$O.bucket.x", "$G.x")),
)

TO_HEAR = (
    *(">", "*", "*.>", "weft.>", "weft.*.>", "weft.mounts.*", "weft.status.*", "weft.events.>", "$KV.>", "_INBOX.>"),
    *(f"weft.live.{VICTIM}", "weft.live.>", f"_INBOX.{VICTIM}.>", f"_INBOX_{VICTIM}.>", "_R_.>", "_GR_.>", "$JS.>"),
    *("$JS.API.>", "$JS.EVENT.>", "$SYS.>", "$SYS.ACCOUNT.>", "weft.api.>"),
)
"""What nobody may subscribe to, whatever the role."""

_BATCH = "0123456789abcdef0123456789abcdef"

REPLIES = (
    "",
    f"weft.mounts.{CANARY}",
    f"weft.status.{CANARY}",
    f"weft.events.op.{VICTIM}.{CANARY}",
    f"weft.events.vm.{CANARY}.share.failed",
    f"$KV.weft-catalog.share.{CANARY}",
    "$JS.API.STREAM.DELETE.weft-status",
    "$JS.API.STREAM.PURGE.weft-mounts",
    "weft.api.STREAM.INFO.weft-mounts",
    f"weft.live.{CANARY}",
    f"weft.live.{VICTIM}",
    f"weft.repeated.status.{CANARY}",
    f"weft.repeated.status.{VICTIM}",
    f"weft.repeated.events.op.{VICTIM}.{CANARY}",
    f"_INBOX.{VICTIM}.{CANARY}",
    "$JS.ACK.weft-mounts.x.1.1.1.1.1",
    "$JS.FC.weft-mounts.x.y",
    "$SYS.REQ.SERVER.PING",
    "_R_.x.y",
    f"weft.status.{CANARY}.{_BATCH}.1000.ok.1.0.$FI",
    f"$JS.API.STREAM.DELETE.weft-status.{_BATCH}.1000.ok.1.2.$FI",
)

_ELSEWHERE = json.dumps(
    {"acc": "weft-control", "user": "root", "svc": "weft-control", "reply": f"weft.mounts.{CANARY}"}
)

HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Nats-Rollup": "all"},
    {"Nats-Rollup": "sub"},
    {"Nats-TTL": "1s"},
    {"Nats-Msg-Id": "1"},
    {"Nats-Trace-Dest": f"weft.status.{CANARY}"},
    {"Nats-Trace-Dest": f"weft.events.op.{VICTIM}.{CANARY}", "Nats-Trace-Hop": "1"},
    {"Nats-Trace-Dest": "$JS.API.STREAM.DELETE.weft-status", "Nats-Trace-Only": "true"},
    {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": f"weft.mounts.{CANARY}"},
    {"Nats-Request-Info": _ELSEWHERE},
    {"Nats-Incr": "+1"},
    {"Nats-Batch-Id": _BATCH, "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
    {"Nats-Expected-Stream": "weft-status", "Nats-Expected-Last-Sequence": "0"},
    {"Nats-Stream": "weft-status", "Nats-Subject": f"weft.status.{CANARY}", "Nats-Sequence": "1"},
    {"Nats-Last-Sequence": "1"},
    {"KV-Operation": "PURGE", "Nats-Rollup": "all"},
    {"Nats-Stream-Source": f"weft-mounts 1 weft.mounts.{CANARY}"},
    {"Nats-Required-Api-Level": "0"},
)


def bodies_for(subject: str) -> tuple[bytes, ...]:
    """Say what is sent to *subject*: what would do most harm there, and what JetStream's questions have inside."""
    stream = next((name for name in STREAMS if subject.endswith(name) or f".{name}." in subject), "other")
    bodies: list[Any] = []
    if "STREAM.CREATE" in subject or "STREAM.UPDATE" in subject:
        for extra in (
            {"sources": [{"name": "weft-mounts"}, {"name": "KV_weft-catalog"}]},
            {"mirror": {"name": "weft-mounts"}},
            {"republish": {"src": ">", "dest": f"weft.status.{CANARY}"}},
            {"subjects": ["weft.>"]},
        ):
            bodies.append({"name": stream, "subjects": [f"{stream}.x"], **extra})
    elif "CONSUMER" in subject:
        aim = {"deliver_subject": f"weft.status.{CANARY}", "ack_policy": "none", "name": "x", "mem_storage": True}
        bodies.append({"stream_name": stream, "config": aim, "action": "create"})
    elif "DIRECT.GET" in subject or "MSG.GET" in subject:
        bodies += [{"seq": 1}, {"last_by_subj": ">"}, {"seq": 1, "batch": 100, "next_by_subj": ">"}]
        bodies += [{"multi_last": [">"]}, {"last_by_subj": f"weft.mounts.{VICTIM}"}]
    elif "MSG.DELETE" in subject:
        bodies.append({"seq": 1, "no_erase": True})
    elif "SNAPSHOT" in subject:
        bodies.append({"deliver_subject": f"weft.mounts.{CANARY}"})
    return (b"", *(json.dumps(body).encode() for body in bodies), b"{")
