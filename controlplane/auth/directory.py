"""The auth directory: the realm's keys on disk, who was given a user, and the configuration that a broker reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.deploy import find_data_file

from controlplane.auth.files import ensure_private_directory, replace_file, write_new_secret
from controlplane.auth.jwt import Key, KeyKind
from controlplane.auth.realm import RealmKeys, build_accounts_conf, build_user
from controlplane.auth.roles import Account, Role
from controlplane.auth.users import Issued, User, UserList, parse_user_name
from weft.errors import ConfigError
from weft.link.credentials import Credentials

SCHEMA = 2
"""Since 2 operators and observers live in accounts of their own, and there are admins."""
ACCOUNTS_CONF = "accounts.conf"
NATS_CONF = "nats.conf"
STORE_IN_TEMPLATE = "/var/lib/nats"


@dataclass(frozen=True, slots=True)
class Made:
    """
    What ``init`` did.

    Attributes:
        is_new: The realm is new.
        is_upgraded: An older version made the realm.
        voided: Users of that version whose credentials are good for nothing now.
    """

    is_new: bool
    is_upgraded: bool = False
    voided: tuple[User, ...] = ()


class AuthDirectory:
    """
    A realm on disk. Files: ``keys/*.nk`` and ``realm.json`` (secret and vital), ``users.jsonl``, ``accounts.conf``
    and ``nats.conf`` for the broker.

    Args:
        path: The directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._users = UserList(path / "users.jsonl")

    @property
    def nats_conf(self) -> Path:
        """The broker's configuration."""
        return self.path / NATS_CONF

    @property
    def accounts_conf(self) -> Path:
        """The part of it that states accounts and permissions."""
        return self.path / ACCOUNTS_CONF

    @property
    def exists(self) -> bool:
        """Say whether a realm was made here."""
        return self._realm_path.exists()

    def init(self, *, now_s: float) -> Made:
        """
        Make the realm, or bring it and its ``accounts.conf`` up to date; twice is the same as once.

        Raises:
            ConfigError: The directory cannot be written, or a key of an existing realm is missing.
        """
        is_new, is_upgraded = not self.exists, False
        ensure_private_directory(self.path)
        voided: tuple[User, ...] = ()
        if is_new:
            self._write_keys(_KEY_NAMES)
            self._write_realm(int(now_s))
        elif (realm := self._realm())["schema"] < SCHEMA:
            is_upgraded = True
            # Only what that version did not have: a key of its own that is lost must not be replaced.
            self._write_keys(_KEYS_SINCE_2)
            # Their tokens name the account of the streams, where these roles are let in no more.
            voided = tuple(
                user for user in self._users.load() if user.role in _MOVED_IN_2 and user.revoked_at_s is None
            )
            for user in voided:
                self._users.note_revoked(user, at_s=int(now_s))
            self._write_realm(int(realm["made_at_s"]))
        self._write_accounts_conf()
        if not self.nats_conf.exists():
            template = find_data_file("nats-single.conf").read_text()
            replace_file(self.nats_conf, template.replace(STORE_IN_TEMPLATE, str(self.path / "store")), mode=0o644)
        return Made(is_new, is_upgraded, voided)

    def issue(self, role: Role, name: str, *, now_s: float, lifetime_s: float | None = None) -> Issued:
        """
        Make a user; its secret is returned and kept nowhere.

        Args:
            role: What it may do.
            name: The VM's id, or the operator's name.
            now_s: Unix time.
            lifetime_s: How long it lives, None for ever.

        Raises:
            SubjectError: The name is not one subject token.
            ConfigError: There is no realm here, or it is damaged.
        """
        parse_user_name(role, name)
        keys = self.load_keys()
        key = Key.generate(KeyKind.USER)
        issued_at_s = int(now_s)
        expires_at_s = None if lifetime_s is None else int(now_s + lifetime_s)
        token = build_user(keys, role, name, key.public, issued_at_s=issued_at_s, expires_at_s=expires_at_s)
        self._users.add(User(role, name, key.public, issued_at_s, expires_at_s))
        return Issued(role, name, key.public, Credentials(token, key.seed).as_text(), expires_at_s)

    def revoke(self, names: Iterable[str], *, now_s: float) -> tuple[User, ...]:
        """
        Void every user with one of *names*; a broker learns it when it reads ``accounts.conf`` again.

        Returns:
            Those that were valid until now.

        Raises:
            ConfigError: Nobody of that name was ever given a user.
        """
        wanted = dict.fromkeys(names)
        users = self.users()
        unknown = [name for name in wanted if not any(user.name == name for user in users)]
        if unknown:
            raise ConfigError([f"cannot revoke {name!r}: nobody of that name was given a user" for name in unknown])
        revoked = tuple(user for user in users if user.name in wanted and user.revoked_at_s is None)
        for user in revoked:
            self._users.note_revoked(user, at_s=int(now_s))
        self._write_accounts_conf()
        return revoked

    def users(self) -> tuple[User, ...]:
        """
        List everybody who was given a user, in that order.

        Raises:
            ConfigError: There is no realm here, or its list is damaged.
        """
        self._realm()
        return self._users.load()

    def load_keys(self) -> RealmKeys:
        """
        Read the realm's keys.

        Raises:
            ConfigError: There is no realm here, or a key is missing or damaged.
        """
        if self._realm()["schema"] < SCHEMA:
            raise ConfigError(
                [f"cannot use {self._realm_path}: an older weft made it (run 'weft auth init' to bring it up to date)"]
            )
        keys = {name: self._load_key(name, kind) for name, kind in _KEY_NAMES.items()}
        return RealmKeys(
            operator=keys["operator"],
            system=keys["system"],
            accounts={account: keys[account.value] for account in Account},
            signing={role: keys[f"sign-{role}"] for role in Role},
        )

    # --- files ----------------------------------------------------------------------------------------------------

    @property
    def _keys_path(self) -> Path:
        return self.path / "keys"

    @property
    def _realm_path(self) -> Path:
        return self.path / "realm.json"

    def _key_path(self, name: str) -> Path:
        return self._keys_path / f"{name}.nk"

    def _load_key(self, name: str, kind: KeyKind) -> Key:
        path = self._key_path(name)
        try:
            return Key.from_seed(path.read_text(), kind)
        except OSError as exc:
            why = (exc.strerror or type(exc).__name__).lower()
        except ValueError as exc:
            why = str(exc)
        raise ConfigError([f"cannot use {path}: {why} (restore it; a new key would lock out everybody who has a user)"])

    def _realm(self) -> dict[str, Any]:
        try:
            realm = json.loads(self._realm_path.read_text())
        except FileNotFoundError:
            raise ConfigError([f"cannot find keys in {self.path} (run 'weft auth init' to make them)"]) from None
        except (OSError, ValueError) as exc:
            raise ConfigError([f"cannot read {self._realm_path}: {type(exc).__name__}"]) from exc
        if not isinstance(realm, dict) or realm.get("schema") not in range(1, SCHEMA + 1):
            raise ConfigError([f"cannot use {self._realm_path}: another version of weft wrote it"])
        return realm

    def _write_keys(self, names: Iterable[str]) -> None:
        ensure_private_directory(self._keys_path)
        for name in names:
            # A key that is there was left by a run that did not get to its end.
            write_new_secret(self._key_path(name), Key.generate(_KEY_NAMES[name]).seed + "\n")

    def _write_realm(self, made_at_s: int) -> None:
        realm = {"schema": SCHEMA, "made_at_s": made_at_s}
        replace_file(self._realm_path, json.dumps(realm) + "\n", mode=0o600)

    def _write_accounts_conf(self) -> None:
        made_at_s = int(self._realm()["made_at_s"])
        revoked = {user.public: user.revoked_at_s for user in self.users() if user.revoked_at_s is not None}
        text = build_accounts_conf(self.load_keys(), issued_at_s=made_at_s, revoked=revoked)
        replace_file(self.accounts_conf, text, mode=0o644)


_KEY_NAMES: Mapping[str, KeyKind] = {
    "operator": KeyKind.OPERATOR,
    "system": KeyKind.ACCOUNT,
    **{account.value: KeyKind.ACCOUNT for account in Account},
    **{f"sign-{role}": KeyKind.ACCOUNT for role in Role},
}
_KEYS_SINCE_2 = (Account.OPERATORS.value, Account.OBSERVERS.value, f"sign-{Role.ADMIN}")
_MOVED_IN_2 = (Role.OPERATOR, Role.OBSERVER)
