"""The mount table: the kernel's text read without loss, and lookups answered as the kernel would."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.mounts.mountinfo import MountTable, parse_mountinfo

GOLDEN = Path(__file__).parents[3] / "golden" / "mountinfo"


def captured(name: str) -> MountTable:
    return MountTable(parse_mountinfo((GOLDEN / f"{name}.txt").read_bytes().decode("utf-8", "surrogateescape")))


def point_of(table: MountTable, path: str) -> str:
    top = table.top_at(path)
    assert top is not None
    return top.source


def test_every_field_is_read() -> None:
    """A line becomes one entry with each field in its place, options as sets."""
    (entry,) = parse_mountinfo(
        "71 63 0:47 /sub /mnt/a rw,nosuid,nodev - fuse.rclone weft:tools:0123abcd rw,user_id=0,allow_other\n"
    )
    assert (entry.mount_id, entry.parent_id, entry.device, entry.root) == (71, 63, "0:47", "/sub")
    assert (entry.mount_point, entry.fs_type, entry.source) == ("/mnt/a", "fuse.rclone", "weft:tools:0123abcd")
    assert entry.options == {"rw", "nosuid", "nodev"}
    assert entry.super_options == {"rw", "user_id=0", "allow_other"}


@pytest.mark.parametrize(
    "optional",
    [
        pytest.param("", id="none"),
        pytest.param("shared:1 ", id="one"),
        pytest.param("shared:5 master:1 propagate_from:2 unbindable ", id="many"),
    ],
)
def test_optional_fields_are_skipped(optional: str) -> None:
    """However many optional fields there are, what follows the separator is found."""
    (entry,) = parse_mountinfo(f"1 2 0:3 / /a rw {optional}- tmpfs source ro")
    assert (entry.fs_type, entry.source, sorted(entry.super_options)) == ("tmpfs", "source", ["ro"])


def test_an_empty_source_is_kept_empty() -> None:
    """Kernels before 5.14 print nothing for an empty source; the fields after it do not shift."""
    (entry,) = parse_mountinfo("1 2 0:3 / /a rw - tmpfs  rw")
    assert (entry.source, sorted(entry.super_options)) == ("", ["rw"])


@pytest.mark.parametrize("line", ["", "1 2 0:3 / /a rw", "x 2 0:3 / /a rw - tmpfs t rw", "1 2 0:3 / /a rw - tmpfs"])
def test_a_broken_line_is_an_error_and_no_guess(line: str) -> None:
    """A line of another form is refused, as everything after it could be wrong; an empty text is an empty table."""
    if not line:
        assert parse_mountinfo(line) == ()
        return
    with pytest.raises(ValueError, match="cannot read mountinfo line"):
        parse_mountinfo(line)


def test_escapes_are_decoded_and_other_white_space_kept() -> None:
    """Space, tab, newline and backslash are decoded; a vertical tab or a form feed ends neither field nor line."""
    points = {entry.mount_point.removeprefix("/mnt/weft/") for entry in captured("escapes").entries}
    assert {"with space", "tab\there", "back\\slash", "hash#mark", "new\nline", "café", "vt\x0bform"} <= points
    assert len(captured("escapes").by_source_prefix("weft:team data:")) == 7


def test_bytes_that_are_no_text_survive() -> None:
    """A path that is not UTF-8 keeps its bytes, so that it can be used in a call."""
    (entry,) = parse_mountinfo(b"1 2 0:3 / /a\xff rw - tmpfs t rw".decode("utf-8", "surrogateescape"))
    assert entry.mount_point.encode("utf-8", "surrogateescape") == b"/a\xff"


def test_a_removed_source_directory_is_told_apart_from_its_name() -> None:
    """``//deleted`` is a mark of the kernel's, not part of the root's name."""
    top = captured("deleted").top_at("/mnt/weft/a")
    assert top is not None
    assert (top.root, top.is_deleted) == ("/weft/src", True)


