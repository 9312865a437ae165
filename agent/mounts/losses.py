"""Hear at once when a mount is lost: its client ended, or it vanished from the mount table or was covered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.actual import LiveMount, Presence, Stage
from agent.mounts.mountinfo import MountTable
from agent.mounts.ownership import decide_presence, find_entry
from agent.mounts.parts import Parts
from agent.supervise.process import ClientProcess
from weft.errors import ExitedEarlyError, MountError, NotMountedError, OccupiedError, ProcessError
from weft.wire.ids import ShareId


class Losses:
    """
    The clients of live mounts, and which mounts are lost.

    Args:
        parts: What to work with.
        on_change: Told of each loss once, and with None when a covered mount shows again.
    """

    def __init__(self, *, parts: Parts, on_change: Callable[[ShareId, MountError | None], None]) -> None:
        self._parts = parts
        self._on_change = on_change
        self._clients: dict[ShareId, ClientProcess] = {}
        self._watched: set[ShareId] = set()
        self._lost: dict[ShareId, MountError] = {}
        self._dead: dict[ShareId, MountError] = {}
        self._changing: Counter[ShareId] = Counter()
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to listen to the mount table."""
        self._unsubscribe = self._parts.table.subscribe(self._look)

    def close(self) -> None:
        """Stop listening; every client is left as it is."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def presence(self, share_id: ShareId) -> Presence:
        """Say how a share stands."""
        live = self._parts.live.find_live(share_id)
        return decide_presence(
            live,
            self._parts.table.current,
            boot_id=self._parts.boot_id,
            is_served=live is None or self._is_served(live),
            is_changing=share_id in self._changing,
        )

    def client(self, share_id: ShareId) -> ClientProcess | None:
        """Return the client of a share, if it has one that was alive when we last had to do with it."""
        return self._clients.get(share_id)

    def watch(self, share_id: ShareId, client: ClientProcess | None) -> None:
        """From now on, tell of the loss of *share_id*; *client* serves it."""
        self._watched.add(share_id)
        self._lost.pop(share_id, None)
        self._dead.pop(share_id, None)
        if client is not None:
            self.keep(share_id, client)
            live = self._parts.live.find_live(share_id)
            device = live.device if live is not None else ""
            client.on_exit(lambda: self._note_exit(share_id, device))

    def give_up(self, share_id: ShareId, why: MountError) -> None:
        """Count *share_id* as lost although it stands and its client lives: nobody gets an answer from it any more."""
        self._dead[share_id] = why
        self._note(share_id)

    def is_given_up(self, share_id: ShareId) -> bool:
        """Say whether *share_id* stands and lives, and nobody gets an answer from it."""
        return share_id in self._dead

    def keep(self, share_id: ShareId, client: ClientProcess) -> None:
        """Keep the client of a mount that is known to be lost, for who ends it."""
        self._clients[share_id] = client

    def tell_found(self, share_id: ShareId) -> None:
        """Tell of *share_id*, which was found lost, if something of it stands: what lies on that must go with it."""
        live = self._parts.live.find_live(share_id)
        if live is not None and self.presence(share_id) is Presence.UNCERTAIN:
            self._on_change(share_id, self._why(live))

    def unwatch(self, share_id: ShareId) -> ClientProcess | None:
        """Tell no more of *share_id*; hand its client over."""
        self._watched.discard(share_id)
        self._lost.pop(share_id, None)
        self._dead.pop(share_id, None)
        return self._clients.pop(share_id, None)

    @contextmanager
    def changing(self, share_id: ShareId) -> Iterator[None]:
        """While a share is being changed it is not lost; what happened to it meanwhile is told afterwards."""
        self._changing[share_id] += 1
        try:
            yield
        finally:
            self._changing[share_id] -= 1
            if not self._changing[share_id]:
                del self._changing[share_id]
            self._note(share_id)

    def _look(self, _: MountTable) -> None:
        for share_id in tuple(self._watched):
            self._note(share_id)

    def _note_exit(self, share_id: ShareId, device: str) -> None:
        """Tell of a share whose client ended, and of the binds that show a part of it: they stand and are as dead."""
        self._note(share_id)
        for other in tuple(self._parts.live.live()):
            shows_it = other.process is None and other.device == device and other.share_id != share_id
            if shows_it and self.presence(other.share_id) is Presence.MOUNTED:
                why = f"share {other.share_id!r} shows a part of share {share_id!r}, whose client ended"
                self.give_up(other.share_id, NotMountedError(why))

    def _note(self, share_id: ShareId) -> None:
        live = self._parts.live.find_live(share_id)
        is_settled = live is not None and live.stage is Stage.MOUNTED and share_id not in self._changing
        if live is None or not is_settled or share_id not in self._watched:
            return
        is_lost = self.presence(share_id) is not Presence.MOUNTED
        if is_lost and share_id not in self._lost:
            self._lost[share_id] = self._why(live)
            self._on_change(share_id, self._lost[share_id])
        elif not is_lost and self._lost.pop(share_id, None) is not None:
            self._on_change(share_id, None)

    def _is_served(self, live: LiveMount) -> bool:
        client = self._clients.get(live.share_id)
        if live.share_id in self._dead:
            return False
        return live.process is None or (client is not None and not client.has_exited)

    def _why(self, live: LiveMount) -> MountError:
        share, path = live.share_id, live.mount_point
        client = self._clients.get(share)
        if client is not None and client.has_exited and client.exit_code is not None:
            return ExitedEarlyError(
                f"the client of share {share!r} ended with exit code {client.exit_code}",
                exit_code=client.exit_code,
                detail=self._parts.tell_output(live),
            )
        if share in self._dead:
            return self._dead[share]
        if not self._is_served(live):
            return ProcessError(f"the client of share {share!r} ended", detail=self._parts.tell_output(live))
        entry = find_entry(live, self._parts.table.current, boot_id=self._parts.boot_id)
        if entry is None:
            return NotMountedError(f"the mount of share {share!r} at {path!r} is gone: somebody else unmounted it")
        return OccupiedError(f"the mount of share {share!r} at {path!r} is covered by another mount")
