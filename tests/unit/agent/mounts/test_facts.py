"""Answers of the walker in words and verdicts."""

from __future__ import annotations

import errno

import pytest

from agent.mounts.facts import Holder, describe_holders
from agent.mounts.liveness import Liveness, liveness_of


@pytest.mark.parametrize(
    ("error", "liveness"),
    [
        pytest.param(errno.ENOTCONN, Liveness.DEAD, id="client gone"),
        pytest.param(errno.ECONNABORTED, Liveness.DEAD, id="connection aborted"),
        pytest.param(errno.ESTALE, Liveness.DEAD, id="export forgotten"),
        pytest.param(errno.ETIMEDOUT, Liveness.HUNG, id="server silent"),
        pytest.param(errno.EACCES, Liveness.ALIVE, id="refused"),
        pytest.param(errno.EIO, Liveness.ALIVE, id="client answers with an error"),
    ],
)
def test_an_error_tells_whether_somebody_is_alive_to_give_it(error: int, liveness: Liveness) -> None:
    """Only what the kernel says in the client's place means dead; what the client says means alive."""
    assert liveness_of(error) is liveness


def test_holders_are_named_one_per_line_and_no_more_than_asked() -> None:
    """A long list ends with how many are left out."""
    holders = [Holder(pid, "bash", f"/mnt/a/{pid}") for pid in (1, 2, 3)]
    assert describe_holders(holders, at_most=2).split("\n") == [
        "pid 1 (bash) holds /mnt/a/1",
        "pid 2 (bash) holds /mnt/a/2",
        "and 1 more",
    ]
    assert describe_holders([]) == ""
