"""``weft auth``: least-privilege NATS users for guests and operators."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.auth_options import auth_directory_option, lifetime_option
from controlplane.cli.command import group
from controlplane.cli.listing import show_listing
from controlplane.cli.options import output_option
from controlplane.cli.secret_output import out_option, plan_files, refuse_open_stdout, write_files
from controlplane.cli.session import say
from weft.terminal import show_block, show_json

if TYPE_CHECKING:
    from controlplane.auth.roles import Role
    from controlplane.auth.users import Issued


@group("auth")
def command() -> None:
    """
    Give guests and operators NATS users that can do what they need, and nothing else.

    The keys stay in a directory of this machine; the broker needs only its nats.conf and accounts.conf.
    """


@command.command("init")
@auth_directory_option
def init(directory: Path) -> None:
    """
    Make operator, accounts and keys, and a configuration for the broker.

    Twice is the same as once: keys that are there are kept.

    \b
    Examples:
      weft auth init
      nats-server -c ~/.config/weft/auth/nats.conf
    """
    from controlplane.auth.directory import AuthDirectory

    keys = AuthDirectory(directory)
    made = keys.init(now_s=time.time())
    if made.is_new:
        say(f"made keys in {directory} (who has them can do everything: keep a copy in a safe place)")
        say(f"  next: nats-server -c {keys.nats_conf}")
        say("        weft auth admin root --out root.creds; weft --creds root.creds init")
        say("        weft auth operator NAME --out NAME.creds")
        return
    say(f"verified keys and {keys.accounts_conf}")
    if made.is_upgraded:
        say("operators and observers have accounts of their own now; guests' credentials stay as they are")
        say(f"  next: give the broker {keys.accounts_conf} and have it reload (nats-server --signal reload)")
        say("        weft auth admin root --out root.creds; weft --creds root.creds init")
    for user in made.voided:
        say(f"  those of {user.role} {user.name} end with that: weft auth {user.role} {user.name} --out FILE.creds")


@command.command("guest")
@click.argument("vms", metavar="VM...", nargs=-1, required=True)
@output_option("creds", "json")
@out_option
@lifetime_option
@auth_directory_option
def guest(
    vms: tuple[str, ...], output: str, out: str | None, force: bool, lifetime_s: float | None, directory: Path
) -> None:
    """
    Make credentials with which a guest is VM, and can do nothing as another.

    \b
    Examples:
      weft auth guest vm-7 --out nats.creds
      weft auth guest vm-1 vm-2 vm-3 --out creds --expires 90d
    """
    from controlplane.auth.roles import Role

    _issue(Role.GUEST, vms, output=output, out=out, force=force, lifetime_s=lifetime_s, directory=directory)


@command.command("operator")
@click.argument("name", metavar="NAME")
@click.option("--read-only", is_flag=True, help="The same as: weft auth observer NAME.")
@output_option("creds", "json")
@out_option
@lifetime_option
@auth_directory_option
def operator(
    name: str,
    read_only: bool,
    output: str,
    out: str | None,
    force: bool,
    lifetime_s: float | None,
    directory: Path,
) -> None:
    """
    Make credentials for the operator NAME: publishes, changes the catalog, reads everything.

    \b
    Examples:
      weft auth operator ann --out ann.creds
    """
    from controlplane.auth.roles import Role

    role = Role.OBSERVER if read_only else Role.OPERATOR
    _issue(role, [name], output=output, out=out, force=force, lifetime_s=lifetime_s, directory=directory)


@command.command("observer")
@click.argument("name", metavar="NAME")
@output_option("creds", "json")
@out_option
@lifetime_option
@auth_directory_option
def observer(name: str, output: str, out: str | None, force: bool, lifetime_s: float | None, directory: Path) -> None:
    """
    Make credentials for the observer NAME: reads everything, and stores nothing.

    \b
    Examples:
      weft auth observer wallboard --out wallboard.creds
    """
    from controlplane.auth.roles import Role

    _issue(Role.OBSERVER, [name], output=output, out=out, force=force, lifetime_s=lifetime_s, directory=directory)


@command.command("admin")
@click.argument("name", metavar="NAME")
@output_option("creds", "json")
@out_option
@lifetime_option
@auth_directory_option
def admin(name: str, output: str, out: str | None, force: bool, lifetime_s: float | None, directory: Path) -> None:
    """
    Make credentials for the admin NAME: makes, changes and empties streams; for weft init and weft vm forget.

    Whoever has them can do everything to weft's streams. For daily work there is: weft auth operator.

    \b
    Examples:
      weft auth admin root --out root.creds
      weft --creds root.creds init
    """
    from controlplane.auth.roles import Role

    _issue(Role.ADMIN, [name], output=output, out=out, force=force, lifetime_s=lifetime_s, directory=directory)


@command.command("revoke")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@auth_directory_option
def revoke(names: tuple[str, ...], directory: Path) -> None:
    """
    Void all credentials of VMs or operators; the broker learns it when it reads accounts.conf again.

    \b
    Examples:
      weft auth revoke vm-7 && nats-server --signal reload
    """
    from controlplane.auth.directory import AuthDirectory

    keys = AuthDirectory(directory)
    for user in keys.revoke(names, now_s=time.time()):
        say(f"revoked {user.role} {user.name} ({user.public[:8]}…)")
    say(f"  next: give the broker {keys.accounts_conf} and have it reload (nats-server --signal reload)")


@command.command("list")
@output_option()
@auth_directory_option
def list_users(output: str, directory: Path) -> None:
    """
    List who was given credentials.

    \b
    Examples:
      weft auth list
    """
    from controlplane.auth.directory import AuthDirectory
    from controlplane.cli.listing import print_listing
    from controlplane.cli.output import Column, Row

    columns = (
        *(Column(title) for title in ("NAME", "ROLE", "STATE", "ISSUED", "EXPIRES")),
        Column("KEY", is_wide=True),
    )
    now_s = time.time()
    rows = []
    for user in AuthDirectory(directory).users():
        state = user.state(now_s)
        times = (_time(user.issued_at_s), _time(user.expires_at_s) or "never")
        record = {
            "name": user.name, "role": user.role.value, "state": state, "public_key": user.public,
            "issued_at": _time(user.issued_at_s), "expires_at": _time(user.expires_at_s),
            "revoked_at": _time(user.revoked_at_s),
        }  # fmt: skip
        rows.append(Row(user.name, (user.name, user.role.value, state, *times, user.public), record))
    print_listing(columns, rows, output, if_none=("nobody was given credentials yet", "  try: weft auth guest VM"))


@command.command("show")
@output_option("table", "json")
def show(output: str) -> None:
    """
    Show what each role may do on the broker; everything else is refused.

    \b
    Examples:
      weft auth show
    """
    from controlplane.auth.roles import NAME, STREAMS, Role, account_of, grants_of
    from controlplane.cli.output import Column, Row

    titles = ("ROLE", "ACCOUNT", "MAY", "SUBJECT", "TO")
    rows = {}
    for role in Role:
        for grant in grants_of(role):
            subject = grant.subject.replace(NAME, "NAME")
            if output == "table" and role is not Role.GUEST and subject.startswith(("$JS.API.", "weft.api.")):
                subject = next((subject.replace(name, "STREAM") for name in STREAMS if name in subject), subject)
            cells = (role.value, account_of(role).value, grant.act.value, subject, grant.why)
            rows[cells] = Row(subject, cells, {title.lower(): cell for title, cell in zip(titles, cells, strict=True)})
    show_listing([Column(title) for title in titles], list(rows.values()), output)
    say(f"NAME is the user's own name; STREAM is each of {', '.join(STREAMS)}")


def _issue(
    role: Role,
    names: Sequence[str],
    *,
    output: str,
    out: str | None,
    force: bool,
    lifetime_s: float | None,
    directory: Path,
) -> None:
    names = list(dict.fromkeys(names))
    if output == "creds" and len(names) > 1 and not out:
        raise click.UsageError("cannot print several credentials after each other: add --out DIR or -o json")
    from controlplane.auth.directory import AuthDirectory
    from controlplane.auth.users import parse_user_name
    from controlplane.cli.output import format_json

    for name in names:
        parse_user_name(role, name)
    files = plan_files(names, out, f".{output}", force=force) if out else None
    if files is None:
        refuse_open_stdout("credentials", f"FILE.{output}")
    keys = AuthDirectory(directory)
    issued = [keys.issue(role, name, now_s=time.time(), lifetime_s=lifetime_s) for name in names]
    if files is not None:
        texts = {user.name: user.creds if output == "creds" else format_json(_record(user)) + "\n" for user in issued}
        write_files(files, texts)
    elif output == "json":
        show_json(format_json([_record(user) for user in issued]))
    else:
        show_block(issued[0].creds, end="")


def _record(user: Issued) -> dict[str, str]:
    return {
        "name": user.name,
        "role": user.role.value,
        "public_key": user.public,
        "expires_at": _time(user.expires_at_s),
        "creds": user.creds,
    }


def _time(at_s: int | None) -> str:
    return "" if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
