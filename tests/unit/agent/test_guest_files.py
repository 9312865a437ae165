"""Small readers of the guest: boot file, credentials, service manager."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from agent.boot_file import load_boot_file, parse_boot_file
from agent.credentials import CredentialResolver
from tests.parts.shares import bind
from weft.errors import DecodeError, DeniedError, ErrorCode, MountError
from weft.notify import Notifier
from weft.wire.share import parse_share, share_to_builtins


def test_one_bad_boot_element_does_not_stop_the_others() -> None:
    """It is named by its place."""
    good = share_to_builtins(bind("a"))
    boot = parse_boot_file(json.dumps([{"id": "x", "mount_point": "relative"}, good]).encode())
    assert [share.id for share in boot.shares] == ["a"]
    assert not boot.is_complete, "what it has mounted is not to go for a typing error"
    assert boot.problems[0].startswith("[0]: ")


def test_a_boot_element_without_readable_id_makes_the_file_incomplete() -> None:
    """It may be any of those that were there before."""
    assert not parse_boot_file(b'[{"mount_point":"/mnt/a"}]').is_complete


@pytest.mark.parametrize("data", [b"{", b"{}", b"null", b"[" * 50_000])
def test_a_boot_file_must_be_an_array(data: bytes) -> None:
    """Anything else is refused whole."""
    with pytest.raises(DecodeError):
        parse_boot_file(data)


def test_a_missing_boot_file_is_no_error(tmp_path: Path) -> None:
    """And no order."""
    assert load_boot_file(tmp_path / "missing.json") is None


def rclone(secret: str) -> dict[str, object]:
    return {
        "id": "a",
        "backend": "rclone",
        "mount_point": "/mnt/a",
        "rclone": {"type": "s3", "config": {"secret_access_key": secret}, "remotes": {"x": {"pass": secret}}},
    }


def test_credential_references_are_replaced_wherever_they_stand(tmp_path: Path) -> None:
    """A trailing newline in the file is not part of the secret."""
    (tmp_path / "share.s3").write_text("hunter2\n")
    resolver = CredentialResolver(environ={}, directories=(tmp_path,))
    resolved = resolver.resolve(parse_share(rclone("credential:share.s3")))
    assert share_to_builtins(resolved) == rclone("hunter2")


def test_systemds_directory_comes_first(tmp_path: Path) -> None:
    """Then the agent's own."""
    (tmp_path / "share.s3").write_text("from systemd")
    resolver = CredentialResolver(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert share_to_builtins(resolver.resolve(parse_share(rclone("credential:share.s3")))) == rclone("from systemd")


@pytest.mark.parametrize("name", ["nats", "share", "share.", "share./../../etc/shadow", "../share.x"])
def test_only_credentials_meant_for_shares_are_looked_up(tmp_path: Path, name: str) -> None:
    """A publisher must not read the guest's other secrets."""
    with pytest.raises(DeniedError):
        CredentialResolver(environ={}, directories=(tmp_path,)).resolve(parse_share(rclone(f"credential:{name}")))


def test_a_missing_credential_is_an_auth_failure(tmp_path: Path) -> None:
    """Which waits for a change or a retry."""
    with pytest.raises(MountError) as caught:
        CredentialResolver(environ={}, directories=(tmp_path,)).resolve(parse_share(rclone("credential:share.no")))
    assert caught.value.code is ErrorCode.AUTH
    assert caught.value.is_permanent


def test_a_share_without_references_comes_back_as_it_is(tmp_path: Path) -> None:
    """The same object: nothing was parsed again."""
    share = bind("a")
    assert CredentialResolver(environ={}, directories=(tmp_path,)).resolve(share) is share


def test_the_service_manager_hears_each_status_once(tmp_path: Path) -> None:
    """A watchdog meant for another process is not fed."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.setblocking(False)
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}
        notifier = Notifier(environ, pid=77)
        notifier.ready()
        notifier.status("x")
        notifier.status("x")
        notifier.stopping()
        assert [sock.recv(100) for _ in range(3)] == [b"READY=1", b"STATUS=x", b"STOPPING=1"]
        with pytest.raises(BlockingIOError):
            sock.recv(100)
        assert notifier.watchdog_s is None
        assert Notifier(environ, pid=1).watchdog_s == 10.0


def test_without_a_service_manager_nothing_happens() -> None:
    """Also when it went away."""
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": "/nonexistent/notify"}).ready()
