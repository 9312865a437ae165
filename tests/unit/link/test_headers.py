"""Headers are read as the library reads them, only faster."""

from __future__ import annotations

import pytest
from nats.aio.client import Client

from weft.link.dial import CarefulClient


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"Nats-Sequence: 7\r\nNats-Subject: weft.mounts.vm-1\r\n\r\n",
        b"a:b\r\nc:\td \r\n e : f\r\n",
        b"twice: 1\r\ntwice: 2\r\n",
        b"colons: a:b:c\r\nnone\r\n: nameless\r\n",
        b"two words: x\r\ntab\tbed: y\r\n",
        "näme: x\r\nname: wärts\r\n".encode(),
        b"broken: \xff\xfe\r\nbr\xffoken: x\r\n",
    ],
)
def test_headers_are_those_that_the_library_finds(raw: bytes) -> None:
    """The same names and values, of what is well formed and of what is not."""
    assert CarefulClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


def test_a_header_that_is_said_twice_stands_where_it_was_said_last() -> None:
    """What a server adds is told from what the sender said by its place."""
    assert list(CarefulClient._parse_header_lines(b"a: 1\r\nb: 2\r\na: 3\r\n")) == ["b", "a"]
