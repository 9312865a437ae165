"""What people read when the broker cannot be reached, and what counts as a refusal."""

from __future__ import annotations

import errno
import ssl

import nats.errors
import pytest

from weft.link.reasons import is_refusal, reason_of
from weft.link.subscription import is_subject


@pytest.mark.parametrize(
    ("exc", "reason", "refusal"),
    [
        pytest.param(nats.errors.AuthorizationError(), "authorization violation", True, id="typed"),
        pytest.param(
            nats.errors.Error("nats: 'Authorization Violation'"), "authorization violation", True, id="at start"
        ),
        pytest.param(
            nats.errors.Error("nats: user authentication expired"), "user authentication expired", True, id="expired"
        ),
        pytest.param(nats.errors.Error("nats: 'Authentication Timeout'"), "authentication timeout", False, id="slow"),
        pytest.param(
            nats.errors.Error("nats: maximum connections exceeded"), "maximum connections exceeded", False, id="full"
        ),
        pytest.param(ConnectionRefusedError(errno.ECONNREFUSED, "x"), "connection refused", False, id="nobody there"),
        pytest.param(TimeoutError(), "no answer in time", False, id="silence"),
        pytest.param(
            OSError(errno.ENETUNREACH, "Network is unreachable"), "network is unreachable", False, id="no net"
        ),
        pytest.param(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), "TLS failed", False, id="TLS"),
    ],
)
def test_reason_is_short_and_tells_refusal_from_absence(exc: Exception, reason: str, refusal: bool) -> None:
    """Only a refusal needs somebody to change credentials."""
    assert reason in reason_of(exc)
    assert is_refusal(exc) is refusal


@pytest.mark.parametrize(
    ("subject", "valid"),
    [
        ("weft.live.vm-7", True),
        ("weft.*.>", True),
        ("", False),
        ("weft..vm", False),
        ("weft.>.vm", False),
        ("weft. vm", False),
        ("weft.", False),
    ],
)
def test_subject_that_cannot_be_subscribed_to_is_known(subject: str, valid: bool) -> None:
    """It would end every future connection, so it must not get into the list of subscriptions."""
    assert is_subject(subject) is valid
