"""What a client sees, decided from its command and its share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import MountCommand
from agent.mounts.cage import Cage, Views, build_cage
from agent.mounts.cage_files import copy_etc

COMMAND = MountCommand(argv=("/opt/cubefs/cfs-client", "-f"), fs_types=frozenset({"fuse.x"}), source="weft:a:1")


def build(command: MountCommand = COMMAND, **changes: Any) -> Cage:
    fields: dict[str, Any] = {
        "programs": ("/usr/bin/fusermount3",),
        "private_dir": "/run/weft-agent/private/1",
        "cache_dir": "/var/lib/weft/cache/1/2",
        "etc": "/run/weft-agent/etc",
        "sources": {},
        "is_read_only": False,
        "views": Views(),
    }
    return build_cage(command, **{**fields, **changes})


def test_a_client_sees_its_own_programs_and_directories_and_no_more() -> None:
    """Its temporary files lie in its cache, on disk."""
    cage = build()
    assert cage.programs == ("/opt/cubefs/cfs-client", "/usr/bin/fusermount3")
    assert (cage.read_only, cage.writable, dict(cage.sources)) == ((), (), {})
    assert cage.tmp_dir == "/var/lib/weft/cache/1/2/tmp"


def test_what_the_administrator_shows_is_seen_by_every_client() -> None:
    """Libraries read-only, and what clients share writable."""
    cage = build(views=Views(read_only=("/opt/cubefs",), writable=("/var/cache/cubefs",)))
    assert (cage.read_only, cage.writable) == (("/opt/cubefs",), ("/var/cache/cubefs",))


def test_a_source_in_another_source_shows_there() -> None:
    """Mounting it once more would look its path up in a directory that users may change."""
    cage = build(sources={"/srv/a": "/srv/a", "/srv/a/b": "/srv/a/b", "/srv/ab": "/srv/ab"})
    assert dict(cage.sources) == {"/srv/a": "/srv/a", "/srv/ab": "/srv/ab"}


@pytest.mark.parametrize("is_read_only", [True, False])
def test_the_sources_of_a_read_only_share_cannot_be_changed(is_read_only: bool) -> None:
    """Whatever the client makes of its own option."""
    assert build(is_read_only=is_read_only).is_read_only is is_read_only


def test_a_client_keeps_the_capabilities_its_driver_names() -> None:
    """By the kernel's numbers; one that weft does not know is a mistake of the driver."""
    assert build(replace(COMMAND, capabilities=frozenset({"CAP_SYS_RESOURCE"}))).capabilities == (24,)
    with pytest.raises(KeyError, match="CAP_SYS_MODULE"):
        build(replace(COMMAND, capabilities=frozenset({"CAP_SYS_MODULE"})))


def test_etc_holds_names_and_addresses_and_follows_the_guest(tmp_path: Path) -> None:
    """A changed resolver arrives by replacement, which a client that sees the directory notices; no password does."""
    guest, seen = tmp_path / "guest", tmp_path / "etc"
    (guest / "ssl" / "certs").mkdir(parents=True)
    (guest / "real.conf").write_text("nameserver 10.0.0.1\n")
    (guest / "resolv.conf").symlink_to("real.conf")
    (guest / "shadow").write_text("root:secret")
    (guest / "passwd").write_text("ann:x:1000:1000::/home/ann:/bin/sh\n")
    copy_etc(seen, guest=guest)
    before = (seen / "resolv.conf").stat().st_ino
    copy_etc(seen, guest=guest)
    assert (seen / "resolv.conf").stat().st_ino == before
    (guest / "real.conf").write_text("nameserver 10.0.0.2\n")
    copy_etc(seen, guest=guest)
    assert (seen / "resolv.conf").read_text() == "nameserver 10.0.0.2\n"
    assert not (seen / "shadow").exists()
    assert "ann" not in (seen / "passwd").read_text()
    assert (seen / "ssl" / "certs").is_dir()
