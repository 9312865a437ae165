"""A publisher of rclone shares: nothing it writes runs a command in the guest or leads out of the source roots."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.drivers.base import MountCommand
from agent.drivers.rclone import RcloneDriver
from agent.drivers.rclone_config import build_config
from agent.drivers.rclone_options import SHARE_FLAGS
from agent.drivers.rclone_types import EVERYWHERE, OPTIONS
from agent.mounts.facts import PathFacts, PathKind
from agent.mounts.parts import Limits
from agent.mounts.policy import Policy, decide_source
from tests.attack.conftest import CountProbes
from tests.attack.rclone_specs import (
    OUT,
    RUN,
    SECRET,
    SFTP,
    SOURCE,
    Block,
    fill,
    harmless_specs,
    hostile_specs,
    random_spec,
)
from tests.parts.engine_rig import EngineRig, engine_rig
from tests.parts.rclone_servers import rclone_binary
from tests.unit.agent.drivers.specs import context_for
from weft.errors import ErrorCode, MountError, WeftError
from weft.wire.blocks import RcloneBlock
from weft.wire.share import ShareMount, parse_share

PLACES = {RUN: "/usr/local/bin/canary", OUT: "/etc", SOURCE: "/srv/share"}
FUZZED = 4000
SIGNS = ("canary", "．", "␀", "ssh = ", " = :", "..", "global.", "override.")
"""None of them is in the configuration of any client."""
LOOSE = re.compile(r"type = local\n[^\[]*(encoding|links|normalization|bits) = (?!false)")
"""A section for the guest's files with an option that lets paths lead out of them."""
BARE_PATH = re.compile(r'(?<![^\s"=])(/[^\s"]*)')
"""A path that stands for itself, not one within another remote."""
UNMOUNT = parse_share({"id": "data", "action": "unmount"})
LISTING_S = 20.0

LOCAL = frozenset({"local"})
"""What lets specs through that serve the guest's own directories, so that where they lead is judged."""


def share_of(block: Block, mount_point: str = "/mnt/data") -> ShareMount:
    return parse_share({"id": "data", "backend": "rclone", "mount_point": mount_point, "rclone": block})


def judge(block: Block) -> MountCommand:
    """Do with a spec what a guest does before it starts anything."""
    share = share_of(fill(block, PLACES))
    driver = RcloneDriver(allow_types=LOCAL)
    for source in driver.source_paths(share):
        kind = PathKind.SYMLINK if source.startswith("/srv/share/link") else PathKind.DIRECTORY
        facts = PathFacts(path=source, kind=kind, ended_at=source, resolved_path=source)
        decide_source(source, facts, policy=Policy(source_roots=("/srv/share",)))
    return driver.build(context_for(share))


def try_to_judge(block: Block) -> MountCommand | WeftError:
    """Return the command, or why there is none."""
    try:
        return judge(block)
    except WeftError as error:
        return error


def is_plain_refusal(error: WeftError) -> bool:
    """Say whether *error* blames the spec or the guest's policy, and shows no secret."""
    code = getattr(error, "code", ErrorCode.BAD_SPEC)
    return code in (ErrorCode.BAD_SPEC, ErrorCode.DENIED) and SECRET not in f"{error!r} {getattr(error, 'detail', '')}"


def test_no_hostile_spec_gets_as_far_as_a_client(count_probes: CountProbes) -> None:
    """Each is refused with a code that says who must act, and without showing a secret."""
    verdicts = {what: try_to_judge(block) for what, block in hostile_specs()}
    count_probes("rclone specs refused", len(verdicts))
    assert [what for what, verdict in verdicts.items() if isinstance(verdict, MountCommand)] == []
    assert [what for what, verdict in verdicts.items() if not is_plain_refusal(verdict)] == []


def test_ordinary_specs_are_let_through(count_probes: CountProbes) -> None:
    """What people really publish is hindered by none of this."""
    verdicts = {what: try_to_judge(block) for what, block in harmless_specs()}
    count_probes("rclone specs let through", len(verdicts))
    assert {what: str(verdict) for what, verdict in verdicts.items() if not isinstance(verdict, MountCommand)} == {}
    assert [what for what, verdict in verdicts.items() if SECRET in repr(verdict)] == []


