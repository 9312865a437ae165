"""The commands of the kernel's own backends, what they refuse, and how failures of mount(8) are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import Failure, MountContext
from agent.drivers.kernel import BindDriver, KernelDriver, NfsDriver, Virtio9pDriver, VirtiofsDriver
from weft.errors import CommandNotFoundError, ErrorCode, MountError
from weft.wire.share import parse_share

PROGRAMS = {"mount": Path("/usr/bin/mount"), "mount.nfs": Path("/usr/sbin/mount.nfs")}
DRIVERS: dict[str, KernelDriver] = {
    driver.name: driver for driver in (NfsDriver(), VirtiofsDriver(), Virtio9pDriver(), BindDriver())
}
BLOCKS: dict[str, dict[str, Any]] = {
    "nfs": {"server": "files", "export": "/data"},
    "virtiofs": {"tag": "host"},
    "virtio9p": {},
    "bind": {"source": "/srv/a"},
}


def context(backend: str, block: dict[str, Any] | None = None, **fields: Any) -> MountContext:
    share = {"id": "a", "backend": backend, "mount_point": "/mnt/a", backend: BLOCKS[backend] | (block or {})}
    return MountContext(
        share=parse_share(share | fields),
        source="weft:a:0",
        private_dir=Path("/p"),
        cache_dir=Path("/c"),
        programs=PROGRAMS,
    )


NFS = "soft,timeo=100,retrans=2,retry=0"


@pytest.mark.parametrize(
    ("given", "arguments", "source"),
    [
        pytest.param(context("nfs"), f"-t nfs -o {NFS},nosuid,nodev,rw -- files:/data", None, id="nfs"),
        pytest.param(
            context("nfs", readonly=True), f"-t nfs -o {NFS},nosuid,nodev,ro -- files:/data", None, id="nfs read-only"
        ),
        pytest.param(
            context("nfs", {"options": "vers=4.2,timeo=600"}, cache={"ttl_s": 9}),
            f"-t nfs -o {NFS},actimeo=9,vers=4.2,timeo=600,nosuid,nodev,rw -- files:/data",
            None,
            id="nfs: the share's own options come later and win, what protects the guest comes last",
        ),
        pytest.param(
            context("nfs", {"server": "fd00::1"}),
            f"-t nfs -o {NFS},nosuid,nodev,rw -- [fd00::1]:/data",
            None,
            id="nfs over IPv6",
        ),
        pytest.param(context("virtiofs"), "-t virtiofs -o nosuid,nodev,rw -- host", "host", id="virtiofs"),
        pytest.param(
            context("virtio9p"),
            "-t 9p -o trans=virtio,version=9p2000.L,access=client,msize=262144,nosuid,nodev,rw -- a",
            "a",
            id="9p, tag is the id",
        ),
        pytest.param(context("bind", readonly=True), "-o bind,nosuid,nodev,ro -- /srv/a", None, id="bind read-only"),
    ],
)
def test_the_command(given: MountContext, arguments: str, source: str | None) -> None:
    """Each backend is one run of mount(8) that ends."""
    command = DRIVERS[given.share.backend].build(given)
    assert command.argv == ("/usr/bin/mount", *arguments.split(" "), "/mnt/a")
    assert (command.is_client, command.source) == (False, source)


@pytest.mark.parametrize("backend", DRIVERS)
@pytest.mark.parametrize("field", [{"uid": 0}, {"gid": 7}, {"umask": "022"}], ids=["uid", "gid", "umask"])
def test_ownership_is_refused_where_it_cannot_be_honoured(backend: str, field: dict[str, Any]) -> None:
    """A share that asks for another owner than the files have is a bad spec here."""
    with pytest.raises(MountError, match="cannot change") as caught:
        DRIVERS[backend].build(context(backend, **field))
    assert caught.value.code is ErrorCode.BAD_SPEC


@pytest.mark.parametrize(
    "option", ["bind", "remount", "x-systemd.automount", "X-mount.mkdir", "helper=/bin/sh", "users", "loop=/dev/loop0"]
)
def test_words_that_make_mount_do_something_else_are_refused(option: str) -> None:
    """Options of the share are options of NFS, not orders to mount(8)."""
    with pytest.raises(MountError, match="no option of an NFS mount"):
        DRIVERS["nfs"].build(context("nfs", {"options": f"vers=4,{option}"}))


def test_a_bind_names_its_source_for_the_policy() -> None:
    """What is shown is judged like every source."""
    assert DRIVERS["bind"].source_paths(context("bind").share) == ("/srv/a",)


def test_a_missing_helper_is_named_with_its_package() -> None:
    """An NFS share in a guest without mount.nfs says what to install."""
    with pytest.raises(CommandNotFoundError, match=r"mount\.nfs is not installed \(install nfs-common\)"):
        NfsDriver().require_programs({"mount": Path("/usr/bin/mount")})


@pytest.mark.parametrize(
    ("backend", "output", "code", "is_permanent"),
    [
        ("nfs", "mount.nfs: access denied by server while mounting files:/data", ErrorCode.DENIED, False),
        ("nfs", "mount.nfs: Connection refused for files:/data on /mnt/a", ErrorCode.UNREACHABLE, False),
        ("nfs", "mount.nfs: Connection timed out for files:/data on /mnt/a", ErrorCode.UNREACHABLE, False),
        ("nfs", "mount.nfs: Failed to resolve server files: Name or service not known", ErrorCode.UNREACHABLE, False),
        ("nfs", "mount.nfs: mounting files:/data failed, reason given by server: No such file or directory",
         ErrorCode.NOT_FOUND, False),
        ("nfs", "mount.nfs: an incorrect mount option was specified for /mnt/a", ErrorCode.BAD_SPEC, True),
        ("nfs", "mount: /mnt/a: unknown filesystem type 'nfs'.", ErrorCode.HELPER_MISSING, True),
        ("virtiofs", "mount: /mnt/a: wrong fs type, bad option, bad superblock on host, missing codepage",
         ErrorCode.NOT_FOUND, False),
        ("virtiofs", "mount: /mnt/a: unknown filesystem type 'virtiofs'.", ErrorCode.HELPER_MISSING, True),
        ("virtio9p", "mount: /mnt/a: special device a does not exist.", ErrorCode.NOT_FOUND, False),
        ("virtio9p", "mount: /mnt/a: a already mounted or mount point busy.", ErrorCode.BUSY, False),
        ("bind", "mount: /mnt/a: special device /srv/a does not exist.", ErrorCode.NOT_FOUND, False),
        ("bind", "mount: /mnt/a: mount(2) system call failed: Not a directory.", ErrorCode.NOT_FOUND, False),
        ("bind", "mount: /mnt/a: permission denied.", ErrorCode.DENIED, True),
        ("bind", "mount: /mnt/a: must be superuser to use mount.", ErrorCode.INTERNAL, True),
        ("bind", "something new", ErrorCode.INTERNAL, False),
    ],
)  # fmt: skip
def test_a_failure_is_named(backend: str, output: str, code: ErrorCode, is_permanent: bool) -> None:
    """The words of mount(8) say what an operator must know and whether trying again helps."""
    error = DRIVERS[backend].classify(context(backend), Failure(exit_code=32, output=output))
    assert (error.code, error.is_permanent, error.detail) == (code, is_permanent, output)


def test_a_mount_that_does_not_end_is_a_timeout() -> None:
    """Silence has a code of its own."""
    assert DRIVERS["nfs"].classify(context("nfs"), Failure(exit_code=None, output="")).code is ErrorCode.TIMEOUT
