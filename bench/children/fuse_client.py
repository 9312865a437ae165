"""A FUSE client in one page: an empty directory served straight from /dev/fuse, which notes when its mount was up."""

import ctypes
import os
import stat
import struct
import sys
import time

FORGET, INTERRUPT, BATCH_FORGET, DESTROY = 2, 36, 42, 38
NOSUID_NODEV = 2 | 4
ENOSYS = 38
REQUEST = struct.Struct("=IIQQIIII")
BUFFER_BYTES = 1 << 17


def main(mount_point: str, source: str, note: str) -> None:
    """
    Mount, note the moment, and serve until unmounted.

    Args:
        mount_point: Where.
        source: What mountinfo shows.
        note: File that gets the monotonic clock, in ns, of the return of mount(2).
    """
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), mount_point.encode(), b"fuse.bench", NOSUID_NODEV, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount")
    up_ns = time.monotonic_ns()
    answer(fd)
    with open(note, "w") as file:
        file.write(str(up_ns))
    while answer(fd):
        pass


def answer(fd: int) -> bool:
    """Answer one request; False once there will be no other."""
    try:
        request = os.read(fd, BUFFER_BYTES)
    except OSError:
        return False
    opcode, unique = REQUEST.unpack_from(request)[1:3]
    if opcode in (FORGET, INTERRUPT, BATCH_FORGET):
        return True
    body = answer_body(opcode)
    error = -ENOSYS if body is None else 0
    os.write(fd, struct.pack("=IiQ", 16 + len(body or b""), error, unique) + (body or b""))
    return bool(opcode != DESTROY)


def answer_body(opcode: int) -> bytes | None:
    """Return what follows the header, None for what this directory does not do (linux/fuse.h)."""
    match opcode:
        case 26:  # INIT: version 7.31, no abilities, 4096 bytes a write
            return struct.pack("=IIIIHHIIHHI", 7, 31, 0, 0, 1, 1, 4096, 1, 0, 0, 0) + bytes(28)
        case 3:  # GETATTR: inode 1, a directory
            return struct.pack("=QII", 1, 0, 0) + struct.pack(
                "=QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0
            )
        case 27:  # OPENDIR
            return bytes(16)
        case 17:  # STATFS
            return bytes(80)
        case 28 | 29 | 38:  # READDIR (nothing in it), RELEASEDIR, DESTROY
            return b""
        case _:
            return None


if __name__ == "__main__":
    main(*sys.argv[1:])
