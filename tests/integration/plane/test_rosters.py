"""Classes that are kept in a file, by a program, or by the caller."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Collection
from pathlib import Path

import pytest

from controlplane import ControlPlane
from controlplane.roster import Roster
from controlplane.rosters import CommandRoster, FileRoster
from tests.integration.plane.stored import count_stored, stored_sets
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share
from weft.errors import ConfigError, ConfirmationNeededError, RosterError, UnknownNameError

pytestmark = pytest.mark.integration


class Directory:
    """A roster of the caller's own."""

    def __init__(self, answer: dict[str, list[str]]) -> None:
        self.answer = answer

    async def classes(self) -> list[str]:
        """Name every class."""
        return list(self.answer)

    async def members(self, name: str) -> list[str]:
        """List the VMs of a class."""
        return self.answer[name]


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture(params=["file", "program", "object"])
def roster(request: pytest.FixtureRequest, tmp_path: Path) -> Roster:
    """Class algebra of three VMs, from each place."""
    match request.param:
        case "file":
            (tmp_path / "classes.toml").write_text('algebra = ["vm-{1..3}"]\n')
            return FileRoster(tmp_path / "classes.toml")
        case "program":
            return CommandRoster(program(tmp_path / "members", 'test -z "$1" && echo algebra || echo "vm-1 vm-2 vm-3"'))
        case _:
            return Directory({"algebra": ["vm-1", "vm-2", "vm-3"]})


async def test_a_roster_works_wherever_a_class_does(broker: Broker, roster: Roster) -> None:
    """Publish, status, a few of a class, and taking it away again."""
    async with ControlPlane.connect(broker.url, roster=roster) as plane:
        await plane.init()
        fan_out = await plane.publish(share("a"), classes=["algebra"])
        assert set(fan_out.stored) == {"vm-1", "vm-2", "vm-3"}
        assert dict(await plane.classes()) == {"algebra": ("vm-1", "vm-2", "vm-3")}
        assert (await plane.refresh("a", classes=["algebra"])).is_complete
        assert {view.classes for view in await plane.status()} == {("algebra",)}
        assert [record.share.id for record in await plane.shares(vms=["vm-3"])] == ["a"]
        with pytest.raises(RosterError, match="elsewhere"):
            await plane.add_members("algebra", ["vm-4"])
        await plane.unpublish("a", classes=["algebra"])
    assert all(message.shares == () for message in (await stored_sets(broker)).values())


async def test_a_changed_file_is_followed_by_the_next_sync(broker: Broker, tmp_path: Path) -> None:
    """Who joins gets the share, who leaves loses it."""
    path = tmp_path / "classes.json"
    path.write_text('{"algebra": "vm-{01..20}"}')
    async with ControlPlane.connect(broker.url, roster=FileRoster(path)) as plane:
        await plane.init()
        await plane.publish(share("a"), classes=["algebra"])
        path.write_text('{"algebra": "vm-{02..21}"}')
        fan_out = await plane.sync()
    held = await stored_sets(broker)
    assert set(fan_out.stored) == {"vm-01", "vm-21"}
    assert (held["vm-01"].shares, len(held["vm-21"].shares)) == ((), 1)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "algebra = []", "algebra = 1", 'algebra = ["vm-{1..}"]', "algebra ="],
    ids=lambda text: repr(text),
)
async def test_a_file_that_says_nothing_unmounts_nobody(broker: Broker, tmp_path: Path, text: str) -> None:
    """Empty, cut short or wrong: an error each time, and not a message."""
    path = tmp_path / "classes.toml"
    path.write_text('algebra = ["vm-1", "vm-2"]')
    async with ControlPlane.connect(broker.url, roster=FileRoster(path)) as plane:
        await plane.init()
        await plane.publish(share("a"), classes=["algebra"])
        path.write_text(text)
        with pytest.raises(RosterError):
            await plane.sync(assume_yes=True)
        path.unlink()
        with pytest.raises(RosterError, match="cannot read roster"):
            await plane.sync(assume_yes=True)
    assert await count_stored(broker) == 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("exit 0", "printed nothing", id="silent"),
        pytest.param("echo []", "named nobody", id="an empty array"),
        pytest.param("echo vm-1; echo no such host >&2; exit 3", "exit code 3: no such host", id="failing"),
        pytest.param("echo 'vm 1' '*'", "answer for class", id="no ids"),
        pytest.param("exec sleep 60", "no answer within 0.3 s", id="hanging"),
    ],
)
async def test_a_program_that_fails_unmounts_nobody(broker: Broker, tmp_path: Path, script: str, words: str) -> None:
    """Whatever way it fails, its process is gone afterwards."""
    good = program(tmp_path / "good", "echo vm-1")
    async with ControlPlane.connect(broker.url, roster=CommandRoster(good)) as plane:
        await plane.init()
        await plane.publish(share("a"), classes=["algebra"])
    bad = CommandRoster(program(tmp_path / "bad", script), timeout_s=0.3)
    async with ControlPlane.connect(broker.url, roster=bad) as plane:
        with pytest.raises(RosterError, match=words):
            await plane.sync(assume_yes=True)
    assert await count_stored(broker) == 1


async def test_an_unknown_class_and_a_missing_program_are_named(broker: Broker, tmp_path: Path) -> None:
    """The nearest class is suggested."""
    (tmp_path / "classes.toml").write_text('algebra = ["vm-1"]')
    async with ControlPlane.connect(broker.url, roster=FileRoster(tmp_path / "classes.toml")) as plane:
        await plane.init()
        with pytest.raises(UnknownNameError, match="algebra"):
            await plane.publish(share("a"), classes=["algebar"])
    async with ControlPlane.connect(broker.url, roster=CommandRoster("/no/such/program")) as plane:
        with pytest.raises(RosterError, match="no such file"):
            await plane.publish(share("a"), classes=["algebra"])
    with pytest.raises(ConfigError, match="empty"):
        CommandRoster(" ")


class Fickle:
    """Names everybody a number of times, and then hardly anybody."""

    def __init__(self, good_answers: int) -> None:
        self._good_answers = good_answers

    async def classes(self) -> Collection[str]:
        return ("algebra",)

    async def members(self, name: str) -> Collection[str]:
        self._good_answers -= 1
        return names(10) if self._good_answers >= 0 else ["vm-0"]


@pytest.mark.parametrize("good_answers", range(7))
async def test_a_roster_that_shrinks_in_the_middle_of_a_command_takes_nothing_away(
    broker: Broker, good_answers: int
) -> None:
    """What was asked before anything was written is what is obeyed."""
    async with ControlPlane.connect(broker.url, roster=Fickle(100)) as plane:
        await plane.init()
        await plane.publish(share("a"), classes=["algebra"])
    async with ControlPlane.connect(broker.url, roster=Fickle(good_answers)) as plane:
        with contextlib.suppress(ConfirmationNeededError):
            await plane.sync()
        with contextlib.suppress(ConfirmationNeededError):
            await plane.publish(share("a", priority=1), classes=["algebra"])
    sets = await stored_sets(broker)
    assert [vm for vm in names(10) if not sets[vm].shares] == []
