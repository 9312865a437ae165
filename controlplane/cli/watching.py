"""``weft sync --watch`` as a service: lines for people or programs, and the words that systemd waits for."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from controlplane.cli.interrupt import until_interrupted
from controlplane.cli.session import say, with_plane
from weft.notify import Notifier
from weft.terminal import show, show_json

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.watch import News


def watch(*, interval_s: float | None, kept_s: float, as_json: bool) -> None:
    """Watch until Ctrl-C or SIGTERM; every piece of news is a line on standard output."""
    from controlplane.watch import INTERVAL_S, Watch

    notifier = Notifier(os.environ)

    def tell(news: News) -> None:
        notifier.status(news.text)
        if as_json:
            record = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "kind": news.kind, "text": news.text}
            show_json(json.dumps(record))
        else:
            show(f"{news.kind.value}: {news.text}")

    def ready() -> None:
        notifier.ready()
        notifier.status("watching")
        say("watching; Ctrl-C ends it")

    async def work(plane: ControlPlane) -> None:
        watching = Watch(plane, on_news=tell, interval_s=interval_s or INTERVAL_S, kept_s=kept_s)
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(notifier.feed_watchdog())
            try:
                await watching.run(on_ready=ready)
            finally:
                notifier.stopping()
                feeding.cancel()

    with_plane(lambda plane: until_interrupted(work(plane)))
