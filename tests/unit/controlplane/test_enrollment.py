"""What a new guest is handed, as cloud-init and as a script."""

from __future__ import annotations

import base64
import hashlib
import tomllib

import pytest
from weft.deploy import find_data_file

from controlplane.enrollment import Enrollment, build_cloud_init, build_shell, parse_certificates
from controlplane.guest_package import Package, parse_file, parse_url
from weft.errors import ConfigError
from weft.link.credentials import Credentials
from weft.wire.ids import parse_vm_id

TEMPLATE = find_data_file("cloud-init.yaml").read_text()
CREDS = Credentials("aaa.bbb.ccc", "SUSEED").as_text()
SERVERS = ("tls://n1:4222", "tls://n2:4222")
BUILDERS = [pytest.param(build_cloud_init, id="cloud-init"), pytest.param(build_shell, id="shell")]


CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


WHEEL = "weft_mounts-0.1.0-py3-none-any.whl"
BYTES = bytes(range(256)) * 8
DIGEST = hashlib.sha256(BYTES).hexdigest()
URL = f"https://files.example/{WHEEL}"
FETCHED = Package(WHEEL, DIGEST, url=URL)
INSTALLER = find_data_file("install.py").read_text()


def guest(creds: str | None = CREDS, tls_ca: str | None = None, package: Package | None = FETCHED) -> Enrollment:
    return Enrollment(parse_vm_id("vm-7"), SERVERS, creds, tls_ca, package, INSTALLER)


def between(text: str, first: str, last: str) -> str:
    """Return the lines of *text* between two lines that contain these words."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if first in line) + 1
    end = next(n for n, line in enumerate(lines) if n > start and last in line)
    return "\n".join(lines[start:end])


@pytest.mark.parametrize("build", BUILDERS)
def test_every_place_is_filled_in(build) -> None:  # type: ignore[no-untyped-def]
    """Nothing is left for the operator to replace."""
    travelling = parse_file(WHEEL, BYTES, None)
    for each in (guest(), guest(None), guest(package=None), guest(package=travelling)):
        text = build(TEMPLATE, each)
        assert "<vm-id>" not in text
        assert "broker.example" not in text
        assert "<" not in text.replace("<<", "")


@pytest.mark.parametrize("build", BUILDERS)
def test_a_guest_without_credentials_is_not_told_of_any(build) -> None:  # type: ignore[no-untyped-def]
    """Neither a file nor a setting that names one."""
    text = build(TEMPLATE, guest(None))
    assert "creds" not in text
    assert "vm-7" in text
    assert "weft-agent" in text


@pytest.mark.parametrize("build", BUILDERS)
def test_a_certificate_travels_with_the_setting_that_names_it(build) -> None:  # type: ignore[no-untyped-def]
    """Without one, the guest trusts what its system trusts, and is told of no file that is not there."""
    text = build(TEMPLATE, guest(tls_ca=CA))
    assert 'tls_ca = "/etc/weft/ca.pem"' in text
    assert [line.strip() for line in text.splitlines() if line.strip() in CA.splitlines()] == CA.splitlines()
    assert "tls_ca" not in build(TEMPLATE, guest())
    assert "ca.pem" not in build(TEMPLATE, guest())


def test_cloud_init_keeps_its_first_line_and_its_blocks() -> None:
    """cloud-init knows a document by its first line; a block's lines are indented alike."""
    text = build_cloud_init(TEMPLATE, guest())
    assert text.startswith("#cloud-config\n")
    block = between(text, "content: |", "- path")
    assert all(line.startswith("      ") for line in block.splitlines())
    assert tomllib.loads(block.replace("      ", "")) == {
        "vm": "vm-7",
        "nats": list(SERVERS),
        "creds": "/etc/weft/nats.creds",
    }
    creds = between(between(text, "- path: /etc/weft/nats.creds", "install.py"), "content: |", "END USER NKEY SEED")
    assert [line.strip() for line in creds.splitlines()] == CREDS.splitlines()[:-1]


def test_the_script_writes_the_same_files() -> None:
    """Settings and credentials arrive as they are, the secret with a mode of its own before its content."""
    text = build_shell(TEMPLATE, guest())
    settings = between(text, "cat > /etc/weft/agent.toml", "WEFT_END_OF_FILE")
    assert tomllib.loads(settings)["vm"] == "vm-7"
    assert between(text, "cat > /etc/weft/nats.creds", "WEFT_END_OF_FILE") + "\n" == CREDS
    private = "install -D -m 0600 /dev/null /etc/weft/nats.creds"
    assert text.index(private) < text.index("cat > /etc/weft/nats.creds")


def test_the_script_runs_the_same_commands() -> None:
    """In the same order, quoted for a shell."""
    lines = build_shell(TEMPLATE, guest()).splitlines()
    assert lines[-3:] == [
        f"python3 -I /opt/weft/package/install.py /opt/weft {URL} {DIGEST}",
        "/opt/weft/bin/weft-agent install",
        "systemctl enable --now weft-agent.service weft-shares.service",
    ]
    assert "apt-get install -q -y --no-install-recommends fuse3 python3-venv ca-certificates" in lines


@pytest.mark.parametrize("build", BUILDERS)
def test_a_package_that_travels_arrives_as_it_is(build) -> None:  # type: ignore[no-untyped-def]
    """Byte for byte, with the digest that the guest compares it with."""
    text = build(TEMPLATE, guest(package=parse_file(WHEEL, BYTES, None)))
    path = f"/opt/weft/package/{WHEEL}"
    first, last = ("content: |", "runcmd:") if build is build_cloud_init else ("base64 --decode", "WEFT_END_OF_FILE")
    assert base64.b64decode(between(text[text.index(path) :], first, last)) == BYTES
    assert DIGEST in text.splitlines()[-3]
    assert path in text.splitlines()[-3]


@pytest.mark.parametrize("build", BUILDERS)
def test_a_machine_that_has_weft_installs_nothing(build) -> None:  # type: ignore[no-untyped-def]
    """Neither the program that would, nor a command that runs it."""
    text = build(TEMPLATE, guest(package=None))
    assert "install.py" not in text
    assert "/opt/weft/package" not in text
    assert "weft-agent" in text


def test_a_wheel_keeps_its_name_and_its_digest() -> None:
    """The address may have a question behind it, as those of signed downloads do; the name is the file's."""
    package = parse_url(f"{URL}?X-Amz-Signature=ab%2Fcd", DIGEST.upper())
    assert (package.name, package.sha256) == (WHEEL, DIGEST)


def test_a_file_of_another_digest_is_refused() -> None:
    """Both digests are told, so that one can look which file is the wrong one."""
    with pytest.raises(ConfigError, match=DIGEST):
        parse_file(WHEEL, BYTES, "0" * 64)


def test_only_certificates_are_taken_from_a_file_of_certificates() -> None:
    """What stands around them would become lines of a script that root runs."""
    assert parse_certificates(f"subject=CN\nWEFT_END_OF_FILE\nreboot\n{CA}\n{CA}reboot\n") == CA + CA
    with pytest.raises(ConfigError, match="no certificate"):
        parse_certificates("reboot\n")


def test_the_secret_is_in_no_repr() -> None:
    """A traceback or log line that names a guest to be shows no credentials."""
    assert "SUSEED" not in repr(guest())
