"""What a guest allows: the rules for mount points and sources, from facts alone."""

from __future__ import annotations

from typing import Any

import pytest

from agent.mounts.facts import PathFacts, PathKind
from agent.mounts.mountinfo import MountTable, parse_mountinfo
from agent.mounts.policy import Policy, decide_mount_point, decide_place, decide_source
from weft.errors import DeniedError, ErrorCode, MountError, OccupiedError
from weft.wire.paths import parse_mount_point

ROOT = "27 1 254:0 / / rw - ext4 /dev/vda rw"
EMPTY = MountTable(parse_mountinfo(ROOT))
POLICY = Policy()


def table_of(*mounts: tuple[str, str]) -> MountTable:
    """Build a table with a root and mounts on it, each a mount point and a source."""
    lines = [f"{100 + at} 27 0:{at} / {point} rw - tmpfs {source} rw" for at, (point, source) in enumerate(mounts)]
    return MountTable(parse_mountinfo("\n".join([ROOT, *lines])))


def facts_of(path: str, kind: PathKind = PathKind.DIRECTORY, **fields: Any) -> PathFacts:
    return PathFacts(path=path, kind=kind, **({"ended_at": path, "resolved_path": path} | fields))


def decide(path: str, facts: PathFacts, table: MountTable = EMPTY, **changes: Any) -> None:
    given: dict[str, Any] = {"is_first": True, "made_by_us": False, "policy": POLICY}
    decide_mount_point(path, facts, table, **(given | changes))


@pytest.mark.parametrize(
    "path", ["/mnt/a", "/mnt", "/workspace", "/run/weft/shares/tools", "/home/ann/data", "/srv/x/y"]
)
def test_a_place_at_or_below_a_root_is_allowed(path: str) -> None:
    """The default roots hold what people mount at; a root that is no system directory may be a mount point itself."""
    decide_place(parse_mount_point(path), policy=POLICY)
    decide(path, facts_of(path, PathKind.MISSING))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("/etc/x", "lies in the system directory '/etc'", id="in a system tree"),
        pytest.param("/home", "it is a system directory", id="a system directory that is a root"),
        pytest.param("/mnt2/a", "not below an allowed root (/run/weft/shares, /mnt, ", id="beside a root"),
        pytest.param("/var/data", "not below an allowed root", id="elsewhere"),
        pytest.param("/run/weft-agent/x", "system directory '/run'", id="the agent's own"),
    ],
)
def test_a_place_elsewhere_is_denied(path: str, words: str) -> None:
    """Outside the roots, or in what the guest runs on, the sentence says which, and where shares may be."""
    with pytest.raises(DeniedError) as caught:
        decide_place(path, policy=POLICY)
    assert words in str(caught.value)
    assert caught.value.is_permanent


def test_a_root_does_not_open_a_system_directory() -> None:
    """Even a guest whose root is ``/`` keeps its system directories."""
    with pytest.raises(DeniedError):
        decide_place("/usr/bin", policy=Policy(roots=("/",)))
    decide_place("/anything", policy=Policy(roots=("/",)))


def test_a_root_that_leads_into_a_system_directory_is_denied() -> None:
    """A root may be a symbolic link, but not into what the guest runs on."""
    with pytest.raises(DeniedError, match="leads to '/etc/x', and it lies in the system directory '/etc'"):
        decide("/data/x", facts_of("/data/x", resolved_path="/etc/x", ended_at="/etc/x"))


def test_a_symbolic_link_on_the_way_is_denied() -> None:
    """The link is named, not only the mount point."""
    facts = facts_of("/mnt/a/b", PathKind.SYMLINK, ended_at="/mnt/a", symlink_at="/mnt/a")
    with pytest.raises(DeniedError, match="'/mnt/a' is a symbolic link"):
        decide("/mnt/a/b", facts)


@pytest.mark.parametrize("kind", [PathKind.FILE, PathKind.OTHER])
def test_what_is_no_directory_is_occupied(kind: PathKind) -> None:
    """A file or a device at the mount point, or on the way, is refused and named."""
    with pytest.raises(OccupiedError, match="'/mnt/a' is"):
        decide("/mnt/a/b", facts_of("/mnt/a/b", kind, ended_at="/mnt/a"))


