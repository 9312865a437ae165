"""Configuration: which source wins, and every problem at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import AgentConfig, load_config
from agent.drivers.base import MountContext
from agent.drivers.registry import load_drivers
from agent.identity import MACHINE_ID, PRODUCT_UUID, find_identity
from weft.errors import ConfigError, DeniedError
from weft.wire.share import parse_share


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "agent.toml"
    path.write_text('vm = "from-file"\nnats = ["nats://f:1", "nats://g:2"]\nheartbeat_s = 5\nallow = ["/data"]\n')
    return path


def test_flags_win_over_environment_over_file_over_defaults(file: Path) -> None:
    """Field by field."""
    config = load_config(
        {"vm": "from-flag", "allow": []}, {"WEFT_VM": "from-env", "WEFT_NATS": "nats://e:1"}, file=file
    )
    assert (config.vm, config.nats, config.heartbeat_s) == ("from-flag", ("nats://e:1",), 5.0)
    assert config.allow == ("/data",)
    assert config.state_dir == AgentConfig().state_dir


def test_roots_in_the_environment_are_separated_by_colons() -> None:
    """As in PATH; empty means not given."""
    config = load_config({}, {"WEFT_ALLOW": "/data:/home", "WEFT_VM": "", "WEFT_CREDS": "/x"})
    assert config.allow == ("/data", "/home")
    assert config.vm == "auto"
    assert config.creds == Path("/x")


def test_every_problem_is_named_with_its_place(tmp_path: Path) -> None:
    """One run is enough to mend them all."""
    path = tmp_path / "agent.toml"
    path.write_text('heartbeat_s = "soon"\nspeed = 3\n')
    with pytest.raises(ConfigError) as caught:
        load_config({"vm": "a.b", "nats": "http://x"}, {"WEFT_CREATE_STREAM": "maybe"}, file=path)
    text = "\n".join(caught.value.problems)
    for place in ("--vm: ", "--nats: ", "WEFT_CREATE_STREAM: ", f"{path}: heartbeat_s: ", f"{path}: speed: "):
        assert place in text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param({"run_dir": "/" + "x" * 80}, "too long", id="run directory too long for sockets"),
        pytest.param({"tls_cert": "/c"}, "tls_key", id="half a TLS identity"),
        pytest.param({"allow": ["relative"]}, "absolute", id="relative root"),
    ],
)
def test_settings_that_cannot_work_are_refused(flags: dict[str, object], words: str) -> None:
    """At the start, not when the first share comes."""
    with pytest.raises(ConfigError, match=words):
        load_config(flags, {})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """The default one need not."""
    with pytest.raises(ConfigError, match="no such file"):
        load_config({}, {}, file=tmp_path / "missing.toml")


def write(root: Path, path: Path, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_auto_takes_the_product_uuid_then_the_machine_id(tmp_path: Path) -> None:
    """And says which."""
    write(tmp_path, MACHINE_ID, "0123456789abcdef0123456789abcdef\n")
    assert find_identity("auto", root=tmp_path).taken_from == "machine-id"
    write(tmp_path, PRODUCT_UUID, "4C4C4544-0042-3510-8052-B4C04F4D3232\n")
    identity = find_identity("auto", root=tmp_path)
    assert (identity.vm, identity.taken_from) == ("4c4c4544-0042-3510-8052-b4c04f4d3232", "SMBIOS product UUID")


def test_meaningless_ids_are_passed_over(tmp_path: Path) -> None:
    """Some boards have zeros; an image that never booted has no machine id."""
    write(tmp_path, PRODUCT_UUID, "00000000-0000-0000-0000-000000000000\n")
    write(tmp_path, MACHINE_ID, "uninitialized\n")
    with pytest.raises(ConfigError, match="--vm"):
        find_identity("auto", root=tmp_path)


def test_what_a_guest_allows_and_how_it_watches_can_be_set(tmp_path: Path) -> None:
    """In the file, and by environment."""
    file = tmp_path / "agent.toml"
    file.write_text(
        'allow_option = ["ssh"]\nallow_type = ["archive"]\nshield = true\nprobe_interval_s = 3\nabort_after_s = 600\n'
    )
    config = load_config({}, {"WEFT_PROBE_DEADLINE_S": "2"}, file=file)
    assert config.allow_option == ("ssh",)
    assert config.allow_type == ("archive",)
    assert load_config({}, {"WEFT_ALLOW_TYPE": "archive, newer"}, file=file).allow_type == ("archive", "newer")
    assert config.shield
    assert (config.probe_interval_s, config.probe_deadline_s, config.abort_after_s) == (3.0, 2.0, 600.0)


def test_allowed_options_reach_the_drivers() -> None:
    """What this guest allows is refused elsewhere."""
    raw = {"id": "a", "backend": "rclone", "mount_point": "/mnt/a"}
    share = parse_share(raw | {"rclone": {"type": "sftp", "path": "", "config": {"ssh": "ssh host"}}})
    programs = {"rclone": Path("/usr/bin/rclone"), "fusermount3": Path("/usr/bin/fusermount3")}
    place = Path("/run/x")
    context = MountContext(share=share, source="weft:a:1", private_dir=place, cache_dir=place, programs=programs)
    load_drivers((), allow_options=frozenset({"ssh"}))["rclone"].build(context)
    with pytest.raises(DeniedError):
        load_drivers(())["rclone"].build(context)


def test_allowed_types_reach_the_drivers() -> None:
    """What this guest allows is refused elsewhere."""
    raw = {"id": "a", "backend": "rclone", "mount_point": "/mnt/a", "rclone": {"type": "archive", "path": "/srv/a"}}
    share = parse_share(raw)
    assert load_drivers((), allow_types=frozenset({"archive"}))["rclone"].source_paths(share) == ()
    with pytest.raises(DeniedError, match="allow_type"):
        load_drivers(())["rclone"].source_paths(share)
