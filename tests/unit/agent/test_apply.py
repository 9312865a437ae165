"""Applying one message and remembering nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent import handle_message
from tests.parts.shares import bind, encoded_set, unmount
from weft.errors import DecodeError, MountError
from weft.wire.codec import encode_message
from weft.wire.share import ShareMount


class Recorder:
    """An ApplyFunc that fails for some."""

    def __init__(self, *failing: str) -> None:
        self.calls: list[str] = []
        self.failing = failing

    async def __call__(self, share: ShareMount) -> None:
        await asyncio.sleep(0)
        self.calls.append(f"{'-' if share.is_unmount else '+'}{share.id}")
        if share.id in self.failing:
            raise MountError(f"cannot mount {share.id}")


async def test_every_listed_share_is_applied_parents_first() -> None:
    """Whatever their order in the message."""
    apply = Recorder()
    await handle_message(encoded_set(1, bind("c", "/mnt/p/c"), bind("p", "/mnt/p")), apply)
    assert apply.calls == ["+p", "+c"]


async def test_a_single_share_is_applied() -> None:
    """Mount and unmount."""
    apply = Recorder()
    await handle_message(encode_message(bind("a")), apply)
    await handle_message(encode_message(unmount("a")), apply)
    assert apply.calls == ["+a", "-a"]


async def test_only_what_the_top_level_says_is_unmounted() -> None:
    """A share that is merely not listed stays."""
    apply = Recorder()
    await handle_message(encoded_set(1, bind("b"), changed=unmount("a")), apply)
    assert apply.calls == ["-a", "+b"]


async def test_one_failure_is_raised_as_it_is() -> None:
    """After the others were applied."""
    apply = Recorder("a")
    with pytest.raises(MountError, match="cannot mount a"):
        await handle_message(encoded_set(1, bind("a"), bind("b")), apply)
    assert apply.calls == ["+a", "+b"]


async def test_several_failures_come_as_one_group() -> None:
    """An element that cannot be read is one of them."""
    apply = Recorder("a")
    good = json.loads(encoded_set(1, bind("a"), bind("b")))
    good["shares"].append({"id": "bad"})
    with pytest.raises(ExceptionGroup) as caught:
        await handle_message(json.dumps(good).encode(), apply)
    assert {type(each) for each in caught.value.exceptions} == {MountError, DecodeError}
    assert apply.calls == ["+a", "+b"]


async def test_an_unreadable_message_applies_nothing() -> None:
    """It is an error of its own."""
    apply = Recorder()
    with pytest.raises(DecodeError):
        await handle_message(b'{"shares":null,"vm":"v","revision":1}', apply)
    assert apply.calls == []
