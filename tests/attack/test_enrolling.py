"""What a guest is made from: whatever stands in names, addresses and files, root runs only what was meant."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from weft.deploy import find_data_file

from controlplane.cli.app import run
from tests.attack.conftest import CountProbes
from tests.parts.tiny_wheel import NAME, SAYS, build_bundle, build_wheel

WHEEL = build_wheel()
DIGEST = hashlib.sha256(WHEEL).hexdigest()
URL = f"https://files.example/{NAME}"
CANARY = "canary"
INJECTIONS = (
    "$(touch canary)",
    "`touch canary`",
    "';touch canary;'",
    '";touch canary;"',
    "\ntouch canary\n",
    "\nWEFT_END_OF_FILE\ntouch canary\n",
    "&touch canary&",
    "|touch canary",
    "\n  - [touch, canary]\n",
    '"]\n  - ["touch", "canary',
    "\u2028touch canary\u2028",
    "\x1b]52;c;Y2FuYXJ5\x07",
)
SPACELESS = (
    "$(touch$IFS$()canary)",
    "';touch$IFS$()canary;'",
    "&touch$IFS$()canary&",
    ";touch$IFS$()canary;",
    ",]",
    "',touch,canary'",
)
"""These are made of what addresses are made of, so they are accepted, and must arrive as they are."""

CAPTURE = pytest.CaptureFixture[str]


def _enroll(*options: str, vm: str = "vm-7") -> int:
    return run(["enroll", "--no-auth", "--server", "tls://n1:4222", *options, "--", vm])


@pytest.mark.parametrize("form", ["cloud-init", "shell"])
def test_nothing_is_installed_by_a_name(capsys: CAPTURE, form: str, count_probes: CountProbes) -> None:
    """Without a file or an image there is one sentence, which says how to get the file."""
    assert _enroll("--format", form) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pip wheel" in err
    assert "--installed" in err
    count_probes("enrolments refused")


REFUSED = [
    *(pytest.param([], f"vm-7{text}", id=f"VM id {n}") for n, text in enumerate(INJECTIONS)),
    *(
        pytest.param(["--package", f"https://h/{text}/{NAME}", "--sha256", DIGEST], "vm-7", id=f"address {n}")
        for n, text in enumerate(INJECTIONS)
    ),
    *(pytest.param(["--package", URL, "--sha256", f"{DIGEST}{text}"], "vm-7", id=f"digest {n}")
      for n, text in enumerate((*INJECTIONS, *SPACELESS))),
    *(pytest.param(["--package", f"https://h/{text}{NAME}", "--sha256", DIGEST], "vm-7", id=f"file name {n}")
      for n, text in enumerate(SPACELESS)),
    *(pytest.param(["--installed", "--server", f"tls://n1{text}"], "vm-7", id=f"server {n}")
      for n, text in enumerate(INJECTIONS)),
    pytest.param(["--package", URL], "vm-7", id="address without digest"),
    pytest.param(["--package", URL, "--sha256", ""], "vm-7", id="address with an empty digest"),
    pytest.param(["--package", URL, "--sha256", DIGEST[:40]], "vm-7", id="a SHA-1"),
    pytest.param(["--package", f"file:///tmp/{NAME}", "--sha256", DIGEST], "vm-7", id="file:"),
    pytest.param(["--package", f"ftp://h/{NAME}", "--sha256", DIGEST], "vm-7", id="ftp:"),
    pytest.param(["--package", f"git+https://h/{NAME}", "--sha256", DIGEST], "vm-7", id="git"),
    pytest.param(["--package", f"https:///{NAME}", "--sha256", DIGEST], "vm-7", id="no host"),
    pytest.param(["--package", f"https://u:p@h/{NAME}", "--sha256", DIGEST], "vm-7", id="password in it"),
    pytest.param(["--package", f"https://[::1/{NAME}", "--sha256", DIGEST], "vm-7", id="broken address"),
    pytest.param(["--package", f"{URL}#egg=x", "--sha256", DIGEST], "vm-7", id="fragment"),
    pytest.param(["--package", "https://h/weft-0.1.0-py3-none-any.whl", "--sha256", DIGEST], "vm-7", id="another"),
    pytest.param(["--package", "https://h/", "--sha256", DIGEST], "vm-7", id="no file"),
    pytest.param(["--package", "weft"], "vm-7", id="a name"),
    pytest.param(["--package", "weft-mounts"], "vm-7", id="our name"),
    pytest.param(["--package", "weft-mounts[rclone]"], "vm-7", id="our name with an extra"),
    pytest.param(["--installed", "--package", URL, "--sha256", DIGEST], "vm-7", id="both"),
    pytest.param(["--installed", "--sha256", DIGEST], "vm-7", id="digest of nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "vm"), REFUSED)
def test_what_is_not_plain_is_refused(capsys: CAPTURE, options: list[str], vm: str, count_probes: CountProbes) -> None:
    """Nothing is printed that somebody could pipe into a shell, and what is said has no escape of a terminal."""
    assert _enroll(*(options or ["--installed"]), vm=vm) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(("weft: ", "Usage: weft enroll"))
    assert "cannot" in err
    assert err.replace("\n", "").isprintable()
    count_probes("enrolments refused")


@pytest.mark.parametrize("name", [f"{text}{NAME}" for text in SPACELESS] + ["weft.whl", "weft-0.1.0-py3-none-any.whl"])
def test_a_file_of_another_name_does_not_travel(
    tmp_path: Path, capsys: CAPTURE, name: str, count_probes: CountProbes
) -> None:
    """pip reads from the name what the file is."""
    (tmp_path / name).write_bytes(WHEEL)
    assert _enroll("--package", str(tmp_path / name)) == 1
    assert capsys.readouterr().out == ""
    count_probes("enrolments refused")


def _stubs(directory: Path) -> Path:
    """Make programs that only write down how they were called."""
    directory.mkdir()
    for name in ("apt-get", "systemctl", "python3", "weft-agent"):
        stub = directory / name
        stub.write_text(f'#!/bin/sh\nprintf "%s\\0" {name} "$@" >>"$CALLS"\n')
        stub.chmod(0o755)
    return directory


ACCEPTED = [
    *(pytest.param(["--package", f"https://h/{text}/{NAME}", "--sha256", DIGEST], f"https://h/{text}/{NAME}", id=text)
      for text in SPACELESS),
    *(pytest.param(["--package", f"{URL}?{text}", "--sha256", DIGEST], f"{URL}?{text}", id=f"?{text}")
      for text in SPACELESS),
    *(pytest.param(["--package", URL, "--sha256", DIGEST, "--server", f"tls://n1/{text}"], URL, id=f"server {text}")
      for text in SPACELESS if "," not in text),
    pytest.param(["--package", URL, "--sha256", DIGEST, "--tlsca", "ca.pem"], URL, id="file of certificates"),
]  # fmt: skip
CA = f"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n{INJECTIONS[5]}"


@pytest.mark.integration
@pytest.mark.parametrize(("options", "source"), ACCEPTED)
def test_a_script_does_what_it_is_for_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: CAPTURE,
    options: list[str],
    source: str,
    count_probes: CountProbes,
) -> None:
    """Run for real, with programs that write down how they were called, and in directories of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_text(CA)
    assert _enroll("--format", "shell", *options) == 0
    script = capsys.readouterr().out.replace("/etc/weft", f"{tmp_path}/etc").replace("/opt/weft", f"{tmp_path}/opt")
    (tmp_path / "opt/bin").mkdir(parents=True)
    stubs = _stubs(tmp_path / "stubs")
    (tmp_path / "opt/bin/weft-agent").symlink_to(stubs / "weft-agent")
    calls = tmp_path / "calls"
    environment = {"PATH": f"{stubs}:{os.environ['PATH']}", "CALLS": str(calls)}
    subprocess.run(["sh"], input=script, text=True, cwd=tmp_path, env=environment, check=True, timeout=30)
    said = calls.read_text().split("\0")
    opt = f"{tmp_path}/opt"
    wanted = ["python3", "-I", f"{opt}/package/install.py", opt, source, DIGEST]
    assert said[said.index("python3") :][: len(wanted)] == wanted
    assert not (tmp_path / CANARY).exists()
    assert [each for each in said if "touch" in each] == [each for each in wanted if "touch" in each]
    count_probes("enrolment scripts run as meant")


