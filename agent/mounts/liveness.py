"""Whether the client behind a mount still answers."""

from __future__ import annotations

import enum
import errno


class Liveness(enum.StrEnum):
    """What a bounded probe of a mount found."""

    ALIVE = "alive"
    DEAD = "dead"
    HUNG = "hung"


_DEAD = frozenset({errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ESTALE, errno.EHOSTDOWN})
_SILENT = frozenset({errno.ETIMEDOUT})


def liveness_of(error: int) -> Liveness:
    """
    Say what the errno of a failed ``statvfs`` means.

    ENOTCONN comes from a FUSE mount whose client is gone, ECONNABORTED from an aborted one, ESTALE from NFS after its
    server forgot the export; ETIMEDOUT is a soft NFS mount that gave up waiting. Any other refusal is an answer, so
    somebody is alive to give it.
    """
    if error in _DEAD:
        return Liveness.DEAD
    return Liveness.HUNG if error in _SILENT else Liveness.ALIVE