@pytest.mark.parametrize("seed", range(2))
def test_no_random_spec_hands_a_client_what_would_act_on_the_guest(seed: int, count_probes: CountProbes) -> None:
    """What is let through names no command, no file and no directory outside the source roots."""
    chance = random.Random(seed)
    verdicts = [(block, try_to_judge(block)) for block in (random_spec(chance) for _ in range(FUZZED))]
    count_probes("random rclone specs judged", FUZZED)
    built = [(block, verdict) for block, verdict in verdicts if isinstance(verdict, MountCommand)]
    assert len(built) > FUZZED / 20
    assert [block for block, verdict in built if SECRET in repr(verdict) or not _is_harmless(block, verdict)] == []
    refused = [(block, verdict) for block, verdict in verdicts if not isinstance(verdict, MountCommand)]
    assert [block for block, error in refused if not is_plain_refusal(error)] == []


def _is_harmless(block: Block, command: MountCommand) -> bool:
    """Look at what the client is given, with none of the eyes that judged it."""
    given = "\n".join(file.content.decode() for file in command.files)
    if block["type"] == "local":
        given += f"\n {command.argv[2].removeprefix('weft:')} \n"
    if any(sign in given for sign in SIGNS) or LOOSE.search(given):
        return False
    paths = BARE_PATH.findall(given)
    return all(path.startswith("/srv/share") and not path.startswith("/srv/share/link") for path in paths)


# --- the same with real clients -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trap:
    """
    A guest with something to steal.

    Attributes:
        outside: What no share may read or write; there is the program that leaves a mark when it is run.
        source: What a share may show.
    """

    outside: Path
    source: Path

    @property
    def places(self) -> dict[str, str]:
        return {RUN: str(self.outside / "run"), OUT: str(self.outside), SOURCE: str(self.source)}

    def state(self) -> dict[str, tuple[int, str]]:
        """What is there and when it was changed, the mark of the program among it: the same while nothing happens."""
        return {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in sorted(self.outside.iterdir())}

    @property
    def was_run(self) -> bool:
        return (self.outside / "mark").exists()


def lay_trap(directory: Path) -> Trap:
    trap = Trap(directory / "outside", directory / "sources" / "share")
    trap.outside.mkdir()
    (trap.outside / "stolen").write_text("the guest's own")
    (trap.outside / "run").write_text(f"#!/bin/sh\necho run >> {trap.outside}/mark\n")
    (trap.outside / "run").chmod(0o755)
    (trap.source / "sub" / "deep").mkdir(parents=True)
    (trap.source / "shown").write_text("shown")
    (trap.source / "link").symlink_to(trap.outside)
    return trap


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    async with engine_rig(tmp_path) as made:
        made.more_drivers = {"rclone": RcloneDriver(allow_types=LOCAL)}
        made.more_programs = {"rclone": Path(rclone_binary()), "fusermount3": Path("/usr/bin/fusermount3")}
        made.limits = Limits()
        yield made


@pytest.fixture
def trap(rig: EngineRig) -> Trap:
    return lay_trap(rig.directory)


