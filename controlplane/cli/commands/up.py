"""``weft up``: a broker and one guest on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.interrupt import until_interrupted
from controlplane.cli.session import is_quiet, run_async, say
from weft.errors import ProcessError
from weft.wire.ids import VmId, parse_vm_id

DEFAULT_LISTEN = "127.0.0.1:4222"
DEFAULT_SERVER = f"nats://{DEFAULT_LISTEN}"


@weft_command("up")
@click.option("--listen", default=DEFAULT_LISTEN, metavar="ADDR", help=f"Address of the broker [{DEFAULT_LISTEN}].")
@click.option(
    "--store", type=click.Path(path_type=Path), metavar="DIR", help="Keep the broker's data here [thrown away]."
)
@click.option("--vm", default="local", metavar="VM", help="VM id of the local guest [local].")
@click.option("--no-guest", is_flag=True, help="Only the broker.")
@click.option("--allow", "roots", multiple=True, metavar="ROOT", help="Where the guest may mount; repeatable.")
@click.option("--allow-source", "sources", multiple=True, metavar="ROOT", help="What it may bind; repeatable.")
def command(
    listen: str, store: Path | None, vm: str, no_guest: bool, roots: tuple[str, ...], sources: tuple[str, ...]
) -> None:
    """
    Run a broker and a guest here, until Ctrl-C.

    The broker has JetStream. The guest is VM ``local``; its shares are unmounted at the end.

    \b
    Examples:
      weft up
      weft up --listen 0.0.0.0:4222 --store /var/lib/weft-broker --no-guest
    """
    host, port = _address(listen)
    has_guest = not no_guest and os.geteuid() == 0
    if not no_guest and not has_guest:
        say("no guest here: mounting needs root")
    arguments = [part for root in roots for part in ("--allow", root)]
    arguments += [part for root in sources for part in ("--allow-source", root)]
    run_async(until_interrupted(_up(host, port, store, parse_vm_id(vm) if has_guest else None, arguments, say)))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f"--listen {text!r}: expected HOST:PORT", ctx=click.get_current_context())
    return host.strip("[]") or "127.0.0.1", int(port)


async def _up(
    host: str, port: int, store: Path | None, vm: VmId | None, arguments: list[str], tell: Callable[..., None]
) -> None:
    from controlplane.broker import EmbeddedBroker
    from controlplane.local_guest import LocalGuest
    from controlplane.plane import ControlPlane

    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-up-")))
        broker = await stack.enter_async_context(EmbeddedBroker(store or directory / "broker", host=host, port=port))
        tell(f"broker   {broker.url}")
        plane = await stack.enter_async_context(ControlPlane.connect(broker.url))
        await plane.init()
        ends = {"the broker": broker.ended}
        if vm is not None:
            guest = LocalGuest(
                vm,
                broker.url,
                directory / "guest",
                arguments=arguments,
                environ={"WEFT_ALLOW_TYPE": "local", **os.environ},  # to try weft, every user may see what root sees
                is_quiet=is_quiet(),
            )
            await stack.enter_async_context(guest)
            await guest.start(plane.link)
            tell(f"guest    {vm}")
            ends[f"guest {vm}"] = guest.ended
        server = "" if broker.url == DEFAULT_SERVER else f" -s {broker.url}"
        tell(f"ready    weft publish files --from SRC --vm {vm or 'VM'} --wait{server}", "Ctrl-C ends it")
        stack.callback(tell, "stopping")
        async with asyncio.TaskGroup() as group:
            for name, ended in ends.items():
                group.create_task(_fail_at_end(name, ended))


async def _fail_at_end(name: str, ended: Callable[[], Awaitable[int]]) -> None:
    code = await ended()
    raise ProcessError(f"cannot go on: {name} ended by itself with exit code {code}")
