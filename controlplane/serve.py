"""The part of the control plane that serves folders of this machine: a server and a publish, ended in reverse."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controlplane.curating import Curating
from controlplane.publishing import Publishing
from controlplane.requested import Changes, build_share
from controlplane.results import FanOut, OnProgress, Outcome
from weft.errors import ConfigError, UnknownNameError
from weft.link import Link
from weft.wire.ids import parse_share_id
from weft.wire.share import ShareMount, share_to_builtins

if TYPE_CHECKING:
    from controlplane.folder_server import FolderServer

SERVED_BY: Final = "served-by"
"""The label that tells shares of this kind from others."""
FRESH_S: Final = 5
"""How old a listing may be in guests: a file put into the folder is expected to show soon."""
FAREWELL_S: Final = 45.0
"""For guests to store what they still hold and to unmount; an unreachable one is not waited for longer."""


@dataclass(slots=True)
class Served:
    """
    A folder while it is served.

    Attributes:
        share: What was published.
        fan_out: What became of every VM.
        server: The server.
        address: Where guests reach it.
        farewell: How the unpublish went, None until then, and where there was nothing left to unpublish.
    """

    share: ShareMount
    fan_out: FanOut
    server: FolderServer
    address: str
    farewell: Outcome | None = None


class Serving(Publishing, Curating):
    """Serving folders of this machine."""

    @asynccontextmanager
    async def serve(
        self,
        folder: Path | str,
        *,
        name: str = "",
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        at: str | None = None,
        writable: bool = False,
        host: str = "",
        port: int = 0,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
        farewell_s: float = FAREWELL_S,
    ) -> AsyncIterator[Served]:
        """
        Serve *folder* to guests until the block is left.

        Leaving unpublishes, waits until guests have stored what they hold and unmounted, and only then stops the
        server.
        Killed instead, the share stays published without a server; serving under the same name again replaces it.

        Args:
            folder: A directory of this machine.
            name: Id of the share, made from the folder's name unless given.
            classes: Classes that get it; those it had unless any target is given.
            vms: VMs that get it.
            at: Mount point, ``/run/weft/shares/NAME`` unless given.
            writable: Whether guests may write into the folder.
            host: Address to listen on; that by which this machine reaches the broker unless given.
            port: Port to listen on, 0 for any free one.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.
            farewell_s: How long guests may take in the end.

        Raises:
            ConfigError: no such folder, rclone is not installed, or the name is that of a share of another kind.
            ProcessError: the server did not start.
            CatalogError, BrokerError: as :meth:`publish`.
        """
        from controlplane.folder_server import FolderServer, is_wildcard  # nothing else needs what it loads

        share_id = parse_share_id(name) if name else name_of(folder)
        wanted_classes, wanted_vms = tuple(classes), tuple(vms)
        await _refuse_other_kind(self, share_id)
        reached_by = local_address(self._link) if is_wildcard(host) else host
        async with FolderServer(Path(folder), host=host or reached_by, port=port, is_writable=writable) as server:
            share = _build(share_id, server, reached_by, at=at, is_writable=writable)
            served: Served | None = None
            try:
                fan_out = await self.publish(
                    share,
                    classes=wanted_classes,
                    vms=wanted_vms,
                    only=bool(wanted_classes or wanted_vms),
                    description=f"folder {server.folder} of {socket.gethostname()}",
                    labels={SERVED_BY: _label(socket.gethostname())},
                    assume_yes=assume_yes,
                    on_progress=on_progress,
                )
                served = Served(share, fan_out, server, f"{reached_by}:{server.port}")
                yield served
            finally:
                farewell = await _unpublish(self, share, farewell_s)
                if served is not None:
                    served.farewell = farewell


def name_of(folder: Path | str) -> str:
    """
    Make a share's id from a folder's name.

    Raises:
        ConfigError: nothing of the name can be used.
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(folder).resolve().name).strip("-_")
    if not name:
        raise ConfigError([f"cannot name a share after {str(folder)!r}: give a name"])
    return parse_share_id(name[:128])


def local_address(link: Link) -> str:
    """Return the address by which this machine reaches the broker, as the guests do."""
    url = link.nc.connected_url
    assert url is not None, "a link gives only clients that are connected"
    target = (url.hostname or "127.0.0.1", url.port or 4222)
    family, kind, *_, address = socket.getaddrinfo(*target, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(address)  # of a datagram socket: sends nothing, only chooses the way
        return str(probe.getsockname()[0])


def _build(share_id: str, server: FolderServer, host: str, *, at: str | None, is_writable: bool) -> ShareMount:
    values = {
        "id": share_id,
        "backend": "rclone",
        "rclone": server.block(host),
        "readonly": not is_writable,
        "cache": {"ttl_s": FRESH_S},
    }
    return build_share(values, Changes(at=at))


async def _refuse_other_kind(plane: Serving, share_id: str) -> None:
    try:
        record = await plane.share(share_id)
    except UnknownNameError:
        return
    if SERVED_BY not in record.labels:
        raise ConfigError(
            [f"cannot serve a folder as {share_id!r}: a share of that name is published already; give another name"]
        )


async def _unpublish(plane: Serving, share: ShareMount, farewell_s: float) -> Outcome | None:
    """Take the share away, unless it is gone or somebody else serves it under this name by now."""
    try:
        record = await plane.share(share.id)
    except UnknownNameError:
        return None
    if share_to_builtins(record.share).get("rclone") != share_to_builtins(share)["rclone"]:
        return None
    fan_out = await plane.unpublish(share.id, assume_yes=True)
    return await plane.wait(fan_out, timeout_s=farewell_s)


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text) or "unknown"
