"""``weft serve``: share a folder of this machine with guests, until Ctrl-C."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.exits import NOT_CONVERGED, leave
from controlplane.cli.fanout import report_outcome, waited
from controlplane.cli.interrupt import until_interrupted
from controlplane.cli.options import target_options, timeout_option, yes_option
from controlplane.cli.outcome import summary_of, trouble_of
from controlplane.cli.progress import shown_progress
from controlplane.cli.session import say, with_plane
from weft.errors import ProcessError
from weft.terminal import tell

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.serve import Served

LOOPBACK = ("127.", "[::1]", "::1", "localhost")


@weft_command("serve")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@target_options
@click.option("--at", metavar="PATH", help="Mount point in the guests [/run/weft/shares/NAME].")
@click.option("--writable", is_flag=True, help="Let guests write into the folder.")
@click.option("--name", default="", metavar="ID", help="Id of the share [the folder's name].")
@click.option(
    "--listen", default="", metavar="ADDR", help="HOST or HOST:PORT to serve on [the address that reaches the broker]."
)
@timeout_option
@yes_option
def command(folder: Path, listen: str, timeout_s: float, **options: Any) -> None:
    """
    Share a folder of this machine, until Ctrl-C.

    Serves it by SFTP with a password and keys made for this run, and publishes it. Ctrl-C
    takes the share away, waits until guests have stored what they hold, and stops the
    server. After a crash, the same command replaces what was left.

    \b
    Examples:
      weft serve ./handout --class algebra
      weft serve ./results --class algebra --at /srv/results --writable
      weft serve . --vm vm-7 --listen 10.0.0.5:2022 --name notes
    """
    host, port = _address(listen)
    ends: list[Served] = []

    async def work(plane: ControlPlane) -> bool:
        return await until_interrupted(_serve(plane, folder, host, port, timeout_s, ends, options))

    with_plane(work)
    farewell = ends[0].farewell if ends else None
    if farewell is not None and not farewell.is_converged:
        tell("weft: the server has stopped, and not every VM has unmounted the share:")
        report_outcome(farewell, timeout_s=timeout_s)
        leave(NOT_CONVERGED)


async def _serve(
    plane: ControlPlane,
    folder: Path,
    host: str,
    port: int,
    timeout_s: float,
    ends: list[Served],
    options: dict[str, Any],
) -> None:
    async with AsyncExitStack() as stack:
        with shown_progress() as on_progress:
            chosen = {key: options[key] for key in ("name", "at", "writable", "classes", "vms", "assume_yes")}
            serving = plane.serve(folder, host=host, port=port, on_progress=on_progress, **chosen)
            served = await stack.enter_async_context(serving)
        ends.append(served)
        stack.callback(say, "stopping: taking the share away, then the server")
        _tell(folder, served)
        if served.fan_out.vms:
            outcome = await waited(plane, served.fan_out, timeout_s=timeout_s)
            report_outcome(outcome, timeout_s=timeout_s)
        say("Ctrl-C ends it")
        await served.server.ended()
        why = served.server.last_words()
    raise ProcessError(f"cannot go on serving {folder}: the server ended by itself: {why}")


def _tell(folder: Path, served: Served) -> None:
    for warning in served.fan_out.warnings:
        tell(f"warning: {warning}")
    say(summary_of(served.fan_out, what=f"serving {folder} as {served.share.id} on {served.address}"))
    for line in trouble_of(served.fan_out):
        tell(line)
    if served.address.startswith(LOOPBACK):
        say("only guests on this machine can reach it there; --listen ADDR names another address")


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not text.startswith("[")):
        return text.strip("[]"), 0
    if not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f"--listen {text!r}: expected HOST or HOST:PORT", ctx=click.get_current_context())
    return host.strip("[]"), int(port)