def test_stacked_mounts_come_lowest_first_and_only_the_top_is_visible() -> None:
    """Of three mounts on one path, a lookup reaches the last."""
    table = captured("stacked")
    assert [entry.source for entry in table.at("/mnt/weft/a")] == ["weft:one:11111111", "weft:two:22222222", "stranger"]
    assert [table.is_visible(entry) for entry in table.at("/mnt/weft/a")] == [False, False, True]
    assert point_of(table, "/mnt/weft/a") == "stranger"


def test_the_order_of_lines_does_not_matter() -> None:
    """Stacking is told by ids: newer kernels do not list mounts in the order of mounting."""
    table = MountTable(tuple(reversed(captured("stacked").entries)))
    assert [entry.source for entry in table.at("/mnt/weft/a")] == ["weft:one:11111111", "weft:two:22222222", "stranger"]
    assert point_of(table, "/mnt/weft/a") == "stranger"


def test_a_child_under_a_remounted_parent_is_covered() -> None:
    """A later mount on the parent's path hides the child, though mountinfo still lists it."""
    table = captured("covered_child")
    (child,) = table.by_source_prefix("weft:child:")
    assert table.at("/mnt/weft/a/b") == (child,)
    assert not table.is_visible(child)
    assert table.top_at("/mnt/weft/a/b") is None
    assert table.holding("/mnt/weft/a/b").source == "weft:parent:33333333"


def test_a_child_mounted_again_in_a_later_parent_is_the_visible_one() -> None:
    """Of two mounts on one path, the one in the visible parent is reached, and listed last."""
    table = captured("covered_by_later_parent")
    assert [entry.source for entry in table.at("/mnt/weft/p/q")] == ["weft:child:11111111", "weft:again:33333333"]
    assert point_of(table, "/mnt/weft/p/q") == "weft:again:33333333"
    assert [table.is_visible(entry) for entry in table.at("/mnt/weft/p/q")] == [False, True]


def test_what_lies_on_a_mount_goes_by_parent_not_by_path() -> None:
    """Detaching a later parent takes the child mounted in it, not the one that it covers."""
    table = captured("covered_by_later_parent")
    (parent,) = table.by_source_prefix("weft:parent:")
    assert [entry.source for entry in table.upon(parent)] == ["weft:again:33333333"]
    assert [entry.source for entry in table.below("/mnt/weft/p")] == ["weft:child:11111111", "weft:again:33333333"]


def test_a_path_is_held_by_the_nearest_mount_above_it() -> None:
    """The holder is found by whole components, so that ``/mnt2`` does not lie on ``/mnt``."""
    table = captured("stacked")
    assert table.holding("/mnt/weft/a/deep/file").source == "stranger"
    assert table.holding("/mnt/weft/ab").mount_point == "/mnt"
    assert table.holding("/mnt2").mount_point == "/"
    assert table.holding("/").fs_type == "ext4"


def test_a_mount_over_the_root_is_the_root() -> None:
    """A mount on ``/`` itself, as an initramfs leaves it, carries everything mounted in it."""
    table = MountTable(
        parse_mountinfo(
            "1 1 0:1 / / rw - rootfs rootfs rw\n2 1 8:1 / / rw - ext4 /dev/a rw\n3 2 0:3 / /m rw - tmpfs t rw"
        )
    )
    assert table.holding("/etc").fs_type == "ext4"
    assert table.top_at("/m") == table.entries[2]


def test_a_table_without_a_root_says_that_it_cannot_tell() -> None:
    """In a chroot the root itself is not listed: what is mounted in it is found, what lies beside it is unknown."""
    table = MountTable(parse_mountinfo("3 2 0:3 / /m rw - tmpfs t rw"))
    assert table.holding("/m/file").source == "t"
    with pytest.raises(LookupError, match="shows no root"):
        table.holding("/etc")


def test_a_mount_that_left_the_table_is_not_visible() -> None:
    """An entry of an older table whose mount is gone, or whose id serves another mount, is not visible."""
    table = captured("stacked")
    (old,) = parse_mountinfo("66 65 0:99 / /mnt/weft/a rw - tmpfs old rw")
    assert not table.is_visible(old)
