"""The commands on saved shares and remotes, over a real control plane's answers in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from controlplane.cli.app import run
from controlplane.cli.session import Session
from controlplane.history import Edition
from controlplane.records import RemoteRecord
from controlplane.results import FanOut
from tests.fakes.plane import FakePlane
from tests.unit.controlplane.makers import record
from weft.errors import CatalogConflictError
from weft.link import LinkOptions
from weft.wire.ids import RemoteName, VmId

S3 = RemoteRecord(backend="rclone", block={"type": "s3", "config": {"secret_access_key": "hunter2", "region": "eu"}})


@dataclass
class Catalog(FakePlane):
    """A plane that notes what it was asked to change."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    loses: bool = False

    async def _done(self, *call: Any) -> FanOut:
        if self.loses:
            raise CatalogConflictError("share.docs", keys=["share.docs"], who="ada", at="2026-01-02T03:04:05Z")
        self.calls.append(call)
        return FanOut(stored={VmId("vm-1"): 1})

    async def update(self, share_id: str, fields: Mapping[str, Any], **options: Any) -> FanOut:
        return await self._done("update", share_id, dict(fields), options["owner"], options["labels"])

    async def enable(self, share_id: str, **options: Any) -> FanOut:
        return await self._done("enable", share_id)

    async def disable(self, share_id: str, **options: Any) -> FanOut:
        return await self._done("disable", share_id)

    async def rollback(self, share_id: str, *, to: int | None, **options: Any) -> FanOut:
        return await self._done("rollback", share_id, to)

    async def history(self, share_id: str) -> list[Edition]:
        return [Edition(7, 0.0, "ada", record("docs", vms=("vm-1",))), Edition(9, 60.0, changed=("priority",))]

    async def remote(self, name: str) -> RemoteRecord:
        return self.connections[RemoteName(name)]

    async def set_remote(self, name: str, backend: str, block: Mapping[str, Any], **options: Any) -> FanOut:
        return await self._done("set", name, backend, dict(block))

    async def update_remote(self, name: str, fields: Mapping[str, Any], **options: Any) -> FanOut:
        return await self._done("update", name, dict(fields))


Weft = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plane() -> Catalog:
    """A catalog with one remote and one share."""
    return Catalog(connections={RemoteName("minio"): S3}, records={"docs": record("docs", vms=("vm-1",))})


