"""Errors become sentences and a next step."""

from __future__ import annotations

import pytest

from controlplane.cli.advice import advise
from weft.errors import (
    BrokerDeniedError,
    BrokerUnreachableError,
    CatalogConflictError,
    ConfigError,
    DecodeError,
    NoJetStreamError,
    PayloadTooLargeError,
    RosterError,
    StreamFullError,
    StreamMissingError,
    UnknownNameError,
    WeftError,
)


@pytest.mark.parametrize(
    ("error", "step"),
    [
        pytest.param(BrokerUnreachableError("cannot reach x"), "weft up", id="unreachable"),
        pytest.param(BrokerDeniedError("cannot x"), "--creds", id="denied"),
        pytest.param(NoJetStreamError("cannot x"), "jetstream {", id="no JetStream"),
        pytest.param(StreamMissingError("cannot x"), "weft init", id="no stream"),
        pytest.param(StreamFullError("cannot x"), "weft doctor", id="stream full"),
        pytest.param(PayloadTooLargeError("cannot x"), "max_payload", id="too large"),
        pytest.param(CatalogConflictError("cannot x"), "again", id="conflict"),
        pytest.param(RosterError("cannot x"), "weft class list", id="roster"),
        pytest.param(UnknownNameError("share", "dosc", ["docs"]), "weft list", id="unknown share"),
        pytest.param(UnknownNameError("class", "new"), "weft class create new", id="unknown class"),
        pytest.param(UnknownNameError("class", "algbra", ["algebra"]), "weft class list", id="misspelt class"),
        pytest.param(UnknownNameError("VM", "v"), "weft vm list", id="unknown VM"),
    ],
)
def test_an_error_ends_with_what_to_do(error: WeftError, step: str) -> None:
    """Where the sentence does not say it, the next step does."""
    advice = advise(error)

    assert advice.sentences == (str(error),)
    assert step in advice.next_step


def test_a_sentence_that_says_it_all_stands_alone() -> None:
    """A broken share names its field; there is nothing to add."""
    assert advise(DecodeError("cannot use umask 'x'")).next_step == ""


def test_every_configuration_problem_is_told() -> None:
    """Several problems come as several sentences."""
    assert advise(ConfigError(["a: wrong", "b: wrong"])).sentences == ("a: wrong", "b: wrong")
