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
from weft.terminal import show_block

if TYPE_CHECKING:
    from controlplane.enrollment import Enrollment
    from controlplane.guest_package import Package

SUFFIXES = {"cloud-init": "yaml", "shell": "sh"}
USER_DATA_BYTES = 16384
"""What several clouds take as user-data."""


@weft_command("enroll")
@click.argument("vms", metavar="VM...", nargs=-1, required=True, callback=each_vm)
@click.option("--format", "form", type=click.Choice(tuple(SUFFIXES)), default="cloud-init", help="[cloud-init]")
@click.option("--package", metavar="FILE|URL", help="weft's wheel, or a .tar.gz of wheels; what it installs.")
@click.option("--sha256", metavar="HEX", help="The package's digest; a URL needs it, a FILE is checked against it.")
@click.option("--installed", is_flag=True, help="For machines whose image has weft already.")
@click.option("--no-auth", is_flag=True, help="For a development broker that asks for no credentials.")
@out_option
@lifetime_option
@auth_directory_option
def command(
    vms: tuple[str, ...],
    form: str,
    package: str | None,
    sha256: str | None,
    installed: bool,
    no_auth: bool,
    out: str | None,
    force: bool,
    lifetime_s: float | None,
    directory: Path,
) -> None:
    """
    Print what a new guest VM needs to join: its id, the broker's address, and credentials of its own.

    What is printed holds a secret: with it, anybody is this VM. --tlsca FILE goes into it too. The guest
    installs weft from --package and from nothing else: a FILE travels in what is printed, a URL is fetched
    and must have the digest --sha256.

    \b
    Examples:
      weft enroll vm-7 --installed --server tls://broker.example:4222 --out vm-7.yaml
      weft enroll vm-7 --package dist/weft_mounts-0.1.0-py3-none-any.whl --format shell \\
          --server tls://broker.example:4222 | ssh root@vm-7 sh
      weft enroll vm-{01..30} --package https://files.example/weft.tar.gz \\
          --sha256 "$(sha256sum < weft.tar.gz | cut -c -64)" --server tls://broker.example:4222 --out enrolled
    """
    if form == "shell" and len(vms) > 1 and not out:
        raise click.UsageError("cannot print several scripts after each other: add --out DIR")
    what = _package(package, sha256, is_installed=installed)
    files = plan_files(vms, out, f".{SUFFIXES[form]}", force=force) if out else None
    if files is None and not no_auth:
        refuse_open_stdout("a guest's credentials", f"FILE.{SUFFIXES[form]}")
    guests = _guests(vms, directory=None if no_auth else directory, lifetime_s=lifetime_s, package=what)
    from weft.deploy import find_data_file

    from controlplane.enrollment import build_cloud_init, build_shell

    template = find_data_file("cloud-init.yaml").read_text()
    build = build_cloud_init if form == "cloud-init" else build_shell
    texts = {guest.vm: build(template, guest) for guest in guests}
    if form == "cloud-init" and what is not None and what.content is not None:
        _warn_of_size(max(len(text.encode()) for text in texts.values()))
    if files is not None:
        write_files(files, {str(vm): text for vm, text in texts.items()})
    else:
        show_block("---\n".join(texts.values()), end="")


def _package(source: str | None, sha256: str | None, *, is_installed: bool) -> Package | None:
    """Read what guests install weft from; None where they have it."""
    from controlplane.guest_package import names_url, parse_file, parse_url
    from controlplane.textfile import read_bytes

    if is_installed and (source or sha256):
        raise click.UsageError("cannot install what --installed says is there: leave out --package and --sha256")
    if is_installed:
        return None
    if not source:
        raise click.UsageError(
            "cannot say where the guest gets weft from: add --package FILE (pip wheel --no-deps -w dist . makes it "
            "where the sources are), --package URL --sha256 HEX, or --installed where its image has weft"
        )
    if names_url(source):
        return parse_url(source, sha256)
    path = Path(source).expanduser()
    return parse_file(path.name, read_bytes(path), sha256)


def _warn_of_size(size_bytes: int) -> None:
    if size_bytes > USER_DATA_BYTES:
        say(
            f"warning: the document has {size_bytes // 1000} kB with the package in it, and some clouds take 16 kB of "
            "user-data: --package URL --sha256 HEX keeps it small"
        )


def _guests(
    vms: tuple[str, ...], *, directory: Path | None, lifetime_s: float | None, package: Package | None
) -> list[Enrollment]:
    from weft.deploy import find_data_file

    from controlplane.auth.directory import AuthDirectory
    from controlplane.auth.roles import Role
    from controlplane.enrollment import Enrollment, parse_certificates, parse_server
    from weft.errors import ConfigError
    from weft.link.options import without_login
    from weft.wire.ids import parse_vm_id

    ids = [parse_vm_id(vm) for vm in dict.fromkeys(vms)]
    options = link_options()
    tls_ca = None if options.tls_ca is None else parse_certificates(read_text(str(options.tls_ca)))
    servers = [parse_server(without_login(server)) for server in options.servers]
    if any("@" in server for server in options.servers):
        say("warning: the login in the broker's address is yours, and left out of what a guest gets")
    for server in servers:
        _warn_of(server, has_tls=tls_ca is not None)
    installer = find_data_file("install.py").read_text()
    if directory is None:
        return [Enrollment(vm, servers, None, tls_ca, package, installer) for vm in ids]
    keys = AuthDirectory(directory)
    if not keys.exists:
        raise ConfigError([
            f"cannot give {ids[0]} credentials: there are no keys in {directory} (run 'weft auth init' to make them, "
            "or use --no-auth for a development broker)"
        ])  # fmt: skip
    now_s = time.time()
    issued = [(vm, keys.issue(Role.GUEST, vm, now_s=now_s, lifetime_s=lifetime_s)) for vm in ids]
    return [Enrollment(vm, servers, user.creds, tls_ca, package, installer) for vm, user in issued]


def _warn_of(server: str, *, has_tls: bool) -> None:
    url = urlsplit(server)
    if url.hostname in ("127.0.0.1", "localhost", "::1"):
        say(f"warning: {server} means the guest itself: name the address that guests reach with --server")
    elif url.scheme not in ("tls", "wss") and not has_tls:
        say(f"warning: {server} is not encrypted, and passwords of shares will travel there (tls:// insists on TLS)")
