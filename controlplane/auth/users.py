"""Who was given a user: a list on disk that is only ever added to, and that holds no secret."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controlplane.auth.roles import Role
from weft.errors import ConfigError, SubjectError
from weft.wire.ids import TOKEN_PATTERN, parse_vm_id


@dataclass(frozen=True, slots=True)
class Issued:
    """
    A user that was just made; its secret is nowhere else.

    Attributes:
        role: What it may do.
        name: The VM's id, or the operator's name.
        public: Its public key.
        creds: The text of its credentials file.
        expires_at_s: Unix time, None for never.
    """

    role: Role
    name: str
    public: str
    creds: str = field(repr=False)
    expires_at_s: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """
    What is remembered of a user: nothing secret.

    Attributes:
        role: What it may do.
        name: The VM's id, or the operator's name.
        public: Its public key.
        issued_at_s: Unix time.
        expires_at_s: Unix time, None for never.
        revoked_at_s: Unix time, None if it was not.
    """

    role: Role
    name: str
    public: str
    issued_at_s: int
    expires_at_s: int | None = None
    revoked_at_s: int | None = None

    def state(self, now_s: float) -> str:
        """Say in one word whether a broker still lets it in."""
        if self.revoked_at_s is not None:
            return "revoked"
        return "expired" if self.expires_at_s is not None and self.expires_at_s <= now_s else "valid"


class UserList:
    """
    The list: one line for each user made, one for each revoked.

    Args:
        path: The file; none means that nobody has a user yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[User, ...]:
        """
        Read everybody, in the order they were added.

        Raises:
            ConfigError: The file is damaged.
        """
        users: dict[str, User] = {}
        try:
            for line in self._path.read_text().splitlines() if self._path.exists() else ():
                _take_note(users, json.loads(line))
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise ConfigError([f"cannot read {self._path}: {type(exc).__name__}"]) from exc
        return tuple(users.values())

    def add(self, user: User) -> None:
        """Note a user that was made."""
        self._append({
            "event": "issued", "role": user.role.value, "name": user.name, "public": user.public,
            "at_s": user.issued_at_s, "expires_at_s": user.expires_at_s,
        })  # fmt: skip

    def note_revoked(self, user: User, *, at_s: int) -> None:
        """Note that *user* is void."""
        self._append({"event": "revoked", "public": user.public, "at_s": at_s})

    def _append(self, event: Mapping[str, Any]) -> None:
        """Add a line; one short write to a file opened for appending is never mixed with another's."""
        line = json.dumps(event, separators=(",", ":")) + "\n"
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line.encode())
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as exc:
            raise ConfigError([f"cannot write {self._path}: {(exc.strerror or 'i/o error').lower()}"]) from exc


def parse_user_name(role: Role, name: str) -> str:
    """
    Accept *name* for a user with *role*: it becomes a token of the subjects that the user may use.

    Raises:
        SubjectError: It is not one subject token.
    """
    if role is Role.GUEST:
        return parse_vm_id(name)
    if not re.match(TOKEN_PATTERN, name):
        raise SubjectError("an operator's name", name)
    return name


def _take_note(users: dict[str, User], event: Mapping[str, Any]) -> None:
    public, at_s = str(event["public"]), int(event["at_s"])
    if event["event"] == "issued":
        expires_at_s = None if event["expires_at_s"] is None else int(event["expires_at_s"])
        users[public] = User(Role(event["role"]), str(event["name"]), public, at_s, expires_at_s)
    else:
        user = users[public]
        users[public] = User(user.role, user.name, public, user.issued_at_s, user.expires_at_s, at_s)
