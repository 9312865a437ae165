"""Who is noted as the author of a change: what the broker checks comes first, what somebody says is added. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from controlplane.edits import Author
from weft.link.user import BrokerUser
from weft.wire.events import OperatorEvent
from weft.wire.ids import TOKEN_PATTERN


def build_author(user: BrokerUser | None, said: str, at: datetime) -> Author:
    """
    Build the author of a change made now.

    Args:
        user: Who is connected, None where the broker asks nobody.
        said: On whose behalf, by the caller's own words; empty for nobody else's.
        at: Now.
    """
    if user is None:
        return Author(said, at)
    who = user.name if said in ("", user.name) else f"{user.name} (for {said})"
    # Only users that weft made are kept by the broker from writing under another name.
    is_checked = bool(user.role) and re.match(TOKEN_PATTERN, user.name) is not None
    return Author(who, at, checked=user.name if is_checked else "")


def split_act(tail: str, event: OperatorEvent) -> tuple[str, str]:
    """
    Take the end of an operator's audit subject apart, *event* being what stands on it.

    Returns:
        The name that the broker checked, empty where it checked none, and what was done.
    """
    if tail == event.action:
        return "", tail
    name, _, kind = tail.partition(".")
    return name, kind


def shown_author(checked: str, said: str) -> str:
    """
    Say who did it, as operators read it.

    A name that no broker checked ends with a question mark; another name than the checked one is what its bearer says.
    """
    if not checked:
        return f"{said}?" if said else ""
    return said if said == checked or said.startswith(f"{checked} (for ") else f"{checked} (says {said or 'nobody'})"
