"""The trial: a message that ends the agent is set aside in the end, and no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.trial import LIMIT, TRIAL_FILE, Trial
from weft.errors import LedgerTooNewError


class Guest:
    """A guest whose agent is started again and again; what it goes back to is noted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.went_back: list[bool] = []
        self.kept = 0

    def start(self) -> Trial:
        """Start an agent."""
        trial = Trial(self.directory)
        trial.start(go_back=self.went_back.append)
        return trial

    def look(self, trial: Trial, message: bytes) -> bool:
        """Have it look at a message."""
        return trial.begin(message, keep_held=self._keep)

    def live_with(self, message: bytes) -> None:
        """Have an agent look at a message and live."""
        trial = self.start()
        assert self.look(trial, message)
        trial.call_off()

    def _keep(self) -> None:
        self.kept += 1


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    """A guest that never had an agent."""
    return Guest(tmp_path)


def test_a_message_that_ends_the_agent_while_it_is_looked_at_is_set_aside(guest: Guest) -> None:
    """Also where the agent lives happily with what it holds until it looks; what is held stays."""
    guest.live_with(b"good")
    for _ in range(LIMIT):
        trial = guest.start()
        trial.call_off()
        assert guest.look(trial, b"bad")
    trial = guest.start()
    assert not guest.look(trial, b"bad")
    assert guest.look(trial, b"next")
    assert guest.went_back == []


def test_a_message_that_ends_the_agent_once_it_is_held_is_taken_back(guest: Guest) -> None:
    """What was held before it was kept, and is held again."""
    guest.live_with(b"good")
    kept = guest.kept
    assert guest.look(guest.start(), b"bad")
    for _ in range(LIMIT - 1):
        guest.start()
    assert (guest.kept, guest.went_back) == (kept + 1, [])
    trial = guest.start()
    assert guest.went_back == [True]
    assert not guest.look(trial, b"bad")


def test_what_an_agent_has_lived_with_is_not_gone_back_from_but_dropped(guest: Guest) -> None:
    """A newer agent may not bear what an older one did; what came before that one is long outdated."""
    guest.live_with(b"good")
    for _ in range(LIMIT):
        guest.start()
    guest.start()
    assert guest.went_back == [False]


def test_agents_that_are_told_to_stop_do_not_count(guest: Guest) -> None:
    """However often, and however soon; nor does one that refuses the ledger of a newer one."""
    for reason in (asyncio.CancelledError, LedgerTooNewError):
        for _ in range(LIMIT + 2):
            trial = guest.start()
            assert guest.look(trial, b"good")
            trial.end(reason, reason(), None)
    assert guest.went_back == []


def test_a_message_is_counted_once_in_the_life_of_an_agent(guest: Guest) -> None:
    """It is read again and again."""
    trial = guest.start()
    assert all(guest.look(trial, b"good") for _ in range(LIMIT + 2))
    assert guest.look(guest.start(), b"good")


def test_what_was_set_aside_can_be_tried_again(guest: Guest) -> None:
    """When somebody asks for it."""
    for _ in range(LIMIT):
        guest.look(guest.start(), b"bad")
    trial = guest.start()
    assert not guest.look(trial, b"bad")
    trial.forgive()
    assert guest.look(trial, b"bad")


def test_a_damaged_record_or_a_full_disk_costs_nothing(guest: Guest) -> None:
    """Counting begins anew, or is done without."""
    (guest.directory / TRIAL_FILE).write_text("{")
    guest.live_with(b"good")
    trial = Trial(guest.directory / "missing")
    trial.start(go_back=guest.went_back.append)
    assert guest.look(trial, b"good")


async def test_a_trial_is_called_off_when_the_agent_lives_with_the_newest_message(guest: Guest) -> None:
    """And only then: one that came meanwhile has a trial of its own."""
    trial = guest.start()
    assert guest.look(trial, b"first")
    reached = asyncio.Event()
    running = asyncio.create_task(trial.run(lambda: _until(reached)))
    async with asyncio.timeout(5):
        reached.set()
        while b'"is_proven":false' in (guest.directory / TRIAL_FILE).read_bytes():  # noqa: ASYNC110
            await asyncio.sleep(0)
    running.cancel()
    for _ in range(LIMIT):
        guest.start()
    assert guest.went_back == []


async def _until(event: asyncio.Event) -> None:
    await event.wait()
