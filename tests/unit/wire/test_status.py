"""Status messages."""

import msgspec
import pytest

from weft.errors import DecodeError, ErrorCode
from weft.wire.status import (
    AgentInfo,
    Mode,
    ShareError,
    ShareState,
    ShareStatus,
    VmStatus,
    decode_status,
    encode_status,
)


def test_round_trip() -> None:
    """A status survives encoding, fields of a newer guest too."""
    share = ShareStatus(
        id="a", state=ShareState.FAILED, error=ShareError(code=ErrorCode.AUTH, message="no"), extra={"later": 1}
    )
    status = VmStatus(vm="v", revision=3, mode=Mode.CORE, agent=AgentInfo(backends={"rclone": None}), shares=(share,))
    assert decode_status(encode_status(status)) == status


def test_shares_always_stand() -> None:
    """A guest with no share says so instead of leaving the list out."""
    assert msgspec.json.decode(encode_status(VmStatus(vm="v")))["shares"] == []


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"vm":"a","shares":[{"id":"x","state":"fine"}]}'])
def test_what_is_no_status_is_refused(data: bytes) -> None:
    """A status that cannot be read is an error, not an empty one."""
    with pytest.raises(DecodeError):
        decode_status(data)
