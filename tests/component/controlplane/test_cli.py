"""The command line over a control plane in memory: what is asked of it, what is printed, how it exits."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click
import pytest

from controlplane.cli.app import COMMANDS, cli, run
from controlplane.cli.session import Session
from controlplane.status import VmView
from tests.fakes.plane import FakePlane
from weft.errors import BrokerUnreachableError, ErrorCode, StreamMissingError
from weft.link import LinkOptions
from weft.wire.ids import ClassName, VmId
from weft.wire.status import ShareError, ShareState, ShareStatus, VmStatus

ALGEBRA = (VmId("vm-1"), VmId("vm-2"))
BIND = ("--from", "bind:/srv/docs")


@dataclass
class Said:
    """How one run ended."""

    code: int
    out: str
    err: str


Weft = Callable[..., Said]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine that runs the tests gets in."""
    for name in ("NATS_URL", "NATS_CREDS", "NATS_CONTEXT", "RCLONE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))


@pytest.fixture
def plane() -> FakePlane:
    """A plane with one class of two VMs."""
    return FakePlane(rosters={"algebra": ALGEBRA, "empty": ()})


@pytest.fixture
def connected() -> list[LinkOptions]:
    """Which brokers were connected to."""
    return []


@pytest.fixture
def weft(plane: FakePlane, connected: list[LinkOptions], capsys: pytest.CaptureFixture[str]) -> Weft:
    """Runs ``weft`` against the plane."""

    def open_plane(options: LinkOptions) -> Any:
        connected.append(options)
        return plane

    def weft(*argv: str) -> Said:
        code = run(argv, session=Session(open_plane=cast(Any, open_plane)))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return weft


def test_publish_waits_and_says_so(weft: Weft, plane: FakePlane) -> None:
    """The share is in the catalog, every VM is counted, and 0 means converged."""
    said = weft("publish", "docs", *BIND, "--class", "algebra", "--wait", "--readonly")

    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines()[-2:] == ["published docs: 2 VMs (2 stored)", "converged: 2 VMs"]
    assert plane.records["docs"].share.readonly


def test_a_vm_that_does_not_converge_is_named_and_exits_3(weft: Weft, plane: FakePlane) -> None:
    """One line per VM with code and message on stdout, and exit 3."""
    plane.broken, plane.silent = {"vm-1"}, {"vm-2"}

    said = weft("publish", "docs", *BIND, "--class", "algebra", "--wait=5")

    assert said.code == 3
    assert said.out.splitlines() == [
        "vm-1   docs   failed   auth   cannot log in to x",
        "vm-2   -      -        -      never reported",
    ]
    assert "not converged: 0 of 2 VMs within 5 s" in said.err


def test_waiting_for_nobody_is_an_error_but_it_is_stored(weft: Weft, plane: FakePlane) -> None:
    """An empty class is no error until somebody waits for it."""
    assert weft("publish", "docs", *BIND, "--class", "empty").code == 0
    said = weft("publish", "docs", *BIND, "--class", "empty", "--wait")

    assert (said.code, "no VM is to have it yet" in said.err) == (1, True)
    assert weft("wait", "docs").code == 1
    assert "docs" in plane.records


def test_json_holds_fan_out_and_outcome(weft: Weft) -> None:
    """A program gets one object."""
    said = weft("publish", "docs", *BIND, "--vm", "vm-9", "--wait", "-o", "json")

    record = json.loads(said.out)
    assert (record["stored"], record["outcome"]["converged"]) == ({"vm-9": 1}, ["vm-9"])


def test_a_dry_run_changes_nothing_and_shows_no_secret(weft: Weft, plane: FakePlane, tmp_path: Path) -> None:
    """Per VM what would change, the spec with its secrets replaced."""
    (tmp_path / "key").write_text("hunter2\n")

    said = weft(
        "publish", "vol", "--from", "cubefs://me@m1/vol", "--set", "cubefs.access_key=credential:share.a",
        "--secret", f"cubefs.secret_key=@{tmp_path / 'key'}", "--class", "algebra", "--dry-run",
    )  # fmt: skip

    assert said.code == 0
    assert "cubefs.secret_key" in said.out
    assert "hunter2" not in said.out + said.err
    assert [line.split()[:2] for line in said.out.splitlines()[-2:]] == [["vm-1", "change"], ["vm-2", "change"]]
    assert plane.records == {}


def test_one_more_class_keeps_the_source(weft: Weft, plane: FakePlane) -> None:
    """Without --from the catalog's share is published again, changed only where a flag says so."""
    weft("publish", "docs", *BIND, "--vm", "vm-9", "--priority", "4")

    assert weft("publish", "docs", "--class", "algebra", "--set", "uid=7").code == 0

    record = plane.records["docs"]
    assert (record.share.priority, record.share.uid, record.targets.classes) == (4, 7, ("algebra",))


def test_secrets_come_from_stdin_environment_and_credentials(
    weft: Weft, plane: FakePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way leaves the secret out of the command line."""
    monkeypatch.setenv("KEY_ID", "AK")
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin\n"))

    said = weft(
        "publish", "s", "--from", ':s3,endpoint="http://h":b', "--secret", "rclone.config.access_key_id=env:KEY_ID",
        "--secret", "rclone.config.secret_access_key=@-",
        "--secret", "rclone.config.session_token=credential:share.t", "--vm", "vm-1",
    )  # fmt: skip

    assert said.code == 0, said.err
    block = plane.records["s"].share.rclone
    assert block is not None
    assert block.config == {
        "endpoint": "http://h",
        "access_key_id": "AK",
        "secret_access_key": "from stdin",
        "session_token": "credential:share.t",
    }


@pytest.mark.parametrize("by_name", [True, False], ids=["argument", "-f"])
def test_a_file_of_shares_is_one_fan_out(weft: Weft, plane: FakePlane, tmp_path: Path, by_name: bool) -> None:
    """Both shares arrive with one publish, and typos in it are noticed."""
    path = tmp_path / "shares.toml"
    path.write_text(
        '[[shares]]\nid="a"\nbackend="bind"\nbind={source="/a"}\n'
        '[[shares]]\nid="b"\nbackend="bind"\nreadonyl=true\nbind={source="/b"}\n'
    )

    said = weft("publish", *(() if by_name else ("-f",)), str(path), "--class", "algebra")

    assert said.code == 0, said.err
    assert "did you mean readonly?" in said.err
    assert (sorted(plane.records), plane.revision) == (["a", "b"], 1)


@pytest.mark.parametrize(
    ("argv", "code", "parts"),
    [
        pytest.param(("publish",), 1, ["name a share"], id="nothing"),
        pytest.param(("publish", "docs", *BIND, "--class", "algbra"), 1, ["'algbra'", "algebra?"], id="unknown class"),
        pytest.param(
            ("publish", "docs", *BIND, "--at", "/etc/x", "--vm", "v"),
            1,
            ["lies in the system directory '/etc'"],
            id="/etc",
        ),
        pytest.param(
            ("publish", "docs", *BIND, "--at", "rel", "--vm", "v"), 1, ["not an absolute path"], id="relative"
        ),
        pytest.param(("publish", "a*b", *BIND, "--vm", "v"), 1, ["'a*b'", "share id"], id="bad id"),
        pytest.param(("publish", "docs", *BIND, "--vm", "v*"), 1, ["'v*'", "VM id"], id="wildcard"),
        pytest.param(("publish", "docs", *BIND, "--class", "a.b"), 1, ["'a.b'", "class name"], id="class with a dot"),
        pytest.param(("publish", "docs", "--class", "algebra"), 1, ["cannot find share 'docs'"], id="no source"),
        pytest.param(("publish", "no.toml"), 1, ["cannot read no.toml: no such file"], id="no such file"),
        pytest.param(("publish", "d", "--from", "minio:x", "--vm", "v"), 1, ["'minio'", "rclone.conf"], id="no remote"),
        pytest.param(("publish", "d", *BIND, "--secret", "rclone.config.pass=x"), 1, ["history"], id="literal secret"),
        pytest.param(
            ("publish", "d", *BIND, "--secret", "rclone.config.pass=env:NOT_THERE"),
            1,
            ["NOT_THERE"],
            id="unset variable",
        ),
        pytest.param(("publish", "d", *BIND, "--wait=soon"), 2, ["'soon' is not a length of time"], id="bad timeout"),
        pytest.param(("publish", "d", *BIND, "--label", "x"), 2, ["NAME=VALUE"], id="bad label"),
        pytest.param(("info", "nothing"), 1, ["cannot find share 'nothing'", "try: weft list"], id="unknown share"),
        pytest.param(("class", "add", "algebra"), 2, ["name VMs"], id="nobody to add"),
        pytest.param(("class", "add", "algebra", "vm.1"), 1, ["'vm.1' as a VM id"], id="bad VM id"),
        pytest.param(("lst",), 2, ["did you mean list?"], id="unknown command"),
        pytest.param(("--context", "nope", "list"), 1, ["context"], id="unknown context"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(weft: Weft, argv: tuple[str, ...], code: int, parts: list[str]) -> None:
    """No traceback, nothing on stdout, and what to do."""
    said = weft(*argv)

    assert (said.code, said.out) == (code, "")
    assert "Traceback" not in said.err
    assert [part for part in parts if part not in said.err] == []


def test_a_change_of_much_asks(weft: Weft, plane: FakePlane) -> None:
    """Where nobody can be asked it stops; --yes goes on."""
    plane.needs_yes = True

    assert weft("publish", "docs", *BIND, "--class", "algebra").code == 1
    assert plane.records == {}
    assert weft("publish", "docs", *BIND, "--class", "algebra", "--yes").code == 0


def test_connection_flags_stand_before_or_after_the_command(weft: Weft, connected: list[LinkOptions]) -> None:
    """The innermost wins; without any it is the local broker."""
    for argv in (
        ("list",),
        ("-s", "nats://a:1", "list"),
        ("list", "--nats", "nats://b:2"),
        ("--server", "nats://a:1", "class", "-s", "nats://c:3", "list"),
    ):
        assert weft(*argv).code == 0

    assert [options.servers for options in connected] == [
        ("nats://127.0.0.1:4222",),
        ("nats://a:1",),
        ("nats://b:2",),
        ("nats://c:3",),
    ]


def test_quiet_leaves_data_and_errors(weft: Weft, plane: FakePlane) -> None:
    """-q says nothing that is neither."""
    said = weft("-q", "publish", "docs", *BIND, "--class", "algebra", "--wait")

    assert (said.code, said.out, said.err) == (0, "", "")


@pytest.mark.parametrize(
    ("error", "step"),
    [(BrokerUnreachableError("cannot reach nats://x"), "weft up"), (StreamMissingError("cannot find x"), "weft init")],
)
def test_a_broker_that_fails_ends_in_advice(error: Exception, step: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where several failures come together."""

    def failing(options: LinkOptions) -> Any:
        raise ExceptionGroup("both", [error, error])

    assert run(["list"], session=Session(open_plane=failing)) == 1
    assert f"try: {step}" in capsys.readouterr().err


def test_listings_have_all_formats(weft: Weft) -> None:
    """Table, wide, JSON and names of the same shares."""
    weft("publish", "docs", *BIND, "--class", "algebra", "--owner", "ann", "-l", "year=2027")

    assert weft("list").out.splitlines()[1].split() == [
        "docs",
        "bind",
        "/run/weft/shares/docs",
        "class",
        "algebra",
        "yes",
    ]
    assert "year=2027" in weft("list", "-o", "wide").out
    assert weft("list", "-o", "name").out == "docs\n"
    assert json.loads(weft("list", "-o", "json").out)[0]["targets"]["classes"] == ["algebra"]


def test_info_replaces_secrets_unless_asked(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only --show-secrets shows them."""
    monkeypatch.setenv("KEY", "hunter2")
    weft("publish", "v", "--from", "cubefs://me@m/vol", "--secret", "cubefs.secret_key=env:KEY", "--vm", "vm-1")

    for argv in (("info", "v"), ("info", "v", "-o", "json"), ("list", "-o", "json"), ("list", "-o", "wide")):
        assert "hunter2" not in weft(*argv).out
    assert "hunter2" in weft("info", "v", "--show-secrets").out


def test_classes_are_made_filled_and_shown(weft: Weft, plane: FakePlane, tmp_path: Path) -> None:
    """From arguments and from a file."""
    (tmp_path / "more").write_text("vm-4\n# gone\n")

    assert weft("class", "create", "physics", "vm-3", "-f", str(tmp_path / "more")).code == 0
    assert weft("class", "info", "physics").out == "vm-3\nvm-4\n"
    assert weft("class", "list", "-o", "name").out.split() == ["algebra", "empty", "physics"]


def test_unstored_sends_to_named_vms_only(weft: Weft, plane: FakePlane) -> None:
    """It says that nothing is stored; classes need a store."""
    said = weft("publish", "docs", *BIND, "--vm", "vm-1", "--unstored")

    assert (said.code, "not stored" in said.err, plane.sent[0][1]) == (0, True, ("vm-1",))
    assert weft("publish", "docs", *BIND, "--class", "algebra", "--unstored").code == 2


def status_of(vm: str, *shares: ShareStatus) -> VmView:
    return VmView(VmId(vm), VmStatus(vm=vm, held_revision=5, shares=shares), 5, 3.0, classes=(ClassName("algebra"),))


def test_status_counts_groups_and_lists(weft: Weft, plane: FakePlane) -> None:
    """Class by share, reasons with their VMs, then each VM."""
    refused = ShareError(code=ErrorCode.AUTH, message="cannot log in to x")
    plane.views = [
        status_of("vm-1", ShareStatus(id="docs", state=ShareState.MOUNTED)),
        status_of("vm-2", ShareStatus(id="docs", state=ShareState.FAILED, error=refused)),
        VmView(VmId("vm-3")),
    ]

    said = weft("status")

    assert said.code == 0
    table = [line.split() for line in said.out.splitlines()]
    assert ["algebra", "docs", "2", "1", "1", "0", "0"] in table
    assert ["1", "VM", "docs", "auth:", "cannot", "log", "in", "to", "x", "vm-2"] in table
    assert ["vm-1", "ok", "1/1", "3s", "-"] in table
    assert ["vm-3", "silent", "0/0", "-", "has", "never", "reported"] in table


def test_status_as_json_is_the_guests_records(weft: Weft, plane: FakePlane) -> None:
    """A list of what the guests sent, and the id of one that never did."""
    plane.views = [status_of("vm-1", ShareStatus(id="docs", state=ShareState.MOUNTED)), VmView(VmId("vm-3"))]

    records = json.loads(weft("status", "-o", "json").out)

    assert [record["vm"] for record in records] == ["vm-1", "vm-3"]
    assert records[0]["shares"] == [{"id": "docs", "state": "mounted"}]
    assert [vm["vm"] for vm in json.loads(weft("status", "--failed", "-o", "json").out)] == ["vm-3"]


def _commands_below(name: str) -> list[list[str]]:
    """List the words of the command called *name*, or of each command in that group."""
    command = cli.get_command(click.Context(cli), name)
    return [[name, sub] for sub in command.commands] if isinstance(command, click.Group) else [[name]]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_program(weft: Weft, shell: str) -> None:
    """Each shell gets a script for ``weft``."""
    said = weft("completion", shell)

    assert (said.code, "_WEFT_COMPLETE" in said.out) == (0, True)


def test_version_and_help_need_no_broker(weft: Weft, connected: list[LinkOptions]) -> None:
    """Help has examples for every command."""
    assert weft("--version").out.startswith("weft ")
    for name in COMMANDS:
        for words in _commands_below(name):
            said = weft(*words, "--help")
            assert (said.code, "Examples:" in said.out) == (0, True), words
    assert connected == []
