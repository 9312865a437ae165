"""Damaged files of the agent's own: it starts with each of them, and no mount is lost or changed for one."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from agent.actual import LiveMount, ProcessIdentity, Stage
from agent.boot_file import load_boot_file
from agent.desired import Accepted, Desired, Stamp, Unchanged, accept, accept_boot
from agent.ledger import BEFORE_FILE, LEDGER_FILE, LIVE_FILE, Held, Ledger
from agent.mounts.table import read_mount_table
from agent.reconcile.live import LiveShare
from agent.reconcile.plan import plan
from agent.trial import TRIAL_FILE, Trial
from tests.attack.conftest import CountProbes
from tests.attack.damage import REPLACEMENTS, be_a_directory, damage
from tests.parts.agent_process import AgentProcess
from tests.parts.shares import bind, encoded_set, unmount
from weft.errors import LedgerTooNewError
from weft.wire.codec import decode_message
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount, parse_share, share_to_builtins

VM = VmId("vm-7")
FILES = 400
BOOT_FILE = "boot.json"
SPARE = "private"
STATE_FILES = (LEDGER_FILE, LIVE_FILE, f"{SPARE}/{LIVE_FILE}", TRIAL_FILE, BEFORE_FILE, BOOT_FILE)

S3 = {
    "id": "bucket",
    "backend": "rclone",
    "mount_point": "/mnt/bucket",
    "rclone": {"type": "s3", "path": "b/c", "config": {"provider": "Minio", "secret_access_key": "s"}},
    "expires_at": "2999-01-01T00:00:00Z",
}
CUBEFS = {"id": "s", "mount_point": "/mnt/s", "cubefs": {"volume": "v", "masters": ["m:1"], "owner": "o"}, "new": [1]}
LISTED = (bind("a"), bind("b", "/mnt/a/b"), parse_share(S3), parse_share(CUBEFS))
SINGLE, BOOT = bind("single"), bind("boot")
MESSAGE, STAMP = decode_message(encoded_set(7, *LISTED)), Stamp(70, 7)


def build_state() -> Held:
    """Build what a guest holds that uses every field."""
    desired = Desired(VM)
    for verdict in (
        lambda held: accept(held, SINGLE, Stamp(5, 5), now_ms=10),
        lambda held: accept(held, unmount("gone"), Stamp(6, 6), now_ms=10),
        lambda held: accept(held, MESSAGE, STAMP, now_ms=10),
        lambda held: accept_boot(held, (BOOT,), is_complete=True),
    ):
        accepted = verdict(desired)
        assert isinstance(accepted, Accepted)
        desired = accepted.desired
    return Held(desired, frozenset({ShareId("kept-away")}))


def build_record(share: ShareMount) -> LiveMount:
    """Build the record of a mount that stands."""
    return LiveMount(
        share=share,
        digest=share_digest(share),
        stage=Stage.MOUNTED,
        process=ProcessIdentity(pid=77, start_ticks=8, boot_id="b") if share.backend_name != "bind" else None,
        boot_id="b",
        mount_id=9,
        made_directories=(share.mount_point,),
        private_dir="/run/weft-agent/private/0123456789ab",
    )


STATE = build_state()
RECORDS = {share_id: build_record(entry.share) for share_id, entry in STATE.desired.shares.items()}
STANDING = {share_id: LiveShare(record.share, record.digest) for share_id, record in RECORDS.items()}


@dataclass(frozen=True)
class Started:
    """What an agent begins with."""

    ledger: Ledger
    held: Held
    desired: Desired


def write_files(directory: Path) -> None:
    """Write every file that an agent keeps, as agents do."""
    ledger = Ledger(directory, VM, spare=directory / SPARE)
    ledger.load()
    ledger.commit(STATE)
    ledger.keep_before()
    for record in RECORDS.values():
        ledger.record_live(record)
    spare = directory / SPARE / LIVE_FILE
    if not spare.exists():
        spare.parent.mkdir(exist_ok=True)
        shutil.copy(directory / LIVE_FILE, spare)
    trial = Trial(directory)
    trial.start(go_back=ledger.go_back)
    trial.begin(b"message", keep_held=ledger.keep_before)
    trial.call_off()
    (directory / BOOT_FILE).write_text(json.dumps([share_to_builtins(BOOT)]))


def start(directory: Path) -> Started:
    """Load what an agent loads at its start, in its order."""
    ledger = Ledger(directory, VM, spare=directory / SPARE)
    ledger.make_directory()
    trial = Trial(directory)
    trial.start(go_back=ledger.go_back)
    held = ledger.load()
    desired = held.desired
    boot = load_boot_file(directory / BOOT_FILE)
    if boot is not None:
        verdict = accept_boot(desired, boot.shares, is_complete=boot.is_complete)
        desired = verdict.desired if isinstance(verdict, Accepted) else desired
    return Started(ledger, held, desired)


def is_said_to_be_newer(path: Path) -> bool:
    """Say whether a file claims to be of a newer agent, which is refused and never set aside."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return False
    schema = found.get("schema") if isinstance(found, dict) else None
    return isinstance(schema, int) and 1 < schema <= 1000