@pytest.mark.integration
async def test_a_guest_starts_no_client_for_any_hostile_spec(
    rig: EngineRig, trap: Trap, count_probes: CountProbes
) -> None:
    """No command of the guest is run, nothing is mounted, and nothing of the guest is touched."""
    before, passed = trap.state(), []
    async with rig.engine() as engine:
        for what, block in hostile_specs():
            try:
                await engine.apply(share_of(fill(block, trap.places), str(rig.root / "data")))
            except WeftError:
                count_probes("rclone specs refused by a real guest")
            else:
                passed.append(what)
                await engine.apply(UNMOUNT)
    assert passed == []
    assert trap.state() == before
    assert rig.live.live() == []
    assert rig.entries_at(rig.root / "data") == ()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("driver", "block"),
    [
        pytest.param(
            RcloneDriver(allow_types=frozenset({"archive", "local"})),
            {"type": "archive", "path": f':sftp,host=h,ssh="{RUN}":'},
            id="type",
        ),
        pytest.param(
            RcloneDriver(allow_options=frozenset({"ssh"}), allow_types=LOCAL),
            {"type": "sftp", "config": {"host": "h", "ssh": RUN}},
            id="option",
        ),
    ],
)
async def test_what_a_guest_allows_really_happens(
    rig: EngineRig, trap: Trap, driver: RcloneDriver, block: Block, count_probes: CountProbes
) -> None:
    """The mark of the trap works; and whoever allows such a type or option has allowed a command as root."""
    rig.more_drivers = {"rclone": driver}
    async with rig.engine() as engine:
        with pytest.raises(MountError):
            await engine.apply(share_of(fill(block, trap.places), str(rig.root / "data")))
    count_probes("rclone traps proved to work")
    assert trap.was_run


@pytest.mark.integration
@pytest.mark.parametrize("wrapper", ["local", "alias", "chunker", "compress", "crypt", "hasher", "union", "combine"])
async def test_a_local_share_shows_its_directory_and_nothing_else(
    rig: EngineRig, trap: Trap, wrapper: str, count_probes: CountProbes
) -> None:
    """Names that decode to dots lead nowhere, for the guest's users either."""
    block: Block = {"type": "local", "path": str(trap.source)}
    if wrapper != "local":
        block = dict(harmless_specs())[f"{wrapper} around {SOURCE}"]
    before = trap.state()
    async with rig.engine() as engine:
        await engine.apply(share_of(fill(block, trap.places), str(rig.root / "data")))
        names = await asyncio.to_thread(_walk, rig.root / "data")
        climbed = await asyncio.to_thread(_climb, rig.root / "data")
        await engine.apply(UNMOUNT)
    count_probes("names tried in a local share", len(climbed))
    assert any("sub" in name for name in names)
    assert "stolen" not in names
    assert not any(climbed.values())
    assert trap.state() == before


def _walk(directory: Path) -> list[str]:
    return [name for _, directories, files in os.walk(directory) for name in (*directories, *files)]


def _climb(mount_point: Path) -> dict[str, bool]:
    """Say for each name that might lead out of the share whether it did."""
    ways = ("．．", "‛．．", "．．／．．", "..／..", "。。", "․․", "link")
    return {way: (mount_point / way / way / "outside" / "stolen").exists() for way in ways} | {
        f"{way} once": (mount_point / way / "stolen").exists() for way in ways
    }


@pytest.mark.integration
def test_rclone_reads_every_value_as_it_was_meant(tmp_path: Path, count_probes: CountProbes) -> None:
    """No value ends its line, opens a section, or becomes another value."""
    chance = random.Random(7)
    pieces = [
        "a",
        " ",
        "=",
        "[x]",
        "#",
        ";",
        '"',
        '"""',
        "`",
        "\\",
        "%",
        "%(a)s",
        ":",
        "\t",
        "\n",
        "\r",
        "\x00",
        "\x0b",
    ]
    pieces += ["\x85", "\u00a0", "\u2028", "\ufeff", "ä", "type", "//", "\x1c", "$HOME", "${HOME}"]
    sections = {f"r{number}": {"type": "memory", "description": _text(chance, pieces)} for number in range(400)}
    written: dict[str, str] = {}
    for name, section in sections.items():
        share = {"type": "memory", "remotes": {name: section}}
        try:
            block = share_of(share).rclone
            assert block is not None
            build_config(share_of(share), block, frozenset())
        except WeftError:
            continue
        written[name] = section["description"]
    count_probes("values written to rclone's configuration", len(sections))
    assert len(written) > len(sections) / 3
    block = RcloneBlock(type="memory", remotes={name: sections[name] for name in written})
    config = tmp_path / "rclone.conf"
    config.write_bytes(build_config(share_of({"type": "memory"}), block, frozenset()).content)
    dumped = json.loads(_rclone(tmp_path, "config", "dump", f"--config={config}"))
    assert dumped == {"weft": {"type": "memory"}} | {
        name: {"type": "memory", "description": text} for name, text in written.items()
    }