@pytest.fixture
def weft(plane: Catalog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Weft:
    """Runs ``weft``; returns exit code, stdout and stderr."""
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    monkeypatch.setenv("HOME", str(tmp_path))

    def open_plane(options: LinkOptions, **more: Any) -> Any:
        return plane

    def weft(*argv: str) -> tuple[int, str, str]:
        code = run(argv, session=Session(open_plane=cast(Any, open_plane)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return weft


def test_a_single_secret_is_updated(weft: Weft, plane: Catalog, tmp_path: Path) -> None:
    """From a file, never from the command line, and nothing else is touched."""
    (tmp_path / "key").write_text("new\n")
    code, out, err = weft("update", "docs", "--secret", f"cubefs.secret_key=@{tmp_path / 'key'}", "--set", "priority=")
    assert (code, err) == (0, "updated docs: 1 VM (1 stored)\n")
    assert plane.calls == [("update", "docs", {"priority": None, "cubefs.secret_key": "new"}, None, None)]
    assert "new" not in out


def test_notes_are_updated_alone(weft: Weft, plane: Catalog) -> None:
    """An empty text is a value too."""
    weft("update", "docs", "--owner", "", "-l", "term=2", "-l", "draft=")
    assert plane.calls == [("update", "docs", {}, "", {"term": "2", "draft": ""})]


def test_nothing_to_update_is_a_usage_error(weft: Weft) -> None:
    """It would look like success."""
    code, _, err = weft("update", "docs")
    assert (code, "nothing to change" in err) == (2, True)


def test_whoever_loses_is_told_by_whom_and_when(weft: Weft, plane: Catalog) -> None:
    """Exit 1, and what to do next."""
    plane.loses = True
    code, _, err = weft("disable", "docs")
    assert code == 1
    assert "ada did meanwhile, at 2026-01-02 03:04:05 UTC" in err


def test_history_names_editions_and_rollback_takes_one(weft: Weft, plane: Catalog) -> None:
    """A number from the first column goes into --to."""
    code, out, _ = weft("history", "docs")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["EDITION", "7", "9"])
    assert json.loads(weft("history", "docs", "-o", "json")[1])[0]["by"] == "ada"
    weft("rollback", "docs", "--to", "7")
    assert plane.calls == [("rollback", "docs", 7)]


def test_a_filter_that_matches_nothing_says_so_and_succeeds(weft: Weft, plane: Catalog) -> None:
    """On stderr; stdout stays empty, or an empty array."""
    plane.records.clear()
    assert weft("list", "--owner", "nobody") == (0, "", "no share matches\n")
    assert weft("list", "--owner", "nobody", "-o", "json")[1] == "[]\n"
    assert weft("list", "--label", "term=1", "--at", "/mnt")[0] == 0
    assert plane.asked_for["labels"] == {"term": "1"}


def test_remotes_show_no_secret_unless_asked(weft: Weft) -> None:
    """In a listing, a card and JSON."""
    for argv in (("list", "-o", "json"), ("list", "-o", "wide"), ("info", "minio"), ("info", "minio", "-o", "json")):
        code, out, _ = weft("remote", *argv)
        assert (code, "hunter2" in out) == (0, False)
    assert "hunter2" in weft("remote", "info", "minio", "--show-secrets")[1]


def test_a_section_of_rclone_conf_becomes_a_remote(weft: Weft, plane: Catalog, tmp_path: Path) -> None:
    """With flags over it, and the backend's name left out where it is clear."""
    (tmp_path / "rclone.conf").write_text("[mine]\ntype = s3\nregion = eu\n")
    assert weft("remote", "set", "minio", "--from", "mine:", "--set", "config.region=us")[0] == 0
    assert plane.calls == [("set", "minio", "rclone", {"type": "s3", "config": {"region": "us"}})]


def test_a_remotes_key_is_rotated(weft: Weft, plane: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command for every share that uses it."""
    monkeypatch.setenv("KEY", "new")
    assert weft("remote", "update", "minio", "--secret", "config.secret_access_key=env:KEY")[0] == 0
    assert plane.calls == [("update", "minio", {"rclone.config.secret_access_key": "new"})]


def test_publishing_from_a_remote_keeps_the_reference(weft: Weft, plane: Catalog) -> None:
    """It is said where the name was found."""
    code, _, err = weft("publish", "more", "--from", "minio:more", "--vm", "vm-1")
    assert (code, err.splitlines()[0]) == (0, "remote minio: of the catalog")
    assert (plane.records["more"].remote, plane.records["more"].share.rclone.path) == ("minio", "more")  # type: ignore[union-attr]
    weft("publish", "more", "--vm", "vm-2")
    assert plane.records["more"].remote == "minio"


def test_a_remote_in_both_places_asks_which(weft: Weft, plane: Catalog, tmp_path: Path) -> None:
    """Nothing is published until the operator says."""
    (tmp_path / "rclone.conf").write_text("[minio]\ntype = sftp\nhost = h\n")
    code, _, err = weft("publish", "more", "--from", "minio:more", "--vm", "vm-1")
    assert (code, "--remote-of catalog" in err, "more" in plane.records) == (1, True, False)
    assert weft("publish", "more", "--from", "minio:more", "--remote-of", "rclone.conf", "--vm", "vm-1")[0] == 0
    assert plane.records["more"].remote == ""


def test_info_of_a_share_names_its_remote(weft: Weft, plane: Catalog) -> None:
    """So that an operator knows where its connection is changed."""
    plane.records["docs"] = msgspec.structs.replace(plane.records["docs"], remote="minio")
    assert json.loads(weft("info", "docs", "-o", "json")[1])["remote"] == "minio"
