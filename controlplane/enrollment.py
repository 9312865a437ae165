"""What a new guest needs to join, made from the cloud-init example that travels with weft. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from weft.wire.ids import VmId

VM_PLACE = '"<vm-id>"'
SERVERS_PLACE = '["<nats://broker.example:4222>"]'
CREDS_PLACE = "<contents of this guest's credentials file>"
CA_PLACE = "<certificate that signed the broker's>"
END_OF_FILE = "WEFT_END_OF_FILE"


@dataclass(frozen=True, slots=True)
class Enrollment:
    """
    One guest to be.

    Attributes:
        vm: Its id.
        servers: Where it finds the broker.
        creds: The text of its credentials file, None for a broker that asks for none.
        tls_ca: Certificates to trust, None for the system's.
    """

    vm: VmId
    servers: Sequence[str]
    creds: str | None = field(repr=False)
    tls_ca: str | None = None


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    mode: str
    content: str = field(repr=False)


def build_cloud_init(template: str, guest: Enrollment) -> str:
    """
    Fill in *template* for *guest*.

    Args:
        template: The example, with its places.
        guest: Whom it is for.
    """
    text = _with_file(_without_comment(template), CREDS_PLACE, "creds", guest.creds)
    text = _with_file(text, CA_PLACE, "tls_ca", guest.tls_ca)
    return text.replace(VM_PLACE, json.dumps(guest.vm)).replace(SERVERS_PLACE, json.dumps(list(guest.servers)))


def build_shell(template: str, guest: Enrollment) -> str:
    """Say the same as a script for ``sh``, to be run as root in a guest that exists already."""
    text = build_cloud_init(template, guest)
    packages = [line.removeprefix("  - ") for line in _section(text, "packages")]
    commands = [_words(line.removeprefix("  - ")) for line in _section(text, "runcmd")]
    lines = [
        "#!/bin/sh",
        f"# Makes this machine the guest {guest.vm}. Run as root.",
        "set -eu",
        "export DEBIAN_FRONTEND=noninteractive",
        "apt-get update -q",
        f"apt-get install -q -y --no-install-recommends {shlex.join(packages)}",
    ]
    for file in _files(_section(text, "write_files")):
        path = shlex.quote(file.path)
        lines += [
            f"install -D -m {file.mode} /dev/null {path}",
            f"cat > {path} <<'{END_OF_FILE}'",
            file.content,
            END_OF_FILE,
        ]
    lines += [shlex.join(command) for command in commands]
    return "\n".join(lines) + "\n"


def _without_comment(template: str) -> str:
    """Leave out what the example says about itself, but not its first line, by which cloud-init knows it."""
    first, *rest = template.splitlines(keepends=True)
    return "".join([first, *(line for line in rest if not line.startswith("#"))])


def _with_file(text: str, place: str, setting: str, content: str | None) -> str:
    """Put *content* at *place*, line by line; without any, leave out its file, and the setting that names it."""
    if content is None:
        text = re.sub(rf"^  - path: .*\n(?:    \S.*\n)+ +{re.escape(place)}\n", "", text, flags=re.MULTILINE)
        return re.sub(rf"^ +{setting} = .*\n", "", text, flags=re.MULTILINE)
    lines = content.strip().splitlines()
    return re.sub(
        rf"^( +){re.escape(place)}\n",
        lambda found: "".join(f"{found[1]}{line}".rstrip() + "\n" for line in lines),
        text,
        flags=re.MULTILINE,
    )


def _section(text: str, name: str) -> list[str]:
    """Return the lines below the key *name*; the example is plain enough to be read without a YAML library."""
    lines = text.splitlines()
    start = lines.index(f"{name}:") + 1
    found: list[str] = []
    for line in lines[start:]:
        if line and not line.startswith(" "):
            break
        found.append(line)
    while found and not found[-1]:
        found.pop()
    return found


def _files(lines: Sequence[str]) -> list[_File]:
    files: list[_File] = []
    path, mode, content = "", "", [""]
    for line in [*lines, "  - path: "]:
        _, _, value = line.strip().removeprefix("- ").partition(": ")
        if line.startswith("  - path:"):
            if path:
                files.append(_File(path, mode, "\n".join(content)))
            path, mode, content = value, "", []
        elif line.startswith("    permissions:"):
            mode = value.strip('"')
        elif not line.startswith("    content:"):
            content.append(line.removeprefix("      "))
    return files


def _words(flow_list: str) -> list[str]:
    return [word.strip().strip('"') for word in flow_list.strip("[]").split(",")]
