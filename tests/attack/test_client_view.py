"""A client that looks around before it serves: what it sees, holds and may do of the guest, inside and out."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.mounts.cage_calls import INSIDE
from agent.mounts.cage_files import copy_etc
from agent.mounts.walker import Walker
from agent.supervise.identity import read_boot_id
from agent.supervise.process import start_client
from tests.attack.conftest import CountProbes
from tests.faults.rigged import give_rclone
from tests.parts.cages import make_cage
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from tests.parts.shares import bind, unmount
from tests.parts.views import PYTHON
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

LOOK_AROUND = """
import json, os, stat, sys
found = {"private": [], "special": []}
for root, directories, files in os.walk("/"):
    if root == "/":
        directories[:] = [name for name in directories if name not in ("usr", "proc")]
    for name in directories + files:
        path = os.path.join(root, name)
        mode = os.lstat(path).st_mode
        if not stat.S_ISLNK(mode) and not mode & 0o004:
            found["private"].append(path)
        if not (stat.S_ISLNK(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            found["special"].append(path)
found["root"] = sorted(os.listdir("/"))
found["fds"] = {number: os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")[:-1]}
found["environ"] = sorted(os.environ)
found["umask"] = os.umask(0)
found["session"] = os.getsid(0) == os.getpid()
found["status"] = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps(found))
"""

REACH = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, action):
    try:
        result = action()
    except OSError as exc:
        print(name, "refused", flush=True)
        return
    print(name, "refused" if result == -1 else "done", flush=True)
def join(kind):
    libc.setns(os.open(f"/proc/1/ns/{kind}", os.O_RDONLY), 0)
attempt("read the root of init", lambda: os.listdir("/proc/1/root"))
attempt("read the directory of init", lambda: os.listdir("/proc/1/cwd"))
attempt("read what init was told", lambda: open("/proc/1/environ").read())
attempt("read the memory of init", lambda: open("/proc/1/mem", "rb").read(1))
attempt("see the files of init", lambda: os.readlink("/proc/1/fd/0"))
attempt("enter the mounts of init", lambda: join("mnt"))
attempt("enter the agent's root", lambda: os.listdir(f"/proc/{os.getppid()}/root"))
attempt("trace the agent", lambda: libc.ptrace(16, os.getppid(), 0, 0))
attempt("change its root", lambda: os.chroot("/usr"))
attempt("make a device", lambda: os.mknod("/tmp/sda", 0o60666, os.makedev(8, 0)))
attempt("give a file away", lambda: os.chown("/tmp", 1000, 1000))
attempt("become a user", lambda: os.setuid(1000))
attempt("write below /usr", lambda: os.mkdir("/usr/bin/planted"))
attempt("write below /etc", lambda: os.mkdir("/etc/planted"))
attempt("write to the kernel", lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
attempt("write beside", lambda: os.mkdir("/planted"))
attempt("load a module", lambda: libc.syscall(175, b"", 0, b""))
attempt("set the clock", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
"""

MAY_BE_OPEN = ("anon_inode:[", "/dev/null", "/dev/fuse", "socket:[", "pipe:[")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    """An engine's surroundings, with rclone."""
    async with engine_rig(tmp_path) as made:
        give_rclone(made)
        (made.sources / "pool").mkdir()
        yield made


async def run_inside(tmp_path: Path, script: str, **fields: object) -> str:
    """Run a script as a client that is given nothing but *fields* of its cage, and return what it printed."""
    async with Walker() as walker:
        process = await start_client(
            (sys.executable, "-c", script),
            env={"PATH": "/usr/bin"},
            log=tmp_path / "out",
            cage=make_cage(tmp_path, **fields),
            walker=walker,
            boot_id=read_boot_id(),
        )
        assert await process.wait(deadline_s=30)
        process.close()
    return (tmp_path / "out").read_text()


async def test_a_client_sees_nothing_that_users_may_not_read(tmp_path: Path, count_probes: CountProbes) -> None:
    """But for what is its own; neither keys beside certificates, nor passwords, nor devices of the guest."""
    found: dict[str, Any] = json.loads(await run_inside(tmp_path, LOOK_AROUND))
    own = (str(tmp_path), "/dev/fuse", *PYTHON)
    assert [path for path in found["private"] if not path.startswith(own)] == []
    assert sorted(path for path in found["special"] if not path.startswith(PYTHON)) == [
        f"/dev/{name}" for name in ("full", "fuse", "null", "random", "urandom", "zero")
    ]
    allowed = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", ".share", "tmp", "usr"}
    assert {name for name in found["root"] if name not in allowed} <= {
        Path(sys.prefix).parts[1],
        tmp_path.parts[1],
        "root",
    }
    assert set(found["fds"].values()) <= {"/dev/null", str(tmp_path / "out")}
    assert set(found["environ"]) <= {"PATH", "LC_CTYPE"}
    assert found["session"]
    status = found["status"]
    assert {status[f"Cap{name}"] for name in ("Eff", "Prm", "Bnd")} == {f"{1 << 21:016x}"}
    assert {status[f"Cap{name}"] for name in ("Inh", "Amb")} == {f"{0:016x}"}
    assert (status["NoNewPrivs"], status["SigBlk"], status["ShdPnd"]) == ("1", f"{0:016x}", f"{0:016x}")
    count_probes("things that a client inherits", 12)


async def test_a_client_reaches_nothing_of_the_guest(tmp_path: Path, count_probes: CountProbes) -> None:
    """Neither by /proc, nor by what root may do elsewhere."""
    lines = (await run_inside(tmp_path, REACH)).splitlines()
    assert len(lines) == REACH.count("attempt(") - 1
    assert [line for line in lines if not line.endswith(" refused")] == []
    count_probes("ways out of a cage", len(lines))


@pytest.mark.parametrize("named", ["/share", "/share/pool", "/tmp/pool", "/srv", "/data/a/b/c"])
async def test_a_source_of_any_name_is_seen_and_covered_by_nothing(
    tmp_path: Path, named: str, count_probes: CountProbes
) -> None:
    """Also one that is called like a place that every cage has."""
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "note").touch()
    script = f"import os; print(os.listdir({named!r}), os.listdir('{INSIDE}'))"
    assert await run_inside(tmp_path, script, sources={named: str(pool)}) == "['note'] []\n"
    count_probes("sources with names of a cage's own")


def test_keys_beside_certificates_are_not_copied(tmp_path: Path) -> None:
    """Only what names authorities is, and how to use them."""
    guest = tmp_path / "guest"
    for name in ("ssl/private/server.key", "pki/tls/private/server.key", "shadow", "ssh/ssh_host_key", "ssl/cert.pem"):
        (guest / name).parent.mkdir(parents=True, exist_ok=True)
        (guest / name).write_text(name)
    for name in ("ssl/certs", "pki/tls/certs"):
        (guest / name).mkdir()
    copy_etc(tmp_path / "seen", guest=guest)
    seen = {str(path.relative_to(tmp_path / "seen")) for path in (tmp_path / "seen").rglob("*")}
    assert not [path for path in seen if "private" in path or "key" in path or "shadow" in path]
    assert {"ssl/certs", "pki/tls/certs", "ssl/cert.pem"} <= seen


def shares(rig: EngineRig, *, readonly: bool) -> list[ShareMount]:
    pool = str(rig.sources / "pool")
    rclone = {"id": "r", "backend": "rclone", "mount_point": str(rig.root / "r"), "readonly": readonly}
    return [
        bind("b", str(rig.root / "b"), source=pool, readonly=readonly),
        slate("s", rig.root / "s", readonly=readonly),
        parse_share({**rclone, "rclone": {"type": "local", "path": pool, "config": {}}}),
    ]


def open_files(directory: Path) -> set[str]:
    """Read where the descriptors of a process lead; the one that reads its own is closed by then."""
    return {os.readlink(path) for path in list(directory.iterdir()) if os.path.lexists(path)}


@pytest.mark.parametrize("readonly", [False, True])
async def test_no_client_has_anything_of_the_agents_and_no_mount_more_than_it_may(
    rig: EngineRig, readonly: bool, count_probes: CountProbes
) -> None:
    """Open files, environment and limits of a client; options of a mount, whatever the client asked for."""
    ours = open_files(Path("/proc/self/fd"))
    async with rig.engine() as engine:
        for share in shares(rig, readonly=readonly):
            await engine.apply(share)
            entry = rig.entries_at(Path(share.mount_point))[-1]
            assert entry.options >= {"nosuid", "nodev"}
            assert ("ro" in entry.options) == readonly
            if readonly:
                with pytest.raises(OSError, match="Read-only"):
                    await asyncio.to_thread((Path(share.mount_point) / "new").touch)
            live = rig.live.mounts[share.share_id]
            if live.process is None:
                continue
            process = Path(f"/proc/{live.process.pid}")
            held = open_files(process / "fd")
            assert {each for each in held if each in ours and each.startswith(("socket:", "pipe:"))} == set()
            own = (live.private_dir, str(rig.directory / "state" / "cache"), *MAY_BE_OPEN)
            assert [each for each in held if not each.startswith(own)] == []
            assert (process / "environ").read_bytes().count(b"WEFT") == 0
            assert resource.prlimit(live.process.pid, resource.RLIMIT_CORE) == (0, 0)
            assert os.getsid(live.process.pid) == live.process.pid
            count_probes("clients looked at from outside")
        for name in "bsr":
            await engine.apply(unmount(name))
