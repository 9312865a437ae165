"""What a new guest needs to join, made from the cloud-init example that travels with weft. Pure."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.guest_package import Package, is_address
from weft.errors import ConfigError
from weft.wire.ids import VmId

VM_PLACE = '"<vm-id>"'
SERVERS_PLACE = '["<nats://broker.example:4222>"]'
CREDS_PLACE = "<contents of this guest's credentials file>"
CA_PLACE = "<certificate that signed the broker's>"
INSTALLER_PLACE = "<deploy/install.py>"
PACKAGE_NAME_PLACE = "<name of the package>"
PACKAGE_PLACE = "<the package, where it is not fetched>"
SOURCE_PLACE = '"<path or address of the package>"'
DIGEST_PLACE = '"<sha256 of the package>"'
PACKAGE_DIRECTORY = "/opt/weft/package"
END_OF_FILE = "WEFT_END_OF_FILE"
LINE_LENGTH = 76
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class Enrollment:
    """
    One guest to be.

    Attributes:
        vm: Its id.
        servers: Where it finds the broker.
        creds: The text of its credentials file, None for a broker that asks for none.
        tls_ca: Certificates to trust, None for the system's.
        package: What it installs weft from, None where its image has weft.
        installer: The program that does it, ``deploy/install.py``.
    """

    vm: VmId
    servers: Sequence[str]
    creds: str | None = field(repr=False)
    tls_ca: str | None = None
    package: Package | None = None
    installer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    mode: str
    is_base64: bool
    content: str = field(repr=False)


def parse_certificates(text: str) -> str:
    """
    Take the certificates out of *text*; what stands around them goes into no script that root runs.

    Raises:
        ConfigError: there are none.
    """
    found = _CERTIFICATE.findall(text)
    if not found:
        raise ConfigError(["cannot use --tlsca: the file has no certificate (-----BEGIN CERTIFICATE-----)"])
    return "".join(f"{certificate}\n" for certificate in found)


def parse_server(server: str) -> str:
    """
    Accept the address of a broker for a file that a guest will read.

    Raises:
        ConfigError: it is no address.
    """
    if not is_address(server):
        raise ConfigError([f"cannot give guests {server!r} as the broker's address: name it with --server URL"])
    return server


def build_cloud_init(template: str, guest: Enrollment) -> str:
    """
    Fill in *template* for *guest*.

    Args:
        template: The example, with its places.
        guest: Whom it is for.
    """
    package = guest.package
    text = _with_file(_without_comment(template), CREDS_PLACE, guest.creds, setting="creds")
    text = _with_file(text, CA_PLACE, guest.tls_ca, setting="tls_ca")
    text = _with_file(text, INSTALLER_PLACE, guest.installer if package is not None else None)
    text = _with_file(text, PACKAGE_PLACE, _as_base64(package))
    if package is None:
        text = re.sub(rf"^  - .*{re.escape(SOURCE_PLACE)}.*\n", "", text, flags=re.MULTILINE)
    else:
        source = package.url or f"{PACKAGE_DIRECTORY}/{package.name}"
        text = text.replace(PACKAGE_NAME_PLACE, package.name).replace(SOURCE_PLACE, json.dumps(source))
        text = text.replace(DIGEST_PLACE, json.dumps(package.sha256))
    return text.replace(VM_PLACE, json.dumps(guest.vm)).replace(SERVERS_PLACE, json.dumps(list(guest.servers)))


def build_shell(template: str, guest: Enrollment) -> str:
    """Say the same as a script for ``sh``, to be run as root in a guest that exists already."""
    text = build_cloud_init(template, guest)
    packages = [line.removeprefix("  - ") for line in _section(text, "packages")]
    commands = [json.loads(line.removeprefix("  - ")) for line in _section(text, "runcmd")]
    lines = [
        "#!/bin/sh",
        f"# Makes this machine the guest {guest.vm}. Run as root.",
        "set -eu",
        "export DEBIAN_FRONTEND=noninteractive",
        "apt-get update -q",
        f"apt-get install -q -y --no-install-recommends {shlex.join(packages)}",
    ]
    for file in _files(_section(text, "write_files")):
        path, end = shlex.quote(file.path), _end_of(file.content)
        lines += [
            f"install -D -m {shlex.quote(file.mode)} /dev/null {path}",
            f"{'base64 --decode' if file.is_base64 else 'cat'} > {path} <<'{end}'",
            file.content,
            end,
        ]
    lines += [shlex.join(command) for command in commands]
    return "\n".join(lines) + "\n"


def _without_comment(template: str) -> str:
    """Leave out what the example says about itself, but not its first line, by which cloud-init knows it."""
    first, *rest = template.splitlines(keepends=True)
    return "".join([first, *(line for line in rest if not line.startswith("#"))])


def _as_base64(package: Package | None) -> str | None:
    if package is None or package.content is None:
        return None
    text = base64.b64encode(package.content).decode()
    return "\n".join(text[start : start + LINE_LENGTH] for start in range(0, len(text), LINE_LENGTH))


def _end_of(content: str) -> str:
    """Choose a last line that *content* does not have: what follows it is run by root."""
    end = END_OF_FILE
    while end in content:
        end += "_"
    return end


def _with_file(text: str, place: str, content: str | None, *, setting: str = "") -> str:
    """Put *content* at *place*, line by line; without any, leave out its file, and the setting that names it."""
    if content is None:
        text = re.sub(rf"^  - path: .*\n(?:    \S.*\n)+ +{re.escape(place)}\n", "", text, flags=re.MULTILINE)
        return re.sub(rf"^ +{setting} = .*\n", "", text, flags=re.MULTILINE) if setting else text
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
    path, mode, is_base64, content = "", "", False, [""]
    for line in [*lines, "  - path: "]:
        _, _, value = line.strip().removeprefix("- ").partition(": ")
        if line.startswith("  - path:"):
            if path:
                files.append(_File(path, mode, is_base64, "\n".join(content)))
            path, mode, is_base64, content = value, "", False, []
        elif line.startswith("    permissions:"):
            mode = value.strip('"')
        elif line.startswith("    encoding:"):
            is_base64 = value == "b64"
        elif not line.startswith("    content:"):
            content.append(line.removeprefix("      "))
    return files
