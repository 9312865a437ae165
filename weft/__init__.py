"""weft mounts shares inside fleets of virtual machines: what both sides share."""

from weft.wire.blocks import load_when_unknown
from weft.wire.codec import decode_message, encode_message
from weft.wire.mountset import MountSet
from weft.wire.route import route
from weft.wire.share import ShareMount
from weft.wire.status import VmStatus
from weft.wire.subjects import subject

__version__ = "0.1.0"
__all__ = ["MountSet", "ShareMount", "VmStatus", "__version__", "decode_message", "encode_message", "route", "subject"]


def _load_offered() -> tuple[str, ...]:
    from weft.offered import load_offered  # looking through all installed packages takes its time

    return load_offered().problems


load_when_unknown(_load_offered)