@pytest.fixture(scope="module")
def state_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory as it should be."""
    directory = tmp_path_factory.mktemp("state")
    write_files(directory)
    return directory


def judge(directory: Path, name: str) -> None:
    """Start with what is in *directory*, in which the file *name* was damaged, and check what comes of it."""
    try:
        started = start(directory)
    except LedgerTooNewError as exc:
        refusal = str(exc)
    else:
        refusal = ""
    if refusal:
        assert is_said_to_be_newer(directory / name)
        assert "install the newer agent again" in refusal
        return
    for share_id, entry in started.held.desired.shares.items():
        assert entry == STATE.desired.shares[share_id], "a share came up that nobody asked for"
    if name != BOOT_FILE:  # somebody else's file: another text in it is another wish
        assert plan(started.desired, {}, STANDING, held=started.held.held, now_s=1.0, utc=datetime.now(UTC)).steps == ()
    records = {record.share_id: record for record in started.ledger.live()}
    assert records == RECORDS, "one damaged file costs no record: there are two"
    again = start(directory)
    assert again.ledger.live() == started.ledger.live()
    assert not [path for path in directory.rglob("*.corrupt-2")], "what was mended is not damaged the next time"
    verdict = accept(again.desired, MESSAGE, STAMP, now_ms=10)
    after = verdict.desired if isinstance(verdict, Accepted) else again.desired
    assert isinstance(verdict, Accepted | Unchanged), "the stream's message counts again"
    for share in LISTED:
        assert after.shares[share.share_id].share == share


@pytest.mark.parametrize("seed", range(FILES))
def test_an_agent_starts_with_a_damaged_file_and_loses_no_mount(
    state_files: Path, tmp_path: Path, seed: int, count_probes: CountProbes
) -> None:
    """Whichever file it is: nothing is to be mounted, nothing to be unmounted, and all heals with the stream."""
    random = Random(seed)
    directory = tmp_path / "state"
    shutil.copytree(state_files, directory)
    name = random.choice(STATE_FILES)
    damage(directory / name, random)
    judge(directory, name)
    count_probes("damaged state files")


@pytest.mark.parametrize("name", STATE_FILES)
@pytest.mark.parametrize("replace", REPLACEMENTS, ids=lambda replace: replace.__name__)
def test_an_agent_starts_with_anything_in_place_of_a_file(
    state_files: Path, tmp_path: Path, name: str, replace: Callable[[Path], None], count_probes: CountProbes
) -> None:
    """A directory, a pipe, a link to itself: each file, each replacement."""
    directory = tmp_path / "state"
    shutil.copytree(state_files, directory)
    replace(directory / name)
    judge(directory, name)
    count_probes("damaged state files")


@pytest.mark.parametrize("seed", range(60))
def test_an_agent_starts_with_every_file_damaged_at_once(
    state_files: Path, tmp_path: Path, seed: int, count_probes: CountProbes
) -> None:
    """Then records are lost, and mounts are known by their sources; still nothing goes and nothing foreign comes."""
    random = Random(f"all {seed}")
    directory = tmp_path / "state"
    shutil.copytree(state_files, directory)
    for name in STATE_FILES[:-1]:
        damage(directory / name, random)
    try:
        started = start(directory)
    except LedgerTooNewError:
        assert any(is_said_to_be_newer(directory / name) for name in STATE_FILES if (directory / name).is_file())
        return
    assert plan(started.desired, {}, STANDING, held=started.held.held, now_s=1.0, utc=datetime.now(UTC)).steps == ()
    assert all(RECORDS[record.share_id] == record for record in started.ledger.live())
    count_probes("damaged state files")


def test_one_share_that_no_longer_parses_costs_that_share_alone(state_files: Path, tmp_path: Path) -> None:
    """Its driver was removed, say; the others are held, and an agent that wrote no checks is read the same way."""
    directory = tmp_path / "state"
    shutil.copytree(state_files, directory)
    document = json.loads((directory / LEDGER_FILE).read_bytes())
    for name in ("check", "checks"):
        document["desired"].pop(name, None)
    lost = next(item for item in document["desired"]["shares"] if item["share"]["id"] == "a")
    lost["share"]["backend"] = "no-such-driver"
    (directory / LEDGER_FILE).write_text(json.dumps(document))
    held = start(directory).held
    assert held.desired.shares.keys() == STATE.desired.shares.keys() - {"a"}
    assert held.held == STATE.held


def test_damaged_files_are_set_aside_within_bounds(state_files: Path, tmp_path: Path) -> None:
    """A disk that damages a file at every start must not be filled by what is set aside."""
    directory = tmp_path / "state"
    shutil.copytree(state_files, directory)
    for _ in range(12):
        (directory / LEDGER_FILE).write_text("{") if not (directory / LEDGER_FILE).is_dir() else None
        start(directory)
        be_a_directory(directory / TRIAL_FILE)
        start(directory)
    assert len(list(directory.glob(f"{LEDGER_FILE}.corrupt-*"))) == 5
    assert len(list(directory.glob(f"{TRIAL_FILE}.corrupt-*"))) == 5


# --- a real agent, real mounts ------------------------------------------------------------------------------------


@pytest.fixture
async def guest() -> AsyncIterator[AgentProcess]:
    """An agent without a broker whose boot file has two binds and an rclone mount, all of them up."""
    with TemporaryDirectory(prefix="wd-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        boot_file = directory / BOOT_FILE
        agent = AgentProcess(directory, "nats://127.0.0.1:1", arguments=("--share-mounts", str(boot_file)))
        folder = {"type": "local", "path": str(agent.source("folder"))}
        shares = [
            bind("a", str(agent.mounts / "a"), source=str(agent.source("a"))),
            bind("b", str(agent.mounts / "b"), source=str(agent.source("b"))),
            parse_share({"id": "r", "backend": "rclone", "mount_point": str(agent.mounts / "r"), "rclone": folder}),
        ]
        boot_file.write_text(json.dumps([share_to_builtins(share) for share in shares]))
        await agent.start()
        await agent.until_states(a="mounted", b="mounted", r="mounted")
        yield agent
        await agent.ask("unmount", all=True)
        await agent.stop()
        unmount_below(name)


def unmount_below(directory: str) -> None:
    """Unmount what the agent takes for somebody else's."""
    for entry in read_mount_table().below(directory):
        subprocess.run(["umount", entry.mount_point], check=True)


