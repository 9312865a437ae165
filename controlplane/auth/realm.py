"""The realm: one operator, its accounts and their users, as the tokens and the configuration a broker reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.auth.jwt import Key, build_token
from controlplane.auth.limits import limits_of, user_limits_of
from controlplane.auth.roles import Account, Act, Passage, Role, account_of, grants_of, passages_of
from weft.link.user import ROLE_TAG


@dataclass(frozen=True, slots=True)
class RealmKeys:
    """
    Every key of a realm.

    Attributes:
        operator: States what the accounts are.
        system: The broker's own account, which nobody here uses.
        accounts: The one that holds streams and catalog, and those of everybody else, which hold nothing.
        signing: For each role the key that makes users of it; the account's token ties the permissions to the key.
    """

    operator: Key
    system: Key
    accounts: Mapping[Account, Key]
    signing: Mapping[Role, Key]


def build_user(
    keys: RealmKeys, role: Role, name: str, public: str, *, issued_at_s: int, expires_at_s: int | None = None
) -> str:
    """
    State that the holder of the key *public* is a user with this role and name.

    It carries no permissions: they come from the account's token, where they can be changed for all at once.
    """
    # A guest's token says what it said before there were roles to tell apart.
    tags = {} if role is Role.GUEST else {"tags": [f"{ROLE_TAG}{role}"]}
    claims = {"type": "user", "issuer_account": keys.accounts[account_of(role)].public, **tags}
    return build_token(
        claims,
        name=name,
        subject=public,
        issuer=keys.signing[role],
        issued_at_s=issued_at_s,
        expires_at_s=expires_at_s,
    )


def build_accounts_conf(keys: RealmKeys, *, issued_at_s: int, revoked: Mapping[str, int]) -> str:
    """
    Build the configuration that makes a broker trust this realm; it holds no secret.

    Args:
        keys: The realm's keys.
        issued_at_s: When the realm was made; the same arguments give the same text.
        revoked: Users' public keys, and the Unix time up to which their tokens are void.
    """

    def stated(claims: Mapping[str, Any], name: str, key: Key) -> str:
        return build_token(claims, name=name, subject=key.public, issuer=keys.operator, issued_at_s=issued_at_s)

    operator = stated({"type": "operator", "system_account": keys.system.public}, "weft", keys.operator)
    accounts = [
        *((account.value, keys.accounts[account], _account_claims(keys, account)) for account in Account),
        ("system", keys.system, {"type": "account", "limits": limits_of(None)}),
    ]
    voided = {"revocations": dict(revoked)} if revoked else {}
    preload = "\n".join(
        f"    # {name}\n    {key.public}: {stated({**claims, **voided}, name, key)}" for name, key, claims in accounts
    )
    return (
        "# Written by `weft auth`: included by nats.conf, replaced whenever something changes. It holds no secret.\n"
        f"operator: {operator}\n"
        f"system_account: {keys.system.public}\n"
        "resolver: MEMORY\n"
        f"resolver_preload {{\n{preload}\n}}\n"
    )


def _account_claims(keys: RealmKeys, account: Account) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "type": "account",
        "signing_keys": [_scope(keys, role) for role in Role if account_of(role) is account],
        "limits": limits_of(account),
    }
    if account is Account.CONTROL:
        passages = {(each.act, each.subject): each for other in Account for each in passages_of(other)}
        return {**claims, "exports": [_export(passage) for passage in passages.values()]}
    source = {"account": keys.accounts[Account.CONTROL].public}
    return {**claims, "imports": [{**_import(passage), **source} for passage in passages_of(account)]}


def _export(passage: Passage) -> dict[str, Any]:
    answers = {"response_type": "Stream"} if passage.has_many_answers else {}
    return {"name": passage.why, "subject": passage.subject, "type": _kind(passage), **answers}


def _import(passage: Passage) -> dict[str, Any]:
    renamed = {"local_subject": passage.local} if passage.local != passage.subject else {}
    return {"name": passage.why, "subject": passage.subject, "type": _kind(passage), **renamed}


def _kind(passage: Passage) -> str:
    return "service" if passage.act is Act.PUBLISH else "stream"


def _scope(keys: RealmKeys, role: Role) -> dict[str, Any]:
    """Tie the permissions of *role* to its signing key."""
    grants = grants_of(role)
    return {
        "kind": "user_scope",
        "key": keys.signing[role].public,
        "role": role.value,
        "template": {
            "pub": {"allow": [grant.subject for grant in grants if grant.act is Act.PUBLISH]},
            "sub": {"allow": [grant.subject for grant in grants if grant.act is Act.SUBSCRIBE]},
            **user_limits_of(role),
        },
    }
