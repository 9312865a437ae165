"""Names of private directories and caches."""

from pathlib import Path

from agent.mounts.places import cache_dir, private_dir
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, parse_share

STATE = Path("/var/lib/weft")


def s3(**changes: object) -> ShareMount:
    block = {"type": "s3", "path": "bucket", "config": {"endpoint": "http://one", "secret_access_key": "first-key"}}
    return parse_share({"id": "a", "backend": "rclone", "mount_point": "/mnt/a", "rclone": block | changes})


def test_a_socket_fits_whatever_the_id() -> None:
    """A UNIX socket's path has at most 107 bytes."""
    directory = private_dir(Path("/run/weft-agent"), ShareId("x" * 128))
    assert len(str(directory / "rc.sock")) < 60


def test_another_place_has_another_cache() -> None:
    """Files that wait to be uploaded to one place are never uploaded to another."""
    assert cache_dir(STATE, s3()) != cache_dir(STATE, s3(path="other"))
    assert cache_dir(STATE, s3()) != cache_dir(STATE, s3(config={"endpoint": "http://two"}))


def test_a_rotated_key_keeps_the_cache() -> None:
    """Secrets and mount options say nothing about the place."""
    rotated = {"endpoint": "http://one", "secret_access_key": "second-key"}
    assert cache_dir(STATE, s3()) == cache_dir(STATE, s3(config=rotated, options={"vfs-cache-mode": "full"}))