def mount_ids(agent: AgentProcess) -> dict[str, int]:
    """Return the kernel's mount ids by mount point below the agent's root."""
    return {entry.mount_point: entry.mount_id for entry in read_mount_table().below(str(agent.mounts))}


REAL_FILES = ("state/ledger.json", "state/live.json", "run/private/live.json", "state/trial.json")


async def start_damaged(guest: AgentProcess, random: Random, *names: str) -> list[str]:
    """Kill the agent, damage files that it keeps, and start it again; return what was done to them."""
    await guest.stop(signal.SIGKILL)
    paths = [guest.directory / name for name in names]
    kept = [path.read_bytes() for path in paths]
    done = [damage(path, random) for path in paths]
    for path, data in zip(paths, kept, strict=True):
        if path.is_file() and path.stat().st_size < 1 << 20 and is_said_to_be_newer(path):
            path.write_bytes(data[:-1])
    await guest.start()
    await guest.until(lambda status: len(status["shares"]) == 3)
    assert "Traceback" not in guest.log_path.read_text()
    return done


@pytest.mark.integration
@pytest.mark.long_attack
@pytest.mark.usefixtures("nothing_left")
async def test_a_real_agent_keeps_its_mounts_over_damaged_files(guest: AgentProcess, count_probes: CountProbes) -> None:
    """Killed, a file damaged, started again: each mount is the same one, known and in order."""
    before = mount_ids(guest)
    remarks: list[str] = []
    for seed in range(24):
        name = REAL_FILES[seed % len(REAL_FILES)]
        done = await start_damaged(guest, Random(f"real {seed}"), name)
        assert mount_ids(guest) == before, f"{name}: {done}"
        status = await guest.until_states(a="mounted", b="mounted", r="mounted")
        remarks += status.get("remarks", [])
        count_probes("real agents started with damaged files")
    assert remarks
    assert all("was set aside" in remark for remark in remarks)


@pytest.mark.integration
@pytest.mark.usefixtures("nothing_left")
async def test_a_real_agent_without_any_record_finds_its_mounts_by_their_sources(
    guest: AgentProcess, count_probes: CountProbes
) -> None:
    """A FUSE mount is taken over; a bind, which carries no name, is left standing and told as what it seems to be."""
    before = mount_ids(guest)
    await guest.stop(signal.SIGKILL)
    for name in REAL_FILES:
        (guest.directory / name).write_bytes(b'{"schema":1,"vm":"vm-7","live":[{"share":7}]')
    await guest.start()
    await guest.until(lambda status: "r" in [s["id"] for s in status["shares"] if s["state"] == "mounted"])
    await guest.until(lambda status: "occupied" in [s.get("error", {}).get("code") for s in status["shares"]])
    assert mount_ids(guest) == before
    assert "Traceback" not in guest.log_path.read_text()
    count_probes("real agents started with damaged files")