def _text(chance: random.Random, pieces: list[str]) -> str:
    return "".join(chance.choice(pieces) for _ in range(chance.randrange(6)))


def _rclone(home: Path, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Return what rclone prints on either channel, however it ends."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), **(env or {})}
    argv = [rclone_binary(), *words]
    channels = subprocess.run(
        argv, env=env, cwd=cwd or home, capture_output=True, text=True, timeout=LISTING_S, check=False
    )
    return channels.stdout + channels.stderr


# --- long: what is let through, tried with the real rclone -----------------------------------------------------------

QUICK = ("--contimeout=1s", "--timeout=1s", "--retries=1", "--low-level-retries=1", "--log-level=ERROR")


@pytest.mark.integration
@pytest.mark.long_attack
@pytest.mark.parametrize("seed", range(3))
def test_rclone_reads_nothing_outside_for_any_random_spec(seed: int, tmp_path: Path, count_probes: CountProbes) -> None:
    """Whatever mixture of remotes is let through, rclone lists what lies in the source, and runs nothing."""
    trap, chance = lay_trap_in(tmp_path), random.Random(1000 + seed)
    before, listings = trap.state(), []
    for block in _let_through(chance, trap, wanted=150):
        command = RcloneDriver(allow_types=LOCAL).build(context_for(share_of(block)))
        config = tmp_path / "rclone.conf"
        config.write_bytes(command.files[0].content)
        words = ("lsf", "-R", "--max-depth=4", command.argv[2], f"--config={config}", f"--cache-dir={tmp_path}/cache")
        listings.append((block, _rclone(tmp_path, *words, *QUICK, env=command.env, cwd=trap.outside)))
    count_probes("random rclone specs listed by rclone", len(listings))
    assert [block for block, listing in listings if "stolen" in listing or SECRET in listing] == []
    assert any("shown" in listing for _, listing in listings)
    assert trap.state() == before


@pytest.mark.integration
@pytest.mark.long_attack
async def test_a_guest_shows_nothing_outside_for_any_random_spec(
    rig: EngineRig, trap: Trap, count_probes: CountProbes
) -> None:
    """Mounted by a real guest, read to its ends and written to: nothing outside changes, no secret is told."""
    chance, before, told, mounted = random.Random(5), trap.state(), [], 0
    async with rig.engine() as engine:
        for block in _let_through(chance, trap, wanted=60):
            try:
                await engine.apply(share_of(block, str(rig.root / "data")))
            except MountError as error:
                told.append(f"{error} {error.detail}")
                continue
            mounted += 1
            told.append(rig.command_line("data"))
            names = await asyncio.to_thread(_use, rig.root / "data")
            assert "stolen" not in names, block
            await engine.apply(UNMOUNT)
    count_probes("random rclone specs mounted by a real guest", mounted)
    assert mounted > 5
    assert [text for text in told if SECRET in text] == []
    assert trap.state() == before


def _use(mount_point: Path) -> list[str]:
    """Read everything, and write where it can be written."""
    names = _walk(mount_point)
    for directory, _, files in os.walk(mount_point):
        for name in files:
            try:
                names.append(Path(directory, name).read_text(errors="replace"))
            except OSError as error:
                names.append(str(error))
    try:
        (mount_point / "written").write_text("written")
    except OSError as error:
        names.append(str(error))
    return names


def _let_through(chance: random.Random, trap: Trap, *, wanted: int) -> Iterator[Block]:
    """Yield random blocks, marks filled in, that the policy lets through and that reach this guest's files."""
    while wanted:
        block = fill(random_spec(chance), trap.places)
        try:
            share = share_of(block)
            sources = RcloneDriver(allow_types=LOCAL).source_paths(share)
            RcloneDriver(allow_types=LOCAL).build(context_for(share))
        except WeftError:
            continue
        inside = [Path(path).is_relative_to(trap.source) and os.path.realpath(path) == path for path in sources]
        if inside and all(inside) and all(Path(path).is_dir() for path in sources):
            wanted -= 1
            yield block


def lay_trap_in(directory: Path) -> Trap:
    (directory / "sources").mkdir()
    return lay_trap(directory)


REACH: Mapping[str, Mapping[str, str]] = {
    "sftp": {key: value for key, value in SFTP.items() if key not in ("type", "pass")},
    "ftp": {"host": "127.0.0.1", "port": "1"},
    "smb": {"host": "127.0.0.1", "port": "1"},
    "hdfs": {"namenode": "127.0.0.1:1"},
    "http": {"url": "http://127.0.0.1:1"},
    "webdav": {"url": "http://127.0.0.1:1"},
    "s3": {"provider": "Other", "endpoint": "http://127.0.0.1:1", "access_key_id": "x", "secret_access_key": "y"},
    "azureblob": {"account": "a", "tenant": "t", "client_id": "c"},
    "azurefiles": {"account": "a", "share_name": "s", "tenant": "t", "client_id": "c"},
    "drive": {"token": '{"access_token":"x"}'},
    "swift": {"auth": "http://127.0.0.1:1", "user": "x", "key": "y"},
}
"""Enough for rclone to come as far as using the other options."""


@pytest.mark.integration
@pytest.mark.long_attack
def test_no_option_that_a_share_may_set_opens_or_runs_what_it_names(tmp_path: Path, count_probes: CountProbes) -> None:
    """Every option of every type is given the name of a program of the guest; rclone neither runs nor reads it."""
    options = [(each, name) for each, names in OPTIONS.items() for name in sorted(names - EVERYWHERE)]
    wrapped = {
        ("alias", "remote"),
        ("chunker", "remote"),
        ("compress", "remote"),
        ("crypt", "remote"),
        ("hasher", "remote"),
    }
    tried = [option for option in options if option not in wrapped]
    with ThreadPoolExecutor(4) as pool:
        touched = list(pool.map(lambda each: _touches(tmp_path, *each), tried))
        flags = sorted(SHARE_FLAGS)
        by_flag = list(pool.map(lambda name: _touches(tmp_path, "memory", "description", f"--{name}"), flags))
    count_probes("rclone options tried with a program of the guest", len(tried))
    count_probes("rclone flags tried with a program of the guest", len(flags))
    assert [option for option, is_touched in zip(tried, touched, strict=True) if is_touched] == []
    assert [name for name, is_touched in zip(flags, by_flag, strict=True) if is_touched] == []
    assert _touches(tmp_path, "sftp", "ssh")
    assert _touches(tmp_path, "drive", "service_account_file")
    assert _touches(tmp_path, "memory", "description", "--files-from")


def _touches(directory: Path, remote_type: str, name: str, flag: str = "") -> bool:
    """Run rclone with the option, or the flag, naming a program; say whether that was read or run."""
    home = directory / f"{remote_type}.{name}{flag}"
    home.mkdir()
    program = home / "program"
    program.write_text(f"#!/bin/sh\necho run >> {home}/mark\n")
    program.chmod(0o755)
    os.utime(program, ns=(0, program.stat().st_mtime_ns))  # read once, it has another time of access
    section = {"type": remote_type, **REACH.get(remote_type, {}), name: str(program)}
    config = home / "rclone.conf"
    config.write_text("[r]\n" + "".join(f"{key} = {value}\n" for key, value in section.items()))
    words = ("lsf", "r:bucket/path", f"--config={config}", f"--cache-dir={home}/cache", *QUICK)
    argv = [rclone_binary(), *words, *([f"{flag}={program}"] if flag else [])]
    client = subprocess.Popen(
        argv,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        client.wait(timeout=5)
    except subprocess.TimeoutExpired:  # it waits for a server that is not there, long after it has read its options
        client.kill()
        client.wait()
    return (home / "mark").exists() or program.stat().st_atime_ns != 0
