"""Files that an operator names by mistake, or got from somebody else: one sentence, in bounded time and memory."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane import textfile
from controlplane.document import build_document, parse_document
from controlplane.requested import parse_share_file
from controlplane.rosters import MOST_PRINTED_BYTES, CommandRoster, FileRoster, parse_roster
from controlplane.textfile import MOST_BYTES, read_text
from controlplane.vm_lists import parse_vm_ids
from tests.attack.conftest import CountProbes
from tests.unit.controlplane.makers import record, snapshot
from weft.errors import ConfigError, RosterError, SubjectError, WeftError

LONGEST_S = 20.0
"""Of processor time, for the worst text there is."""


def deep(text: str, end: str, levels: int, inside: str = "1") -> str:
    return text * levels + inside + end * levels


TEXTS: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "blanks": lambda: " \n" * 1000,
    "arrays too deep for a stack": lambda: deep("[", "]", 100_000),
    "arrays too deep, without an end": lambda: "[" * 200_000,
    "objects too deep for a stack": lambda: deep('{"a":', "}", 100_000),
    "arrays deeper than any file": lambda: deep("[", "]", 200),
    "objects deeper than any file": lambda: '{"weft":1,"shares":[' + deep('{"a":', "}", 200) + "]}",
    "a share that is deep": lambda: '{"id":"docs","backend":"bind","bind":' + deep('{"a":', "}", 500) + "}",
    "a class that is deep": lambda: '{"weft":1,"classes":{"a":' + deep("[", "]", 900, '"vm-1"') + "}}",
    "TOML arrays too deep": lambda: "a = " + deep("[", "]", 100_000),
    "TOML tables too deep": lambda: "a = " + deep("{a=", "}", 50_000),
    "a TOML name with many dots": lambda: ".".join(["a"] * 20_000) + " = 1",
    "TOML tables with many dots": lambda: "\n".join(f"[{'.'.join(['a'] * 900)}.b{one}]" for one in range(200)),
    "a number with many digits": lambda: '{"weft": ' + "9" * 100_000 + "}",
    "a TOML number with many digits": lambda: "weft = " + "9" * 100_000,
    "a number beyond every number": lambda: '{"weft": 1e999999}',
    "no number": lambda: '{"weft": NaN}',
    "no number, endless": lambda: '{"id":"docs","priority":Infinity}',
    "a day that is none": lambda: "weft = 2026-02-31",
    "half a character": lambda: '{"id":"docs","labels":{"a":"\\ud800"}}',
    "half a character as a name": lambda: '{"\\udfff":["vm-1"]}',
    "a NUL in a text": lambda: '{"id":"docs","mount_point":"/srv/a\\u0000b"}',
    "a NUL as a name": lambda: '{"a\\u0000":["vm-1"]}',
    "a NUL in the file": lambda: '{"id":"do\0cs"}',
    "numbers where names are meant": lambda: '{"weft":1,"classes":{"a":[1,2]},"shares":[3],"remotes":{"r":4}}',
    "texts where tables are meant": lambda: '{"weft":1,"classes":"a","shares":"b","remotes":"c"}',
    "null where tables are meant": lambda: '{"weft":1,"classes":null,"shares":null,"remotes":null}',
    "a share that is null": lambda: '{"weft":1,"shares":[null,{"share":null},{"share":{"id":null}}]}',
    "ranges of ranges": lambda: '{"weft":1,"classes":{"a":["vm-{1..99999}{1..99999}"]}}',
    "many ranges": lambda: json.dumps({"a": [f"vm{one}-{{1..90000}}" for one in range(2000)]}),
    "many braces": lambda: json.dumps({"a": ["{a,b}" * 4000]}),
    "braces in braces": lambda: json.dumps({"a": ["{" * 20_000]}),
    "an id without end": lambda: json.dumps({"a": ["x" * 5_000_000]}),
    "another program's file": lambda: "-----BEGIN CERTIFICATE-----\n" + "MIIB" * 1000,
    "a share twice": lambda: '{"weft":1,"shares":[{"share":{"id":"a"}},{"share":{"id":"a"}}]}',
    "many shares without an id": lambda: json.dumps([{}] * 100_000),
    "many shares with one id": lambda: json.dumps([{"id": "a"}] * 30_000),
    "many shares": lambda: json.dumps([{"id": f"s{one}"} for one in range(60_000)] + [{"id": "s1"}]),
}
READERS: dict[str, Callable[[str], object]] = {
    "import": lambda text: parse_document(text, where="FILE"),
    "publish": lambda text: parse_share_file(text, where="FILE"),
    "roster": lambda text: parse_roster(text, where="FILE"),
    "class set": lambda text: parse_vm_ids(text, where="FILE"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_text_is_one_sentence(reader: str, text: str, count_probes: CountProbes) -> None:
    """Neither a traceback nor an hour, whoever reads it; what is read in the end is plain."""
    before_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    try:
        READERS[reader](TEXTS[text]())
    except (ConfigError, RosterError, SubjectError) as exc:
        problems = exc.problems if isinstance(exc, ConfigError) else (str(exc),)
        assert all(problem.startswith("cannot ") and "\n" not in problem for problem in problems[:50])
        said = True
    else:
        said = False
    assert said or text in ACCEPTED.get(reader, ())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before_s < LONGEST_S
    count_probes("texts of files read")


ACCEPTED: dict[str, tuple[str, ...]] = {
    "class set": ("nothing", "blanks"),
    "publish": (),
}


def special(directory: Path) -> dict[str, str]:
    """Make one of everything that can stand where a file is expected; what each is, and its name."""
    os.mkfifo(directory / "fifo")
    (directory / "link").symlink_to("/dev/zero")
    (directory / "round").symlink_to(directory / "round")
    (directory / "nowhere").symlink_to(directory / "missing")
    (directory / "sparse").touch()
    os.truncate(directory / "sparse", MOST_BYTES + 1)
    (directory / "huge").touch()
    os.truncate(directory / "huge", 1 << 40)
    (directory / "latin").write_bytes(b'{"id":"\xe9"}')
    (directory / "utf16").write_bytes('{"id":"docs"}'.encode("utf-16"))
    return {
        "a device without end": "/dev/zero",
        "a device of noise": "/dev/urandom",
        "a device that is empty": "/dev/null",
        "a link to a device": str(directory / "link"),
        "a link to itself": str(directory / "round"),
        "a link to nothing": str(directory / "nowhere"),
        "a directory": str(directory),
        "a file as a directory": str(directory / "latin" / "x"),
        "a pipe that nobody writes into": str(directory / "fifo"),
        "a file that is too large": str(directory / "sparse"),
        "a file without end": str(directory / "huge"),
        "another alphabet": str(directory / "latin"),
        "text of two bytes each": str(directory / "utf16"),
        "a name with a NUL": "a\0b",
        "a name without end": "x" * 5000,
        "the memory of this process": "/proc/self/mem",
    }


COMMANDS = {
    "import": lambda name: ("import", name, "--dry-run"),
    "publish": lambda name: ("publish", "-f", name),
    "class set": lambda name: ("class", "set", "algebra", "-f", name),
    "roster": lambda name: ("--roster", name, "class", "list"),
    "secret": lambda name: ("publish", "docs", "--from", "bind:/srv", "--secret", f"cubefs.secret_key=@{name}"),
    "package": lambda name: ("enroll", "vm-1", "--no-auth", "--package", name, "--out", "vm-1.yaml"),
    "rclone.conf": lambda name: ("publish", "docs", "--from", "minio:docs", "--vm", "vm-1"),
}


def test_what_is_no_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count_probes: CountProbes
) -> None:
    """Devices, pipes, directories, links, and files of the wrong size or alphabet, wherever a file is read."""
    monkeypatch.setattr(textfile, "SILENCE_S", 0.05)
    for name in special(tmp_path).values():
        for read in (lambda name: read_text(Path(name)), lambda name: asyncio.run(FileRoster(Path(name)).classes())):
            with pytest.raises(WeftError, match=r"^cannot (read|use)"):
                read(name)
            count_probes("names of what is no file")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_at_a_device_without_end(command: str, tmp_path: Path, count_probes: CountProbes) -> None:
    """With its sentence and exit code 1, in a few hundred megabytes, and without a traceback."""
    (tmp_path / "rclone.conf").symlink_to("/dev/zero")
    for name in ("/dev/zero", str(tmp_path)):
        done = subprocess.run(
            [sys.executable, "-m", "controlplane.cli", "-s", "nats://127.0.0.1:9", *COMMANDS[command](name)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "RCLONE_CONFIG": str(tmp_path / "rclone.conf"), "HOME": str(tmp_path)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)),
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == 1
        assert done.stderr.startswith("weft: cannot ")
        assert "127.0.0.1" not in done.stderr or command == "roster"
        count_probes("names of what is no file")


@pytest.mark.parametrize("command", ["import", "publish", "class set"])
def test_standard_input_without_end_is_one_sentence(command: str, count_probes: CountProbes) -> None:
    """As a program that never stops writes it."""
    with open("/dev/zero", "rb") as zeros:
        done = subprocess.run(
            [sys.executable, "-m", "controlplane.cli", "-s", "nats://127.0.0.1:9", *COMMANDS[command]("-")],
            stdin=zeros,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        ["weft: cannot read standard input: it is larger than 64 MiB"],
    )
    count_probes("names of what is no file")


PROGRAMS = {
    "prints without end": "yes vm-1",
    "prints zeros without end": "cat /dev/zero",
    "complains without end": "yes no >&2",
    "prints no text": "printf '\\377\\376'",
    "prints nothing": ":",
    "fails": "echo vm-1; exit 3",
    "is killed": "kill -9 $$",
    "prints a deep array": "printf '%200000s' | tr ' ' '['",
    "names too many": "echo 'vm-{1..99999} vn-{1..99999}'",
}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_rosters_program_is_bounded(name: str, tmp_path: Path, count_probes: CountProbes) -> None:
    """It fails the command, and never fills the memory or gives an empty class."""
    program = tmp_path / "roster"
    program.write_text(f"#!/bin/sh\n{PROGRAMS[name]}\n")
    program.chmod(0o755)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((RosterError, SubjectError)):
        await CommandRoster(str(program), timeout_s=30).members("algebra")
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown_bytes < 8 * MOST_PRINTED_BYTES
    count_probes("programs of rosters")


@pytest.mark.parametrize(
    "content",
    [b'\xef\xbb\xbf{"id":"docs"}', b'{\r\n"id":\r\n"docs"}\r\n', b'\xef\xbb\xbfid = "docs"\r\n'],
    ids=["a mark first", "other line breaks", "both"],
)
def test_what_windows_writes_is_read(content: bytes, tmp_path: Path) -> None:
    """Neither a byte order mark nor its line breaks are a mistake."""
    path = tmp_path / "file"
    path.write_bytes(content)
    assert parse_share_file(read_text(path), where=str(path)) == [{"id": "docs"}]


def test_a_pipe_is_a_file(tmp_path: Path) -> None:
    """As a shell gives it for the output of another program."""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c 'import sys; from pathlib import Path;"
         "from controlplane.textfile import read_text; print(read_text(Path(sys.argv[1])))' <(sleep 0.2; echo docs)"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "docs"


def test_the_export_of_ten_thousand_vms_is_read_again(tmp_path: Path) -> None:
    """Five classes with every VM, and a share of 2 kB for each of them, in two thirds of what is read at most."""
    tenth = [f"vm-{number:05}" for number in range(1000)]
    records = [record(vm, vms=(vm,), labels={"a": "x" * 1500}) for vm in tenth]
    catalog = snapshot(*records, members={name: tuple(tenth) for name in "abcde"})
    text = json.dumps(build_document(catalog, show_secrets=True), indent=2)
    assert len(text) * 10 < MOST_BYTES / 1.5
    path = tmp_path / "catalog.json"
    path.write_text(text)
    document = parse_document(read_text(path), where=str(path))
    assert (len(document.shares), {len(members) for members in document.classes.values()}) == (1000, {1000})
