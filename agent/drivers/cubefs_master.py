"""Asks the CubeFS masters about volume, owner and key, because the client takes minutes to say that one is wrong."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from agent.drivers.http_call import HttpError, call
from weft.errors import ErrorCode, MountError
from weft.wire.blocks import CubefsBlock

DEADLINE_S: Final = 1.5
"""A master in the same site answers in milliseconds; with connecting, both questions stay well below two seconds."""

_NO_VOLUME: Final = "vol not exists"
_NO_KEY: Final = ("access key not exists", "accesskey can only be")
_BAD_NAME: Final = "name can only be"
"""The texts are older and more stable than the numeric codes, which moved between versions."""


class _Envelope(msgspec.Struct, frozen=True):
    """What every master answers: code 0 and data, or another code and its message."""

    code: int
    msg: str = ""
    data: Any = None


class Unanswered(Exception):
    """
    No master gave an answer that could be understood.

    Args:
        reasons: Per master, why.
        is_reachable: Whether at least one of them speaks at all; the mount then decides.
    """

    def __init__(self, reasons: Mapping[str, str], *, is_reachable: bool) -> None:
        super().__init__("; ".join(f"{master}: {reason}" for master, reason in reasons.items()))
        self.is_reachable = is_reachable


async def check_access(share_id: str, block: CubefsBlock, *, deadline_s: float) -> None:
    """
    Ask all masters at once whether *block* can be mounted; the first clear answer counts.

    An answer that cannot be understood says nothing: the mount decides then.

    Raises:
        MountError: NOT_FOUND or AUTH (permanent), or UNREACHABLE when no master speaks to us.
    """
    questions = [_ask(block.masters, "/admin/getVol", {"name": block.volume})]
    if block.access_key:
        questions.append(_ask(block.masters, "/user/akInfo", {"ak": block.access_key}))
    limit_s = min(deadline_s, DEADLINE_S)
    answers = await asyncio.gather(*(_limited(question, limit_s) for question in questions), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, Unanswered):
            if answer.is_reachable:
                continue
            raise MountError(
                f"cannot mount share {share_id!r}: no CubeFS master answers",
                code=ErrorCode.UNREACHABLE,
                detail=str(answer),
            )
        if isinstance(answer, BaseException):
            raise answer
    judge(share_id, block, *(answer for answer in answers if isinstance(answer, _Envelope)))


def judge(share_id: str, block: CubefsBlock, *answers: _Envelope) -> None:
    """
    Decide from the masters' answers; pure.

    Raises:
        MountError: volume, owner or key is wrong; trying again would not help.
    """
    for answer in answers:
        if answer.code != 0:
            _judge_refusal(share_id, block, answer.msg)
        elif isinstance(answer.data, dict):
            if "Owner" in answer.data:
                _judge_owner(share_id, block, answer.data)
            elif "access_key" in answer.data:
                _judge_key(share_id, block, answer.data)


def _judge_refusal(share_id: str, block: CubefsBlock, text: str) -> None:
    if _NO_VOLUME in text:
        raise MountError(
            f"cannot mount share {share_id!r}: CubeFS has no volume {block.volume!r}",
            code=ErrorCode.NOT_FOUND,
            is_permanent=True,
        )
    if any(known in text for known in _NO_KEY):
        raise MountError(f"cannot mount share {share_id!r}: CubeFS does not know the access key", code=ErrorCode.AUTH)
    if _BAD_NAME in text:
        raise MountError(
            f"cannot mount share {share_id!r}: CubeFS does not accept {block.volume!r} as the name of a volume",
            code=ErrorCode.BAD_SPEC,
        )


def _judge_owner(share_id: str, block: CubefsBlock, data: Mapping[str, Any]) -> None:
    """Compare the owner, which is the credential where there is no access key and plays no part where there is one."""
    if not block.access_key and data["Owner"] != block.owner:
        raise MountError(
            f"cannot mount share {share_id!r}: {block.owner!r} does not own volume {block.volume!r}",
            code=ErrorCode.AUTH,
        )


def _judge_key(share_id: str, block: CubefsBlock, data: Mapping[str, Any]) -> None:
    secret = data.get("secret_key")
    if isinstance(secret, str) and not hmac.compare_digest(secret.encode(), block.secret_key.encode()):
        raise MountError(
            f"cannot mount share {share_id!r}: the secret key does not belong to the access key", code=ErrorCode.AUTH
        )
    policy = data.get("policy")
    if not isinstance(policy, dict) or "own_vols" not in policy:
        return
    if block.volume not in {*(policy["own_vols"] or ()), *(policy.get("authorized_vols") or ())}:
        raise MountError(
            f"cannot mount share {share_id!r}: the access key has no right on volume {block.volume!r}",
            code=ErrorCode.DENIED,
        )


async def _limited(question: Any, limit_s: float) -> _Envelope:
    try:
        async with asyncio.timeout(limit_s):
            answer: _Envelope = await question
            return answer
    except TimeoutError:
        raise Unanswered({"all": f"silent for {limit_s:g} s"}, is_reachable=False) from None


async def _ask(masters: Sequence[str], path: str, query: Mapping[str, str]) -> _Envelope:
    """Ask every master and return the first answer that says something; the others are abandoned."""
    target = f"{path}?{urlencode(query)}"
    tasks = [asyncio.create_task(_ask_one(master, target)) for master in masters]
    failures: list[_NoAnswer] = []
    try:
        for finished in asyncio.as_completed(tasks):
            answer = await finished
            if isinstance(answer, _Envelope):
                return answer
            failures.append(answer)
    finally:
        for task in tasks:
            task.cancel()
    raise Unanswered(
        {failure.master: failure.reason for failure in failures}, is_reachable=any(f.speaks for f in failures)
    )


class _NoAnswer(msgspec.Struct, frozen=True):
    master: str
    reason: str
    speaks: bool = False


async def _ask_one(master: str, target: str) -> _Envelope | _NoAnswer:
    host, _, port = master.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        reply = await call(reader, writer, host=master, target=target)
        envelope = msgspec.json.decode(reply.body, type=_Envelope)
    except OSError as exc:
        return _NoAnswer(master, exc.strerror or "no connection")
    except UnicodeError:
        return _NoAnswer(master, "it is no host name")
    except (HttpError, msgspec.DecodeError):
        return _NoAnswer(master, "it does not answer like a master", speaks=True)
    if envelope.code == 0 or any(text in envelope.msg for text in (_NO_VOLUME, _BAD_NAME, *_NO_KEY)):
        return envelope
    return _NoAnswer(master, envelope.msg, speaks=True)
