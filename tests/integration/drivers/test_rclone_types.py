"""The tables of rclone's types, options and flags, against the real rclone's own lists."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from agent.drivers.rclone_options import SHARE_FLAGS
from agent.drivers.rclone_types import (
    ALIASES,
    EVERYWHERE,
    OPTIONS,
    REFUSED_OPTIONS,
    REFUSED_TYPES,
    SWITCHES,
    UNDECLARED,
    WRAPPERS,
)
from tests.parts.rclone_servers import rclone_binary

pytestmark = pytest.mark.integration

Option = tuple[str, str]


def ask_rclone(*words: str) -> str:
    return subprocess.run([rclone_binary(), *words], check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.fixture(scope="module")
def providers() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(ask_rclone("config", "providers"))
    return listed


def test_every_type_is_either_allowed_or_refused(providers: list[dict[str, Any]]) -> None:
    """A type that a newer rclone brings is looked at by a person before any share may use it."""
    known = OPTIONS.keys() | REFUSED_TYPES.keys() | ALIASES.keys()
    assert {each["Name"] for each in providers} <= known
    assert known - ALIASES.keys() <= {each["Name"] for each in providers}
    assert not OPTIONS.keys() & REFUSED_TYPES.keys()


def test_every_option_is_either_allowed_or_refused(providers: list[dict[str, Any]]) -> None:
    """So is an option; and no table keeps what rclone has dropped."""
    declared = {
        (ALIASES.get(each["Name"], each["Name"]), option["Name"])
        for each in providers
        if each["Name"] not in REFUSED_TYPES
        for option in each["Options"]
        if option["Name"] not in EVERYWHERE
    }
    allowed = {(remote_type, name) for remote_type, names in OPTIONS.items() for name in names}
    refused = {(remote_type, name) for remote_type, risks in REFUSED_OPTIONS.items() for name in risks}
    assert not allowed & refused
    assert declared | UNDECLARED == allowed | refused


def test_the_switches_are_rclones_switches(providers: list[dict[str, Any]]) -> None:
    """An option that takes a command or a file is not off because it says false."""
    kinds = {
        (option["Name"], option["Type"])
        for each in providers
        for option in each["Options"]
        if option["Name"] in SWITCHES
    }
    assert kinds == {(name, "bool") for name in SWITCHES}


def test_every_option_that_speaks_of_remotes_belongs_to_a_wrapper(providers: list[dict[str, Any]]) -> None:
    """The guest follows what wraps other remotes; a type that does so unseen could reach any of its files."""
    naming = {
        each["Name"]: option["Name"]
        for each in providers
        for option in each["Options"]
        if option["Name"] in ("remote", "remotes", "upstreams") or "myremote:" in option["Help"].lower()
    }
    assert naming == {**WRAPPERS, "archive": "remote", "cache": "remote"}


def test_a_share_may_only_set_flags_that_rclone_mount_has() -> None:
    """One that is gone would keep every share that sets it from being mounted."""
    known = set(re.findall(r"--([a-z0-9-]+)", ask_rclone("help", "flags") + ask_rclone("mount", "--help")))
    assert known >= SHARE_FLAGS


@pytest.mark.parametrize("group", ["Backend", "Debugging", "Logging", "Metrics", "RC", "Sync"])
def test_a_share_sets_no_flag_about_the_guest(group: str) -> None:
    """Flags for backends would go round the tables of options, the others are about files and listeners."""
    flags = set(re.findall(r"^ +(?:-., )?--([a-z0-9-]+)", ask_rclone("help", "flags", "--group", group), re.MULTILINE))
    assert flags
    assert not flags & SHARE_FLAGS


def test_a_share_sets_no_flag_that_names_a_file_or_a_command() -> None:
    """Whatever rclone calls so, beside the one that limits the bandwidth of each file."""
    suffixes = ("-from", "-command", "-mapper", "-file", "-dir", "-cert", "-key", "config", "proxy")
    assert {name for name in SHARE_FLAGS if name.endswith(suffixes)} == {"bwlimit-file"}
