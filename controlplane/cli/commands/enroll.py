"""``weft enroll``: what a new guest needs to join, ready to paste."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from controlplane.cli.auth_options import auth_directory_option, lifetime_option
from controlplane.cli.command import command as weft_command
from controlplane.cli.options import each_vm
from controlplane.cli.secret_output import out_option, plan_files, refuse_open_stdout, write_files
from controlplane.cli.session import link_options, say
from controlplane.cli.textfile import read_text

if TYPE_CHECKING:
    from controlplane.enrollment import Enrollment

SUFFIXES = {"cloud-init": "yaml", "shell": "sh"}


@weft_command("enroll")
@click.argument("vms", metavar="VM...", nargs=-1, required=True, callback=each_vm)
@click.option("--format", "form", type=click.Choice(tuple(SUFFIXES)), default="cloud-init", help="[cloud-init]")
@click.option("--no-auth", is_flag=True, help="For a development broker that asks for no credentials.")
@out_option
@lifetime_option
@auth_directory_option
def command(
    vms: tuple[str, ...],
    form: str,
    no_auth: bool,
    out: str | None,
    force: bool,
    lifetime_s: float | None,
    directory: Path,
) -> None:
    """
    Print what a new guest VM needs to join: its id, the broker's address, and credentials of its own.

    What is printed holds a secret: with it, anybody is this VM. --tlsca FILE goes into it too.

    \b
    Examples:
      weft enroll vm-7 --server tls://broker.example:4222 --out vm-7.yaml
      weft enroll vm-7 --format shell --server tls://broker.example:4222 | ssh root@vm-7 sh
      weft enroll vm-{01..30} --server tls://broker.example:4222 --out enrolled
    """
    if form == "shell" and len(vms) > 1 and not out:
        raise click.UsageError("cannot print several scripts after each other: add --out DIR")
    files = plan_files(vms, out, f".{SUFFIXES[form]}", force=force) if out else None
    if files is None and not no_auth:
        refuse_open_stdout("a guest's credentials")
    guests = _guests(vms, directory=None if no_auth else directory, lifetime_s=lifetime_s)
    from weft.deploy import find_data_file

    from controlplane.enrollment import build_cloud_init, build_shell

    template = find_data_file("cloud-init.yaml").read_text()
    build = build_cloud_init if form == "cloud-init" else build_shell
    texts = {guest.vm: build(template, guest) for guest in guests}
    if files is not None:
        write_files(files, {str(vm): text for vm, text in texts.items()})
    else:
        click.echo("---\n".join(texts.values()), nl=False)


def _guests(vms: tuple[str, ...], *, directory: Path | None, lifetime_s: float | None) -> list[Enrollment]:
    from controlplane.auth.directory import AuthDirectory
    from controlplane.auth.roles import Role
    from controlplane.enrollment import Enrollment
    from weft.errors import ConfigError
    from weft.link.options import without_login
    from weft.wire.ids import parse_vm_id

    ids = [parse_vm_id(vm) for vm in dict.fromkeys(vms)]
    options = link_options()
    tls_ca = None if options.tls_ca is None else read_text(str(options.tls_ca))
    servers = [without_login(server) for server in options.servers]
    if any("@" in server for server in options.servers):
        say("warning: the login in the broker's address is yours, and left out of what a guest gets")
    for server in servers:
        _warn_of(server, has_tls=tls_ca is not None)
    if directory is None:
        return [Enrollment(vm, servers, None, tls_ca) for vm in ids]
    keys = AuthDirectory(directory)
    if not keys.exists:
        raise ConfigError([
            f"cannot give {ids[0]} credentials: there are no keys in {directory} (run 'weft auth init' to make them, "
            "or use --no-auth for a development broker)"
        ])  # fmt: skip
    now_s = time.time()
    issued = [(vm, keys.issue(Role.GUEST, vm, now_s=now_s, lifetime_s=lifetime_s)) for vm in ids]
    return [Enrollment(vm, servers, user.creds, tls_ca) for vm, user in issued]


def _warn_of(server: str, *, has_tls: bool) -> None:
    url = urlsplit(server)
    if url.hostname in ("127.0.0.1", "localhost", "::1"):
        say(f"warning: {server} means the guest itself: name the address that guests reach with --server")
    elif url.scheme not in ("tls", "wss") and not has_tls:
        say(f"warning: {server} is not encrypted, and passwords of shares will travel there (tls:// insists on TLS)")
