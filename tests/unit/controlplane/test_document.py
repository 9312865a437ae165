"""The catalog as a file: what stands in it, what is filled in again, what cannot be used."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from controlplane.document import build_document, parse_document
from controlplane.import_edits import build_import
from controlplane.records import CatalogSnapshot, RemoteRecord, decode_record, with_edits
from tests.unit.controlplane.makers import AUTHOR, record, share, snapshot
from weft.errors import ConfigError
from weft.wire.ids import ClassName, RemoteName, ShareId

BLOCK = {"volume": "v", "masters": ["m1:17010"], "owner": "o", "secret_key": "hunter2"}
S3 = RemoteRecord(backend="rclone", block={"type": "s3", "config": {"secret_access_key": "hunter3"}})


def full() -> CatalogSnapshot:
    secret = msgspec.structs.replace(record("docs", classes=("algebra",)), share=share("docs", cubefs=BLOCK))
    return snapshot(
        secret,
        record("plain", vms=("vm-9",)),
        members={"algebra": ("vm-1", "vm-2")},
        remotes={RemoteName("minio"): S3},
        editions={"share.docs": 2, "member.algebra.vm-1": 4, "member.algebra.vm-2": 5, "class.algebra": 6},
    )


def text_of(catalog: CatalogSnapshot, *, show_secrets: bool = False) -> str:
    return json.dumps(build_document(catalog, show_secrets=show_secrets))


def imported(catalog: CatalogSnapshot, text: str, **options: Any) -> tuple[CatalogSnapshot, tuple[str, ...]]:
    change, plan = build_import(catalog, {}, parse_document(text, where="f"), AUTHOR, **options)
    return with_edits(catalog, change.edits), plan.lines


def test_secrets_are_left_out_unless_asked_for() -> None:
    """Of shares and remotes."""
    hidden, shown = text_of(full()), text_of(full(), show_secrets=True)
    assert ("hunter2" in hidden, "hunter3" in hidden) == (False, False)
    assert ("hunter2" in shown, "hunter3" in shown) == (True, True)


def test_a_file_without_secrets_changes_nothing_where_it_came_from() -> None:
    """What stands for a secret stays as the catalog has it."""
    after, lines = imported(full(), text_of(full()))
    assert (lines, after.shares, after.members) == ((), full().shares, full().members)


def test_a_file_with_secrets_fills_an_empty_catalog() -> None:
    """Shares, classes, remotes: everything is there again."""
    after, lines = imported(CatalogSnapshot(id="new"), text_of(full(), show_secrets=True))
    assert lines == ("+ remote minio", "+ class algebra: 2 VMs", "+ share docs", "+ share plain")
    assert after.members == full().members
    assert after.remotes[RemoteName("minio")].block == S3.block
    assert after.shares[ShareId("docs")].share == full().shares[ShareId("docs")].share


def test_a_file_without_secrets_does_not_fill_an_empty_catalog() -> None:
    """Each secret that is missing is named."""
    with pytest.raises(ConfigError) as caught:
        imported(CatalogSnapshot(id="new"), text_of(full()))
    assert any("share 'docs'" in text and "share.cubefs.secret_key" in text for text in caught.value.problems)
    assert any("remote 'minio'" in text and "config.secret_access_key" in text for text in caught.value.problems)


def test_a_plan_names_what_changes_and_who_is_concerned() -> None:
    """Fields by name, members by number; everybody else is left alone."""
    document = json.loads(text_of(full()))
    document["shares"][0]["share"]["readonly"] = True
    document["classes"] = {"algebra": ["vm-{1..3}"], "physics": "p-{01..30}"}
    change, plan = build_import(full(), {}, parse_document(json.dumps(document), where="f"), AUTHOR)
    assert plan.lines == ("~ class algebra: +1 VMs", "+ class physics: 30 VMs", "~ share docs: readonly")
    assert {"vm-1", "vm-2", "vm-3", "p-01"} <= change.affected
    assert "vm-9" not in change.affected
    stored = next(edit for edit in change.edits if edit.key == "share.docs")
    share_record = decode_record(stored.data or b"")
    assert share_record.share.cubefs is not None
    assert (share_record.share.cubefs.secret_key, stored.expected_seq) == ("hunter2", 2)


def test_what_the_file_does_not_have_goes_only_with_prune() -> None:
    """Then members, classes, shares and remotes."""
    document = json.dumps({"weft": 1, "classes": {"algebra": ["vm-1"]}, "shares": []})
    kept, lines = imported(full(), document)
    assert (lines, kept.shares.keys()) == ((), full().shares.keys())
    after, lines = imported(full(), document, prune=True)
    assert lines == ("- remote minio", "- class algebra: -1 VMs", "- share docs", "- share plain")
    assert (after.shares, after.remotes, after.members) == ({}, {}, {ClassName("algebra"): {"vm-1"}})


def test_toml_is_read_too() -> None:
    """As somebody might write it by hand."""
    text = """
    weft = 1
    [classes]
    algebra = ["vm-{1..3}"]
    [[shares]]
    owner = "ada"
    [shares.targets]
    classes = ["algebra"]
    [shares.share]
    id = "tools"
    mount_point = "/srv/tools"
    backend = "bind"
    bind = { source = "/opt/tools" }
    """
    after, lines = imported(snapshot(), text)
    assert lines == ("+ class algebra: 3 VMs", "+ share tools")
    assert after.shares[ShareId("tools")].owner == "ada"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("{", "as JSON", id="cut short"),
        pytest.param("{}", "weft export", id="something else"),
        pytest.param('{"weft": 1, "shares": {}}', "expected an array", id="shares as a table"),
        pytest.param('{"weft": 1, "shares": [{"share": {}}]}', r"shares\[0\]", id="no id"),
        pytest.param('{"weft": 1, "classes": {"a": ["x.y"]}}', "class 'a'", id="a bad VM id"),
        pytest.param('{"weft": 1, "remotes": {"a.b": {}}}', "remote 'a.b'", id="a bad name"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(content: str, words: str) -> None:
    """Every problem is named."""
    with pytest.raises(ConfigError, match=words):
        parse_document(content, where="f")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"targets": {"classes": ["nobody"]}}, "class 'nobody'", id="unknown class"),
        pytest.param({"remote": "gone"}, "remote 'gone'", id="unknown remote"),
        pytest.param({"share": {"id": "x", "mount_point": "/etc", "backend": "bind"}}, "bind", id="no share"),
    ],
)
def test_a_share_that_could_not_be_published_is_refused(change: dict[str, Any], words: str) -> None:
    """Before anything is written."""
    bind = {"id": "x", "mount_point": "/srv/x", "backend": "bind", "bind": {"source": "/x"}}
    with pytest.raises(ConfigError, match=words):
        imported(snapshot(), json.dumps({"weft": 1, "shares": [{"share": bind, **change}]}))
