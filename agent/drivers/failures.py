"""Finds the reason of a failed start in what a client said: a table of patterns, the first that matches wins."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.drivers.base import Failure
from weft.errors import ErrorCode, ExitedEarlyError, MountError, MountTimeoutError
from weft.wire.share import ShareMount

_DETAIL_LINES = 20
_DETAIL_CHARACTERS = 8192
_BY_ERRNO = {
    errno.EACCES: (ErrorCode.DENIED, "may not be read"),
    errno.EPERM: (ErrorCode.DENIED, "may not be read"),
    errno.ENOENT: (ErrorCode.NOT_FOUND, "does not exist"),
    errno.ENOTDIR: (ErrorCode.NOT_FOUND, "is not a directory"),
    errno.ENOTCONN: (ErrorCode.EXITED, "is not served any more"),
    errno.ECONNABORTED: (ErrorCode.EXITED, "is not served any more"),
}


@dataclass(frozen=True, slots=True)
class Sign:
    """
    A text in a client's output and what it means.

    Attributes:
        pattern: Regular expression, searched in the whole output without regard to case.
        code: What the operator's status shows.
        why: Continues the sentence "cannot mount share 'x': ".
        is_permanent: Whether trying again is pointless; None takes it from the code.
    """

    pattern: str
    code: ErrorCode
    why: str
    is_permanent: bool | None = None


def find_sign(output: str, signs: Sequence[Sign]) -> Sign | None:
    """Return the first of *signs* that *output* shows."""
    return next((sign for sign in signs if re.search(sign.pattern, output, re.IGNORECASE)), None)


def build_error(share: ShareMount, sign: Sign, output: str) -> MountError:
    """Turn *sign* into the error that is reported; *output* is redacted already."""
    return MountError(
        f"cannot mount share {share.id!r}: {sign.why}",
        code=sign.code,
        detail=last_lines(output),
        is_permanent=sign.is_permanent,
    )


def classify(share: ShareMount, failure: Failure, client: str, signs: Sequence[Sign]) -> MountError:
    """Name a failed start by what the client said, else by how it ended; pure."""
    sign = find_sign(failure.output, signs)
    if sign is not None:
        return build_error(share, sign, failure.output)
    detail = last_lines(failure.output)
    start = f"cannot mount share {share.id!r}"
    if failure.root_errno is not None:
        code, why = _BY_ERRNO.get(failure.root_errno, (ErrorCode.UNREACHABLE, "cannot be read"))
        name = errno.errorcode.get(failure.root_errno, str(failure.root_errno))
        return MountError(f"{start}: its root {why} ({name})", code=code, detail=detail)
    match failure.exit_code:
        case None:
            return MountTimeoutError(f"{start}: {client} was not ready in time", detail=detail)
        case number:
            how = f"was ended by signal {-number}" if number < 0 else f"ended with code {number}"
            return ExitedEarlyError(f"{start}: {client} {how}", exit_code=number, detail=detail)


def last_lines(output: str) -> str:
    """Return the end of *output*, short enough for a status."""
    return "\n".join(output.strip().splitlines()[-_DETAIL_LINES:])[-_DETAIL_CHARACTERS:]
