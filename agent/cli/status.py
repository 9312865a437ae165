"""``weft-agent status``: what this guest has."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any

from agent.cli.question import Commands, add_question, asked
from weft.printable import printable
from weft.terminal import show, show_json

_COLUMNS = ("SHARE", "MOUNT POINT", "BACKEND", "STATE", "TRIES", "WHY")


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_question(commands, "status", "show every share of this guest", perform)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="table or json (table)")


def perform(arguments: argparse.Namespace) -> int:
    """Print the guest's status."""
    status = asked(arguments, "status")["status"]
    if arguments.output == "json":
        show_json(json.dumps(status, indent=2))
    else:
        show(*build_table(status))
    return 0


def build_table(status: dict[str, Any]) -> list[str]:
    """Lay *status* out for people, one line per share and one for the guest."""
    taken_from = f" (from {status['vm_from']})" if "vm_from" in status else ""
    head = f"VM {status['vm']}{taken_from}: {status['mode']}, revision {status['held_revision']}"
    lines = [head]
    if "problem" in status:
        lines.append(f"! {status['problem']['message']}")
    lines += [f"! {remark}" for remark in status.get("remarks", ())]
    if not status["shares"]:
        return [*lines, "no shares"]
    return [*lines, "", *_aligned([_COLUMNS, *(_cells(share) for share in status["shares"])])]


def _cells(share: dict[str, Any]) -> Sequence[str]:
    error = share.get("error", {})
    why = f"{error['code']}: {error['message']}" if error else ""
    tries = str(share.get("attempts", "")) if share["state"] not in ("mounted", "shadowed", "expired", "held") else ""
    return (share["id"], share.get("mount_point", ""), share.get("backend", ""), share["state"], tries, why)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
