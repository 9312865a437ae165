"""What the realm states: who lives where, and what each role may do."""

from __future__ import annotations

import re

import pytest

from controlplane.auth.jwt import Key, KeyKind, claims_of
from controlplane.auth.limits import CONNECTIONS
from controlplane.auth.realm import RealmKeys, build_accounts_conf, build_user
from controlplane.auth.roles import NAME, STREAMS, Account, Act, Role, account_of, grants_of, passages_of
from weft.wire.ids import parse_vm_id
from weft.wire.subjects import event_subject, inbox_prefix, live_subject, status_subject, subject

KEYS = RealmKeys(
    operator=Key.generate(KeyKind.OPERATOR),
    system=Key.generate(KeyKind.ACCOUNT),
    accounts={account: Key.generate(KeyKind.ACCOUNT) for account in Account},
    signing={role: Key.generate(KeyKind.ACCOUNT) for role in Role},
)
VM = parse_vm_id("vm-7")


def accounts(**revoked: int) -> dict[str, dict[str, object]]:
    """Read the accounts out of the configuration, by public key."""
    text = build_accounts_conf(KEYS, issued_at_s=1, revoked=revoked)
    return {key: claims_of(jwt)["nats"] for key, jwt in re.findall(r"^    (A\w+): (\S+)$", text, flags=re.MULTILINE)}


def subjects(role: Role, act: Act) -> set[str]:
    return {grant.subject for grant in grants_of(role) if grant.act is act}


def test_a_guest_may_use_exactly_the_subjects_of_the_contract() -> None:
    """The table and the wire's own names agree."""
    may = {act: {name.replace(NAME, VM) for name in subjects(Role.GUEST, act)} for act in Act}
    assert may[Act.SUBSCRIBE] == {live_subject(VM), f"{inbox_prefix(VM)}.>"}
    assert may[Act.PUBLISH] == {
        f"$JS.API.DIRECT.GET.weft-mounts.{subject(VM)}",
        status_subject(VM),
        event_subject(VM, ">"),
    }


def test_every_grant_of_a_guest_names_itself() -> None:
    """There is no subject that two guests share."""
    assert all(NAME in grant.subject for grant in grants_of(Role.GUEST))


OUTSIDE = [account for account in Account if account is not Account.CONTROL]


@pytest.mark.parametrize("account", OUTSIDE)
def test_other_accounts_have_no_stream_and_no_way_but_the_passages(account: Account) -> None:
    """What they import is what the streams' account exports, and they have no storage."""
    control, other = accounts()[KEYS.accounts[Account.CONTROL].public], accounts()[KEYS.accounts[account].public]
    assert "disk_storage" in control["limits"]  # type: ignore[operator]
    assert "disk_storage" not in other["limits"]  # type: ignore[operator]
    assert "exports" not in other
    exported = {(each["type"], each["subject"]) for each in control["exports"]}  # type: ignore[attr-defined]
    imported = {(each["type"], each["subject"]) for each in other["imports"]}  # type: ignore[attr-defined]
    assert imported <= exported
    assert len(imported) == len(passages_of(account))


def test_what_is_sent_crosses_as_a_service() -> None:
    """A stream import would keep the reply subject that the sender chose; a service's is the broker's own."""
    control = accounts()[KEYS.accounts[Account.CONTROL].public]
    heard = {each["subject"] for each in control["exports"] if each["type"] == "stream"}  # type: ignore[attr-defined]
    assert heard == {"weft.live.*", "weft.repeated.status.*", "weft.repeated.events.>", "weft.repeated.catalog.>"}


@pytest.mark.parametrize("account", OUTSIDE)
def test_no_passage_lets_a_stream_be_changed_or_a_consumer_be_made(account: Account) -> None:
    """Of JetStream's API only questions that change nothing cross, each for one of weft's own streams."""
    asked = {each.subject for each in passages_of(account) if each.subject.startswith("$JS.")}
    verbs = ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")
    assert asked <= {f"$JS.API.{verb}.{stream}" for verb in verbs for stream in STREAMS} | {
        "$JS.API.DIRECT.GET.weft-mounts.weft.mounts.*"
    }


def test_guests_cannot_take_the_connections_of_operators() -> None:
    """A server takes 65,536 connections in all."""
    assert sum(CONNECTIONS.values()) < 65_536
    limits = accounts()[KEYS.accounts[Account.GUESTS].public]["limits"]
    assert limits["conn"] == 25_000  # type: ignore[index]
    assert limits["leaf"] == 0  # type: ignore[index]


@pytest.mark.parametrize("role", list(Role))
def test_permissions_are_tied_to_the_signing_key(role: Role) -> None:
    """A user's token names its account and carries no permission of its own."""
    account = accounts()[KEYS.accounts[account_of(role)].public]
    scope = next(each for each in account["signing_keys"] if each["key"] == KEYS.signing[role].public)  # type: ignore[attr-defined]
    assert set(scope["template"]["pub"]["allow"]) == subjects(role, Act.PUBLISH)
    assert set(scope["template"]["sub"]["allow"]) == subjects(role, Act.SUBSCRIBE)
    user = claims_of(build_user(KEYS, role, "vm-7", Key.generate(KeyKind.USER).public, issued_at_s=1))
    assert user["iss"] == scope["key"]
    tags = set() if role is Role.GUEST else {"tags"}
    assert set(user["nats"]) == {"type", "version", "issuer_account", *tags}


def test_an_observer_may_do_nothing_that_an_operator_may_not() -> None:
    """And nothing that stores: no subject of a stream, no verb that changes one."""
    assert set(grants_of(Role.OBSERVER)) < set(grants_of(Role.OPERATOR))
    assert not [s for s in subjects(Role.OBSERVER, Act.PUBLISH) if not s.startswith("weft.api.")]
    assert not [s for s in subjects(Role.OBSERVER, Act.PUBLISH) if re.search("UPDATE|PURGE|STREAM.CREATE", s)]


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER, Role.ADMIN])
def test_stream_verbs_name_wefts_own_streams(role: Role) -> None:
    """A stream of somebody else in that account is out of reach."""
    verbs = [s for s in subjects(role, Act.PUBLISH) if s.startswith(("$JS.API.", "weft.api.")) and s.count(".") > 3]
    assert verbs
    assert all(any(f".{stream}" in verb for stream in STREAMS) for verb in verbs)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
def test_only_an_admin_lives_with_the_streams(role: Role) -> None:
    """Nobody else may ask JetStream's API where an answer can be aimed at it."""
    assert account_of(role) is not Account.CONTROL
    assert not [s for s in subjects(role, Act.PUBLISH) if s.startswith("$JS.")]


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_who_did_it_is_part_of_the_subject(role: Role) -> None:
    """The broker fills in the name, so nobody can record anything under another."""
    noted = [s for s in subjects(role, Act.PUBLISH) if s.startswith("weft.events.")]
    assert noted == [f"weft.events.op.{NAME}.>"]


def test_the_configuration_holds_no_seed() -> None:
    """It may lie on the broker's disk, readable by all."""
    text = build_accounts_conf(KEYS, issued_at_s=1, revoked={})
    for key in (KEYS.operator, KEYS.system, *KEYS.accounts.values(), *KEYS.signing.values()):
        assert key.seed not in text


def test_revoked_users_are_named_in_the_accounts() -> None:
    """Their public key, and the time up to which their tokens are void."""
    assert accounts(UABC=5)[KEYS.accounts[Account.GUESTS].public]["revocations"] == {"UABC": 5}
    assert "revocations" not in accounts()[KEYS.accounts[Account.GUESTS].public]
