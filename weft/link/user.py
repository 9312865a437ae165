"""Who we are to the broker, as far as our credentials say it themselves."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

ROLE_TAG = "weft:"
"""Before the role, among the tags of a user's token."""


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """
    Who is connected.

    Attributes:
        name: From the token that the broker checks, or the user name that was given with a password.
        role: What ``weft auth`` made the user for; empty for a guest, and for a user that it did not make.
    """

    name: str
    role: str = ""


def user_of_token(token: str) -> BrokerUser | None:
    """Read who the bearer of *token* is; None for a text that says nothing of it. Only the broker checks who signed."""
    try:
        part = token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        name, tags = claims["name"], claims["nats"].get("tags") or ()
    except (LookupError, ValueError, TypeError, AttributeError):
        return None
    if not isinstance(name, str) or not name:
        return None
    roles = [tag.removeprefix(ROLE_TAG) for tag in tags if isinstance(tag, str) and tag.startswith(ROLE_TAG)]
    return BrokerUser(name, roles[0] if roles else "")