class _Server(BaseHTTPRequestHandler):
    served: dict[str, bytes]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/elsewhere/"):
            self.send_response(302)
            self.send_header("Location", "/" + path.removeprefix("/elsewhere/"))
            self.end_headers()
            return
        content = self.served.get(path)
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A server that anybody may change: its address, and what it serves."""
    handler = type("Handler", (_Server,), {"served": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="files")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler.served  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def _install(directory: Path, source: str, sha256: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(find_data_file("install.py")), str(directory), source, sha256]
    environment = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "TMPDIR": str(directory.parent)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(NAME, "fetched", id="wheel"),
        pytest.param(NAME, "travelling", id="wheel that travels", marks=pytest.mark.long_attack),
        pytest.param("weft.tar.gz", "fetched from elsewhere", id="tar of wheels", marks=pytest.mark.long_attack),
        pytest.param("weft.tar.gz", "travelling", id="tar that travels", marks=pytest.mark.long_attack),
    ],
)
def test_what_has_the_digest_is_installed(
    tmp_path: Path, served: tuple[str, dict[str, bytes]], name: str, way: str, count_probes: CountProbes
) -> None:
    """It can be run afterwards, and nothing of the installation is left lying about."""
    url, files = served
    content = WHEEL if name == NAME else build_bundle()
    files[f"/{name}"] = content
    (tmp_path / name).write_bytes(content)
    source = {"fetched": f"{url}/{name}?a=b", "travelling": str(tmp_path / name)}.get(way, f"{url}/elsewhere/{name}")
    done = _install(tmp_path / "weft", source, hashlib.sha256(content).hexdigest())
    assert (done.returncode, done.stderr) == (0, "")
    said = subprocess.run([tmp_path / "weft/bin/weft-agent"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == SAYS
    assert {path.name for path in tmp_path.iterdir()} == {"weft", name}
    count_probes("packages installed")


EVIL = build_wheel("evil")
TAMPERED = [
    pytest.param(EVIL, id="another package"),
    pytest.param(WHEEL[:-1], id="cut short"),
    pytest.param(WHEEL + b"\0", id="something behind it"),
    pytest.param(bytes([WHEEL[0] ^ 1]) + WHEEL[1:], id="one bit"),
    pytest.param(b"", id="empty"),
    pytest.param(None, id="not there"),
    pytest.param(build_bundle({"../../../evil.whl": EVIL}), id="a tar that climbs"),
]


@pytest.mark.integration
@pytest.mark.parametrize("name", [pytest.param(NAME, id="wheel"), pytest.param("weft.tar.gz", id="tar of wheels")])
@pytest.mark.parametrize("way", ["fetched", "fetched from elsewhere", "travelling"])
@pytest.mark.parametrize("content", TAMPERED)
def test_what_has_another_digest_is_not_even_opened(
    tmp_path: Path,
    served: tuple[str, dict[str, bytes]],
    name: str,
    way: str,
    content: bytes | None,
    count_probes: CountProbes,
) -> None:
    """One sentence, exit code 1, and no environment."""
    url, files = served
    if content is not None:
        files[f"/{name}"] = content
        (tmp_path / name).write_bytes(content)
    source = {"fetched": f"{url}/{name}", "travelling": str(tmp_path / name)}.get(way, f"{url}/elsewhere/{name}")
    done = _install(tmp_path / "weft", source, DIGEST)
    assert done.returncode == 1
    assert done.stderr.startswith("weft: cannot ")
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {name}
    count_probes("packages refused")


@pytest.mark.long_attack
@pytest.mark.integration
def test_a_tar_gives_wheels_and_nothing_else(
    tmp_path: Path, served: tuple[str, dict[str, bytes]], count_probes: CountProbes
) -> None:
    """Whatever paths its members claim, nothing is written outside the installation's own directory."""
    url, files = served
    climbing = {f"../../{NAME}": WHEEL, "../../escaped": b"x", str(tmp_path / "absolute.whl"): b"x"}
    files["/weft.tar.gz"] = bundle = build_bundle(climbing)
    done = _install(tmp_path / "weft", f"{url}/weft.tar.gz", hashlib.sha256(bundle).hexdigest())
    assert {path.name for path in tmp_path.iterdir()} == {"weft"}, done.stderr
    count_probes("packages installed")


def test_the_script_names_the_wheel_as_one_word(capsys: CAPTURE, tmp_path: Path, count_probes: CountProbes) -> None:
    """A file that travels is unpacked where its digest is checked."""
    (tmp_path / NAME).write_bytes(WHEEL)
    assert _enroll("--format", "shell", "--package", str(tmp_path / NAME)) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("python3 "))
    assert shlex.split(line)[3:] == ["/opt/weft", f"/opt/weft/package/{NAME}", DIGEST]
    count_probes("enrolment scripts run as meant")
