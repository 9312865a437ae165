"""Messages as bytes of the NATS protocol."""

from __future__ import annotations

from controlplane.frames import build_frame


def test_a_frame_counts_its_headers_and_its_whole_length() -> None:
    """The server trusts both numbers; a wrong one would end the connection."""
    frame = build_frame("weft.mounts.vm-1", "_INBOX.a", {"One": "1", "Two": "zwei"}, "ü".encode())
    command, rest = frame.split(b"\r\n", 1)
    verb, subject, reply, head_size, size = command.split(b" ")
    assert (verb, subject, reply) == (b"HPUB", b"weft.mounts.vm-1", b"_INBOX.a")
    assert rest[: int(head_size)] == b"NATS/1.0\r\nOne: 1\r\nTwo: zwei\r\n\r\n"
    assert rest[int(head_size) : int(size)] == "ü".encode()
    assert rest[int(size) :] == b"\r\n"
