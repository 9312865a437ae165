"""What a look over the guest says, and which of it asks for something to be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.checkup import check_credentials, check_directory, check_fuse, check_root, check_roots
from agent.checkup_link import judge_clock
from agent.cli.doctor import build_lines
from weft.finding import Finding, Verdict


def test_only_root_can_mount() -> None:
    """For every user."""
    assert check_root(0).verdict is Verdict.GOOD
    assert check_root(1000).verdict is Verdict.BAD


def test_a_missing_fuse_device_is_named(tmp_path: Path) -> None:
    """With what loads it."""
    finding = check_fuse(tmp_path / "fuse")
    assert finding.verdict is Verdict.BAD
    assert "modprobe" in finding.advice


def test_a_directory_that_does_not_exist_yet_is_judged_by_what_will_hold_it(tmp_path: Path) -> None:
    """The agent makes it; a file in its way it cannot remove."""
    assert check_directory("state directory", tmp_path / "a" / "b").verdict is Verdict.GOOD
    (tmp_path / "file").touch()
    assert check_directory("state directory", tmp_path / "file" / "b").verdict is Verdict.BAD


def test_roots_that_hold_no_shares_are_named(tmp_path: Path) -> None:
    """A system directory, or a file."""
    (tmp_path / "file").touch()
    findings = check_roots(("/etc/shares", str(tmp_path / "file"), "/mnt"))
    assert [finding.verdict for finding in findings] == [Verdict.BAD, Verdict.BAD]
    assert check_roots(("/mnt", "/home"))[0].verdict is Verdict.GOOD


def test_credentials_that_others_can_read_are_named(tmp_path: Path) -> None:
    """They are the guest's identity."""
    path = tmp_path / "nats.creds"
    assert check_credentials(path).verdict is Verdict.BAD
    path.touch(mode=0o644)
    assert check_credentials(path).advice == f"chmod 600 {path}"
    path.chmod(0o600)
    assert check_credentials(path).verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("ahead_s", "verdict"), [(0.5, Verdict.GOOD), (-59.0, Verdict.GOOD), (3600.0, Verdict.BAD), (-90.0, Verdict.BAD)]
)
def test_a_clock_that_is_off_by_minutes_is_named(ahead_s: float, verdict: Verdict) -> None:
    """Shares expire by it."""
    assert judge_clock(ahead_s).verdict is verdict


def test_each_line_that_asks_for_something_says_what_to_do() -> None:
    """And the last one counts them."""
    findings = [
        Finding("fuse", Verdict.GOOD, "fine", "never shown"),
        Finding("clock", Verdict.BAD, "90 s behind", "set it"),
    ]
    assert list(build_lines(findings)) == [
        "ok    fuse   fine",
        "bad   clock  90 s behind",
        "             -> set it",
        "1 to do",
    ]
