"""Single fields, on and off, and earlier editions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controlplane.assign import find_field
from controlplane.records import RemoteRecord, ShareRecord, decode_record
from controlplane.share_edits import Notes, build_enable, build_rollback, build_update
from tests.unit.controlplane.makers import AUTHOR, members_of, record, share, snapshot, vms
from weft.errors import ConfigError, DecodeError, UnknownNameError
from weft.wire.ids import RemoteName, ShareId

DOCS = msgspec.structs.replace(record("docs", vms=("vm-1",)), labels={"term": "1", "draft": "yes"}, owner="ada")


def updated(fields: dict[str, Any], notes: Notes | None = None, before: ShareRecord = DOCS) -> ShareRecord:
    assignments = [(find_field(name), value) for name, value in fields.items()]
    (edit,) = build_update(snapshot(before), {}, "docs", assignments, notes or Notes(), AUTHOR).edits
    return decode_record(edit.data or b"")


def test_a_single_field_changes_and_all_else_stays() -> None:
    """The share, its targets and notes."""
    after = updated({"cubefs.secret_key": "new", "readonly": True})
    assert after.share.cubefs is not None
    assert (after.share.cubefs.secret_key, after.share.cubefs.owner, after.share.readonly) == ("new", "o", True)
    assert (after.targets, after.owner, after.updated_by) == (DOCS.targets, "ada", "teacher")


def test_none_removes_a_field() -> None:
    """It is as if it had never been set."""
    after = updated({"priority": None}, before=msgspec.structs.replace(DOCS, share=share("docs", priority=4)))
    assert after.share.priority == 0


def test_notes_change_one_by_one() -> None:
    """An empty text removes, also a label; what is not named stays."""
    after = updated({}, Notes(owner="", labels={"draft": "", "year": "2"}))
    assert (after.owner, after.labels) == ("", {"term": "1", "year": "2"})


def test_an_update_that_changes_nothing_writes_nothing() -> None:
    """Its VMs are looked at all the same."""
    change = build_update(snapshot(DOCS), {}, "docs", [(find_field("priority"), 0)], Notes(), AUTHOR)
    assert (change.edits, change.affected) == ((), vms("vm-1"))


def test_a_result_that_breaks_the_contract_is_refused() -> None:
    """Before anything is written, system directories included."""
    for fields in ({"umask": "9"}, {"mount_point": "/etc"}):
        with pytest.raises(DecodeError):
            updated(fields)


def test_a_field_of_the_remote_is_changed_there() -> None:
    """The share would not take it, so the right command is named."""
    catalog = snapshot(
        msgspec.structs.replace(DOCS, remote="team"),
        remotes={RemoteName("team"): RemoteRecord(backend="cubefs", block={"volume": "v", "masters": [], "owner": ""})},
    )
    with pytest.raises(ConfigError, match="weft remote update team"):
        build_update(catalog, {}, "docs", [(find_field("cubefs.owner"), "x")], Notes(), AUTHOR)


def test_disabling_keeps_everything_and_concerns_everybody_who_had_it() -> None:
    """Enabling concerns them again, members of its classes too."""
    members = members_of({"algebra": ("vm-2",)})
    item = record("docs", vms=("vm-1",), classes=("algebra",))
    off = build_enable(snapshot(item), members, "docs", AUTHOR, enabled=False)
    saved = decode_record(off.edits[0].data or b"")
    on = build_enable(snapshot(saved), members, "docs", AUTHOR, enabled=True)
    assert off.affected == on.affected == vms("vm-1", "vm-2")
    assert (saved.enabled, saved.targets) == (False, item.targets)


def test_a_rollback_brings_share_and_targets_back_but_no_old_refresh_number() -> None:
    """A lower number would look to a guest like an older share."""
    old = msgspec.structs.replace(record("docs", vms=("vm-9",)), refreshes={"vm-9": 2})
    now = msgspec.structs.replace(DOCS, share=share("docs", refresh=5, readonly=True))
    change = build_rollback(snapshot(now), {}, ShareId("docs"), old, AUTHOR)
    after = decode_record(change.edits[0].data or b"")
    assert (after.share.readonly, after.share.refresh, after.refreshes) == (False, 5, {})
    assert (after.targets.vms, change.affected) == (("vm-9",), vms("vm-1", "vm-9"))


def test_an_ended_share_comes_back_over_its_end() -> None:
    """The edit replaces the edition that ended it."""
    change = build_rollback(snapshot(editions={"share.docs": 9}), {}, ShareId("docs"), DOCS, AUTHOR)
    assert (change.edits[0].expected_seq, change.affected) == (9, vms("vm-1"))


def test_a_rollback_to_a_remote_that_is_gone_is_refused() -> None:
    """Nobody's list could be computed."""
    with pytest.raises(UnknownNameError, match="remote 'minio'"):
        build_rollback(snapshot(), {}, ShareId("docs"), msgspec.structs.replace(DOCS, remote="minio"), AUTHOR)
