"""A name in --from that the catalog, rclone.conf, both or neither know."""

from __future__ import annotations

import pytest

from controlplane.cli.named_source import CATALOG, RCLONE_CONF, NamedSource, parse_named
from controlplane.rclone_source import RcloneConf
from controlplane.records import RemoteRecord
from weft.errors import ConfigError
from weft.wire.ids import RemoteName

CONF = RcloneConf("rclone.conf", lambda: {"both": {"type": "s3"}, "mine": {"type": "sftp", "host": "h"}})
REMOTES = {
    RemoteName("both"): RemoteRecord(backend="rclone", block={"type": "s3", "config": {"secret_access_key": "x"}}),
    RemoteName("team"): RemoteRecord(backend="cubefs", block={"volume": "v", "masters": ["m:1"], "owner": "o"}),
}


def named(text: str, of: str | None = None) -> NamedSource:
    found = parse_named(text, CONF, of)
    assert found is not None
    return found


@pytest.mark.parametrize("text", ["bind:/srv", "virtiofs:t", "nfs://s/e", ":s3,env_auth:b", "deep vault:x"])
def test_sources_that_no_remote_can_be(text: str) -> None:
    """They keep their meaning, whatever the catalog has."""
    conf = RcloneConf("rclone.conf", lambda: {})
    assert parse_named(text, conf, None) is None


def test_a_remote_of_the_catalog_is_referred_to() -> None:
    """Only the path and what no block may lack is taken; secrets stay where they are."""
    chosen = named("both,region=eu:bucket/x", CATALOG).choose(REMOTES)
    assert (chosen.remote, chosen.told) == ("both", "remote both: of the catalog")
    assert chosen.source.block == {"type": "s3", "path": "bucket/x", "config": {"region": "eu"}}


def test_a_cubefs_remote_takes_the_path_as_its_directory() -> None:
    """With or without a leading slash."""
    assert named("team:/a/b").choose(REMOTES).source.block["subdir"] == "a/b"


def test_a_section_of_rclone_conf_is_copied() -> None:
    """No reference is kept, and it is said where it came from."""
    chosen = named("mine:x").choose(REMOTES)
    assert (chosen.remote, chosen.told, chosen.source.block["type"]) == ("", "remote mine: of rclone.conf", "sftp")


def test_a_name_in_both_asks_which() -> None:
    """Until the operator says it."""
    with pytest.raises(ConfigError, match=r"--remote-of catalog or --remote-of rclone\.conf"):
        named("both:x").choose(REMOTES)
    assert named("both:x", CATALOG).choose(REMOTES).remote == "both"
    assert named("both:x", RCLONE_CONF).choose(REMOTES).remote == ""


def test_a_name_in_neither_is_answered_with_the_nearest() -> None:
    """Both places are named."""
    with pytest.raises(ConfigError, match=r"rclone.conf and the catalog \(did you mean team"):
        named("tean:x").choose(REMOTES)
