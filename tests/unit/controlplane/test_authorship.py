"""Who did it: what the broker checks first, what somebody says beside it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.authorship import build_author, shown_author, split_act
from weft.link.user import BrokerUser, user_of_token
from weft.wire.events import OperatorEvent

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANN = BrokerUser("ann", "operator")


@pytest.mark.parametrize(
    ("user", "said", "who", "checked"),
    [
        pytest.param(ANN, "", "ann", "ann", id="credentials alone"),
        pytest.param(ANN, "the-director", "ann (for the-director)", "ann", id="what is said is only added"),
        pytest.param(ANN, "ann", "ann", "ann", id="the same name twice"),
        pytest.param(BrokerUser("ann"), "", "ann", "", id="credentials of another maker"),
        pytest.param(BrokerUser("a.b", "operator"), "", "a.b", "", id="a name that is no token of a subject"),
        pytest.param(None, "the-director", "the-director", "", id="a broker that asks nobody"),
    ],
)
def test_the_author_is_the_user_of_the_credentials(user: BrokerUser | None, said: str, who: str, checked: str) -> None:
    """Nobody becomes another by saying so."""
    author = build_author(user, said, NOW)
    assert (author.who, author.checked) == (who, checked)


@pytest.mark.parametrize(
    ("tail", "action", "who", "shown"),
    [
        pytest.param("ann.publish", "publish", "ann", "ann", id="checked"),
        pytest.param("ann.class.create", "class.create", "ann (for bob)", "ann (for bob)", id="on another's behalf"),
        pytest.param("ann.publish", "publish", "bob", "ann (says bob)", id="the text says another"),
        pytest.param("ann.publish", "", "", "ann (says nobody)", id="the text says nobody"),
        pytest.param("ann.publish", "ann.publish", "bob", "bob?", id="made to look like an unchecked one"),
        pytest.param("class.create", "class.create", "bob", "bob?", id="as older versions wrote it"),
        pytest.param("ann.publish", "delete", "bob", "ann (says bob)", id="another act"),
    ],
)
def test_only_the_subject_proves_a_name(tail: str, action: str, who: str, shown: str) -> None:
    """What is read as checked is the token that the broker fills in."""
    checked, _ = split_act(tail, OperatorEvent(who=who, action=action))
    assert shown_author(checked, who) == shown


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.!!!.c", "a.bnVsbA.c", "a.e30.c", "a.eyJuYW1lIjoxLCJuYXRzIjp7fX0.c", "a.W10.c"]
)
def test_a_damaged_token_says_nothing(token: str) -> None:
    """It is no error either: the broker will refuse it."""
    assert user_of_token(token) is None
