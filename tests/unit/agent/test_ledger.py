"""The ledger: round trips, and every way of being damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.actual import LiveMount, ProcessIdentity, Stage
from agent.desired import Accepted, Desired, Stamp, accept
from agent.ledger import LEDGER_FILE, LIVE_FILE, Held, Ledger
from tests.parts.shares import bind, unmount
from weft.errors import LedgerTooNewError
from weft.wire.codec import decode_message
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId, VmId

VM = VmId("vm-7")
MESSAGE = {
    "vm": "vm-7",
    "revision": 5,
    "catalog": {"id": "c", "seq": 9},
    "shares": [
        {"id": "a", "backend": "bind", "mount_point": "/mnt/a", "bind": {"source": "/srv/a"}, "novel": [1]},
        {"id": "s", "mount_point": "/mnt/s", "cubefs": {"volume": "v", "masters": ["m:1"], "owner": "o"}},
        {"id": "bad", "mount_point": "no"},
    ],
}


def full() -> Held:
    """Return a state that uses every field."""
    desired = Desired(VM)
    for seq, message in enumerate(
        (decode_message(json.dumps(MESSAGE).encode()), bind("single"), unmount("gone")), start=1
    ):
        verdict = accept(desired, message, Stamp(seq, seq), now_ms=10)
        assert isinstance(verdict, Accepted)
        desired = verdict.desired
    return Held(desired, frozenset({ShareId("a")}))


def live(name: str = "a") -> LiveMount:
    share = bind(name)
    return LiveMount(
        share=share,
        digest=share_digest(share),
        stage=Stage.MOUNTED,
        process=ProcessIdentity(pid=7, start_ticks=8, boot_id="b"),
        mount_id=9,
        made_directories=("/mnt/a",),
    )


def test_what_was_committed_is_loaded(tmp_path: Path) -> None:
    """Every field, unknown ones of shares too."""
    held = full()
    Ledger(tmp_path, VM).commit(held)
    assert Ledger(tmp_path, VM).load() == held


def test_live_mounts_are_remembered_and_forgotten(tmp_path: Path) -> None:
    """By share id."""
    ledger = Ledger(tmp_path, VM)
    ledger.record_live(live("a"))
    ledger.record_live(live("b"))
    ledger.forget_live(ShareId("b"))
    again = Ledger(tmp_path, VM)
    again.load()
    assert list(again.live()) == [live("a")]
    assert again.find_live(ShareId("a")) == live("a")


def test_secrets_are_for_root_only(tmp_path: Path) -> None:
    """Both files hold specs."""
    ledger = Ledger(tmp_path, VM)
    ledger.commit(full())
    ledger.record_live(live())
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in (LEDGER_FILE, LIVE_FILE)] == [0o600, 0o600]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="truncated"),
        pytest.param("[]", id="another kind"),
        pytest.param("[" * 50_000, id="nested without end"),
        pytest.param('{"schema":1,"vm":"vm-7"}', id="fields missing"),
        pytest.param('{"schema":1,"vm":"vm-7","desired":{"shares":3}}', id="fields of another kind"),
        pytest.param('{"schema":1,"vm":"vm-8","desired":{}}', id="another VM's"),
    ],
)
def test_a_damaged_ledger_is_set_aside(tmp_path: Path, text: str) -> None:
    """The stream is the source then; nothing that was set aside is overwritten."""
    (tmp_path / LEDGER_FILE).write_text(text)
    (tmp_path / f"{LEDGER_FILE}.corrupt-1").write_text("earlier")
    assert Ledger(tmp_path, VM).load() == Held(Desired(VM))
    assert not (tmp_path / LEDGER_FILE).exists()
    assert (tmp_path / f"{LEDGER_FILE}.corrupt-2").read_text() == text
    assert (tmp_path / f"{LEDGER_FILE}.corrupt-1").read_text() == "earlier"


def test_damaged_records_of_mounts_are_set_aside(tmp_path: Path) -> None:
    """They would end the agent at every start; mounts that carry our source are found without them."""
    (tmp_path / LIVE_FILE).write_text('{"schema":1,"vm":"vm-7","live":[7]}')
    ledger = Ledger(tmp_path, VM)
    ledger.load()
    assert list(ledger.live()) == []
    assert (tmp_path / f"{LIVE_FILE}.corrupt-1").exists()


def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / LEDGER_FILE).write_text('{"schema":2,"vm":"vm-7"}')
    with pytest.raises(LedgerTooNewError, match="newer agent"):
        Ledger(tmp_path, VM).load()
    assert (tmp_path / LEDGER_FILE).exists()


def test_an_unwritable_ledger_is_reported_and_costs_nothing(tmp_path: Path) -> None:
    """The agent goes on in memory; the problem goes when writing works again."""
    directory = tmp_path / "state"
    directory.write_text("a file is in the way")
    ledger = Ledger(directory, VM)
    ledger.load()
    ledger.commit(full())
    ledger.record_live(live())
    assert ledger.problem is not None
    assert ledger.find_live(ShareId("a")) == live()
    directory.unlink()
    directory.mkdir()
    ledger.commit(full())
    ledger.record_live(live())
    assert ledger.problem is None


def test_what_is_mounted_while_the_state_directory_is_full_is_known_to_the_next_agent(tmp_path: Path) -> None:
    """It is kept in the spare directory too, for root only; what is written last counts."""
    state, spare = tmp_path / "state", tmp_path / "run" / "private"
    state.write_text("a file is in the way")
    Ledger(state, VM, spare=spare).record_live(live("a"))
    assert spare.stat().st_mode & 0o777 == 0o700
    second = Ledger(state, VM, spare=spare)
    second.load()
    assert list(second.live()) == [live("a")]
    state.unlink()
    state.mkdir()
    second.record_live(live("b"))
    third = Ledger(state, VM, spare=spare)
    third.load()
    assert list(third.live()) == [live("a"), live("b")]


@pytest.mark.parametrize(("earlier", "later"), [("state", "run"), ("run", "state")])
def test_the_record_that_was_written_last_counts(tmp_path: Path, earlier: str, later: str) -> None:
    """Whichever directory it is in: a spare that could not be removed is older than what was written since."""
    first = Ledger(tmp_path / "one", VM)
    first.make_directory()
    first.record_live(live("a"))
    older = (tmp_path / "one" / LIVE_FILE).read_bytes()
    first.forget_live(ShareId("a"))
    newer = (tmp_path / "one" / LIVE_FILE).read_bytes()
    for name, document in ((earlier, older), (later, newer)):
        (tmp_path / name).mkdir()
        (tmp_path / name / LIVE_FILE).write_bytes(document)
    ledger = Ledger(tmp_path / "state", VM, spare=tmp_path / "run")
    ledger.load()
    assert list(ledger.live()) == []


def test_a_failed_write_leaves_the_old_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk must not cost what is there."""
    ledger = Ledger(tmp_path, VM)
    ledger.commit(full())

    def full_disk(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    ledger.commit(Held(Desired(VM)))
    assert "No space left" in (ledger.problem or "")
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER_FILE]
    assert Ledger(tmp_path, VM).load() == full()
