"""What may happen next: drawn from a seed and what is known of the fleet, never from a clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.chaos.actions import (
    Action,
    Begin,
    Damage,
    DamageLedger,
    Document,
    End,
    EndAgent,
    KillClient,
    Let,
    Outage,
    Publish,
    PurgeStream,
    SetClass,
    StartAgent,
    StopClient,
    UnmountBehind,
    Unpublish,
    Write,
)
from tests.chaos.model import CLASSES, PAGES, PLACES, Kind, Share, World

KINDS = {"a": Kind.S3, "b": Kind.CUBEFS, "c": Kind.BIND, "d": Kind.CUBEFS, "e": Kind.S3}
"""Which shares there can be: each keeps its kind, so that a run has a bounded number of clients."""

LOSSES_AT_MOST = 2
"""Losses of one mount in one storm: each one more doubles the time until it is brought back."""


SHARES_AT_LEAST = 3
"""With fewer there is little to break, so that operators mostly publish."""


NO_BROKER = frozenset({Outage.BROKER_KILLED, Outage.BROKER_SILENT})


@dataclass(frozen=True, slots=True)
class Weather:
    """
    What is known in the middle of a storm.

    Attributes:
        calm: The world at its beginning, when everything was as it should be.
        world: The world by now.
        down: Guests without an agent.
        outages: What is away.
        losses: How often each guest's mounts were hurt.
        is_rough: Whether anything has happened that may keep users from writing.
        is_purged: Whether the stream lost what was in it.
        files: How many files were ever written.
    """

    calm: World
    world: World
    down: frozenset[str] = frozenset()
    outages: frozenset[Outage] = frozenset()
    losses: tuple[tuple[str, str], ...] = ()
    is_rough: bool = False
    is_purged: bool = False
    files: int = 0

    def after(self, action: Action) -> Weather:
        """Return what is known after *action*."""
        now = self if isinstance(action, Write | Let) else replace(self, is_rough=True)
        match action:
            case Publish(share):
                return replace(now, world=now.world.with_share(share))
            case Unpublish(name):
                return replace(now, world=now.world.without_share(name))
            case SetClass(name, vms):
                return replace(now, world=now.world.with_members(name, vms))
            case EndAgent(vm):
                return replace(now, down=now.down | {vm})
            case StartAgent(vm):
                return replace(now, down=now.down - {vm})
            case KillClient(vm, name) | StopClient(vm, name, _) | UnmountBehind(vm, name):
                return replace(now, losses=(*now.losses, (vm, name)))
            case Begin(outage):
                return replace(now, outages=now.outages | {outage})
            case End(outage):
                return replace(now, outages=now.outages - {outage})
            case PurgeStream():
                return replace(now, is_purged=True)
            case Write():
                return replace(now, files=now.files + 1)
            case _:
                return now


def draw_storm(weather: Weather, rng: random.Random) -> list[Action]:
    """Draw what happens until all is given time to recover."""
    actions: list[Action] = []
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 6))):
        action = _draw(weather, rng)
        actions.append(action)
        weather = weather.after(action)
        if rng.random() < 0.4:
            actions.append(Let(round(rng.choice((0.01, 0.05, 0.2, 0.5, 1.5)) * (0.5 + rng.random()), 3)))
    return actions


def _draw(weather: Weather, rng: random.Random) -> Action:
    possible: list[tuple[float, list[Action]]] = [(2.0, _agent_actions(weather))]
    if not weather.outages & NO_BROKER:
        possible += [
            (3.0 if len(weather.world.shares) >= SHARES_AT_LEAST else 20.0, [_draw_publish(weather, rng)]),
            (1.0, [Unpublish(name) for name in sorted(weather.world.shares)]),
            (1.0, [_draw_class(weather, rng)]),
            (0.5, list(map(Publish, _sorted_shares(weather.world)))),
            (0.5, [PurgeStream()]),
        ]
    possible += [(2.0, _client_actions(weather)), (1.0, _outage_actions(weather))]
    if not weather.is_rough:
        possible.append((2.0, _writes(weather)))
    groups = [(weight, group) for weight, group in possible if group]
    (group,) = rng.choices([group for _, group in groups], [weight for weight, _ in groups])
    return rng.choice(group)


def _sorted_shares(world: World) -> list[Share]:
    return [share for _, share in sorted(world.shares.items())]


def _draw_publish(weather: Weather, rng: random.Random) -> Action:
    name = rng.choice(sorted(KINDS))
    old = weather.world.shares.get(name)
    classes = frozenset(each for each in CLASSES if rng.random() < 0.5)
    vms = frozenset(each for each in weather.world.vms if rng.random() < 0.3)
    if not classes and not vms:
        classes = frozenset(CLASSES[:1])
    fresh = Share(
        name, KINDS[name], rng.choice(PAGES), rng.choice(PLACES), rng.choice((0, 0, 0, 1)), vms=vms, classes=classes
    )
    if old is None or rng.random() < 0.3:
        return Publish(fresh)
    changes = (
        replace(old, page=fresh.page),
        replace(old, place=fresh.place),
        replace(old, priority=fresh.priority),
        replace(old, vms=vms, classes=classes),
    )
    return Publish(rng.choice(changes))


def _draw_class(weather: Weather, rng: random.Random) -> Action:
    return SetClass(rng.choice(CLASSES), frozenset(vm for vm in weather.world.vms if rng.random() < 0.6))


def _agent_actions(weather: Weather) -> list[Action]:
    actions: list[Action] = []
    for vm in weather.world.vms:
        if vm not in weather.down:
            actions += [EndAgent(vm, is_killed=True), EndAgent(vm, is_killed=True), EndAgent(vm, is_killed=False)]
            continue
        actions += [StartAgent(vm), StartAgent(vm)]
        documents = [Document.DESIRED] if _has_bind(weather, vm) else list(Document)
        actions += [
            DamageLedger(vm, document, damage) for document in documents for damage in (Damage.CUT, Damage.GONE)
        ]
        actions += [DamageLedger(vm, documents[-1], damage) for damage in (Damage.EMPTY, Damage.NOISE)]
    return actions


def _has_bind(weather: Weather, vm: str) -> bool:
    """Say whether a guest may have a bind mount, which nothing but the ledger tells from a stranger's."""
    wanted = (*weather.calm.wanted(vm).values(), *weather.world.wanted(vm).values())
    return any(share.kind is Kind.BIND for share in wanted)


def _client_actions(weather: Weather) -> list[Action]:
    actions: list[Action] = []
    for vm in weather.calm.vms:
        for name, share in sorted(weather.calm.mounted(vm).items()):
            if weather.losses.count((vm, name)) >= LOSSES_AT_MOST:
                continue
            actions.append(UnmountBehind(vm, name))
            if share.kind is not Kind.BIND:
                actions += [KillClient(vm, name), KillClient(vm, name)]
                actions += [StopClient(vm, name, is_for_good=True), StopClient(vm, name, is_for_good=False)]
    return actions


def _outage_actions(weather: Weather) -> list[Action]:
    if weather.outages & NO_BROKER:
        return [
            End(outage) if outage in weather.outages else Begin(outage) for outage in Outage if outage not in NO_BROKER
        ]
    return [End(outage) if outage in weather.outages else Begin(outage) for outage in Outage]


def _writes(weather: Weather) -> list[Action]:
    return [
        Write(vm, name, f"w{weather.files}")
        for vm in weather.calm.vms
        for name in sorted(weather.calm.mounted(vm))
    ]  # fmt: skip