def test_a_full_directory_is_refused_at_the_first_mount_with_its_entries() -> None:
    """Some entries stand in the sentence, all that were read in the detail."""
    entries = tuple("abcdefg")
    with pytest.raises(OccupiedError, match=r"not empty \('a', 'b', 'c', 'd', 'e' and more\)") as caught:
        decide("/mnt/a", facts_of("/mnt/a", entries=entries))
    assert caught.value.detail.split("\n") == list(entries)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"is_first": False}, id="on repair"),
        pytest.param({"made_by_us": True}, id="made by us"),
        pytest.param({"our_directories": ["/mnt/a/notes.txt"]}, id="holding only what we made"),
        pytest.param({"table": table_of(("/mnt/a/notes.txt/sub", "weft:x:1"))}, id="leading only to our mount"),
        pytest.param({"table": table_of(("/mnt/a", "weft:x:1"))}, id="under our own mount"),
    ],
)
def test_entries_that_do_not_count_are_no_obstacle(changes: dict[str, Any]) -> None:
    """What is ours, or was written while the mount was away, does not stop it."""
    decide("/mnt/a", facts_of("/mnt/a", entries=("notes.txt",)), **changes)


def test_an_entry_beside_ours_still_counts() -> None:
    """Only the foreign one is named."""
    with pytest.raises(OccupiedError) as caught:
        decide("/mnt/a", facts_of("/mnt/a", entries=("ours", "theirs")), table_of(("/mnt/a/ours", "weft:x:1")))
    assert caught.value.detail == "theirs"


def test_a_foreign_mount_is_never_covered() -> None:
    """Somebody else's mount on the path is refused on repair too, naming its type and source."""
    with pytest.raises(OccupiedError, match="a tmpfs mount of 'stranger' is there"):
        decide("/mnt/a", facts_of("/mnt/a"), table_of(("/mnt/a", "stranger")), is_first=False)


def test_a_kernel_mount_is_ours_if_the_caller_says_so() -> None:
    """A bind mount carries no source of ours; who knows it by its id passes a predicate."""
    table = table_of(("/mnt/a", "/dev/vda"))
    decide("/mnt/a", facts_of("/mnt/a", entries=("file",)), table, is_ours=lambda entry: entry.mount_id == 100)


def test_a_source_at_or_below_its_roots_is_allowed() -> None:
    """Source roots are a list of their own."""
    policy = Policy(source_roots=("/var/exports",))
    decide_source("/var/exports", facts_of("/var/exports"), policy=policy)
    decide_source("/var/exports/a", facts_of("/var/exports/a"), policy=policy)
    with pytest.raises(DeniedError, match="not below an allowed source root"):
        decide_source("/mnt/a", facts_of("/mnt/a"), policy=policy)


def test_a_source_behind_a_symbolic_link_is_denied() -> None:
    """Otherwise a guest's user could have any directory shown."""
    with pytest.raises(DeniedError, match="'/srv/link' is a symbolic link"):
        decide_source("/srv/link/x", facts_of("/srv/link/x", PathKind.SYMLINK, ended_at="/srv/link"), policy=POLICY)


@pytest.mark.parametrize("kind", [PathKind.MISSING, PathKind.FILE])
def test_a_source_that_is_not_there_yet_is_tried_again(kind: PathKind) -> None:
    """A missing source directory is not_found, which is no permanent error."""
    with pytest.raises(MountError) as caught:
        decide_source("/srv/a", facts_of("/srv/a", kind), policy=POLICY)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert not caught.value.is_permanent


def test_a_full_directory_of_another_share_may_be_covered() -> None:
    """What is below it is the other share's, and which of the two serves the path is the shares' rule."""
    decide("/mnt/a/b", facts_of("/mnt/a/b", entries=("theirs",)), table_of(("/mnt/a", "weft:base:1")))


def test_a_full_directory_of_a_foreign_mount_is_refused() -> None:
    """Somebody else's files count like the guest's own."""
    with pytest.raises(OccupiedError):
        decide("/mnt/a/b", facts_of("/mnt/a/b", entries=("theirs",)), table_of(("/mnt/a", "server:/export")))
