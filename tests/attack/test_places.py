"""Mount points and sources that would hand the guest over: what it runs on, what users keep, however it is named."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agent import mounted
from agent.drivers.registry import load_drivers
from agent.mounts.facts import PathFacts, PathKind
from agent.mounts.mountinfo import MountTable, parse_mountinfo
from agent.mounts.policy import DEFAULT_ROOTS, Policy, decide_mount_point, decide_place, decide_source
from agent.mounts.protected import find_names, find_protected, parse_homes
from agent.mounts.table import read_mount_table
from agent.mounts.walker import Walker
from agent.programs import Programs
from tests.attack.conftest import CountProbes
from weft.errors import DecodeError, DeniedError, MountError
from weft.wire.paths import find_objection, parse_mount_point

ACCOUNTS = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www:x:33:33::/srv/www:/usr/sbin/nologin
git:x:105:105::/srv/git:/usr/bin/git-shell
ann:x:1000:1000::/home/ann:/bin/bash
bob:x:1001:1001::/data/people/bob/:/bin/bash
empty:x:1002:1002::/data/people/empty:
slash:x:1003:1003::/:/bin/sh
broken:x:1004
"""
GUEST = Policy(
    roots=("/", *DEFAULT_ROOTS),
    source_roots=("/", *DEFAULT_ROOTS),
    protected={
        "/opt/weft": "which the agent runs from",
        "/srv/tools/python/lib/python3.11": "which the agent runs from",
        "/workspace/project/.venv": "which the agent runs from",
        "/workspace/project/agent": "which the agent runs from",
        "/data/clients/bin": "from which the agent starts programs",
        "/mnt/disk/weft-state": "which is the agent's own",
        "/mnt/disk/keys/nats.creds": "which is the agent's own",
    },
    homes=parse_homes(ACCOUNTS),
)
"""A guest whose roots forbid nothing: what is refused is refused whatever ``allow`` says."""

SYSTEM = """
/bin /bin/sh /boot /boot/efi /dev /dev/shm /dev/shm/x /etc /etc/cron.d /etc/cron.daily /etc/systemd/system /etc/ssh
/etc/sudoers.d /etc/profile.d /etc/pam.d /etc/ld.so.conf.d /etc/apt/apt.conf.d /etc/weft /etc/weft/credentials
/etc/udev/rules.d /etc/init.d /etc/NetworkManager/dispatcher.d /gnu/store /lib /lib/modules /lib/systemd/system /lib32
/lib64 /libx32 /nix/store /proc /proc/1 /proc/self/root /run /run/credentials /run/credentials/weft-agent.service
/run/dbus /run/systemd /run/systemd/system /run/systemd/generator /run/udev/rules.d /run/user/1000
/run/user/1000/systemd /run/weft /run/weft-agent /run/weft-agent/private /run/weft-programs /run/weft/other
/run/tmpfiles.d /run/sudo /run/mediax /sbin /sbin/init /snap/bin /sys /sys/fs/cgroup /usr /usr/bin /usr/games /usr/lib
/usr/lib/python3/dist-packages /usr/lib/python3/dist-packages/sitecustomize /usr/lib/systemd/system /usr/libexec
/usr/local /usr/local/bin /usr/local/etc /usr/local/lib /usr/local/lib/python3.11/site-packages
/usr/local/lib/systemd/system /usr/local/sbin /usr/sbin /usr/share/dbus-1/system-services /usr/share/polkit-1/actions
/var /var/cache /var/lib /var/lib/cloud/scripts/per-boot /var/lib/dpkg/info /var/lib/systemd/linger /var/lib/weft
/var/lib/weft/cache /var/lib/weft/programs /var/lib/docker /var/log /var/mail /var/spool/cron /var/spool/cron/crontabs
/var/spool/anacron /var/tmp /home /opt /root /srv /tmp /lost+found
""".split()
HIDDEN = """
/home/ann/.ssh /home/ann/.ssh/keys /home/ann/.config /home/ann/.config/systemd/user /home/ann/.config/rclone
/home/ann/.local/bin /home/ann/.local/lib/python3.11/site-packages /home/ann/.gnupg /home/ann/.aws /home/ann/.kube
/home/ann/.bashrc.d /home/ann/data/.git /home/ann/.cache/rclone /home/ann/... /home/ann/..data /root/.ssh /root/.config
/root/.pyenv/shims /root/.local/share/uv/python /mnt/.hidden /srv/.well-known/x /workspace/.devcontainer
/workspace/project/.venv /workspace/project/.git/hooks /data/.snapshots /media/.x /run/weft/shares/.a /opt/app/.ssh
/data/people/bob/.ssh
""".split()
HOMES = """
/home/ann /home/new-user /home/vm-7 /root /data/people /data/people/bob /data/people/empty /srv/git
""".split()
AGENT = """
/opt/weft /opt/weft/bin /opt/weft/lib/python3.11/site-packages
/opt/weft/lib/python3.11/site-packages/sitecustomize /opt/weft/lib/python3.11/site-packages/agent/drivers
/opt/weft/anything/new /srv/tools /srv/tools/python /srv/tools/python/lib /srv/tools/python/lib/python3.11
/srv/tools/python/lib/python3.11/json /workspace /workspace/project /workspace/project/agent
/workspace/project/agent/cli /data /data/clients /data/clients/bin /data/clients/bin/plugins /mnt /mnt/disk
/mnt/disk/weft-state /mnt/disk/weft-state/cache/0123456789ab /mnt/disk/keys
""".split()
REFUSED = [*SYSTEM, *HIDDEN, *HOMES, *AGENT]

ALLOWED = """
/mnt/a /mnt/disk/weft-state2 /mnt/disk/weft-stat /mnt/disk/keys2 /mnt/disk/a.b /mnt/a..b /mnt/a- /media /media/usb
/run/media /run/media/ann/usb /run/weft/shares /run/weft/shares/a /srv/a /srv/www /srv/www/html /srv/git/repo
/srv/tools2 /srv/tools/python/share /workspace/data /workspace/project/data /workspace/project/agent2
/workspace/project/agents /data/a /data/people/bob/work /data/people/eve /data/clients/binaries /data/clients/lib
/home/ann/data /home/ann/data/x /home/ann/ssh /home/student/homework /opt/weft2 /opt/app /opt/wef /root/data /tmp/x
/var/exports /var/www/html /export /etcetera /usrlocal /bin2
""".split()

MALFORMED = [
    *"mnt/a ./mnt /mnt/../etc /mnt/./a /mnt//a /mnt/a/.. // /mnt/a// ~/data ~root/.ssh $HOME/.ssh %2fetc".split(),
    *("../../etc", "", " ", "/", "/mnt/a\0", "/mnt/a\n/etc", " /mnt/a", "/mnt/a ", "/mnt/\x7f", "/" + "a/" * 2050),
]

TABLE = MountTable(parse_mountinfo("27 1 254:0 / / rw - ext4 /dev/vda rw"))


def facts_of(path: str, resolved_path: str) -> PathFacts:
    return PathFacts(path=path, kind=PathKind.DIRECTORY, ended_at=resolved_path, resolved_path=resolved_path)


def as_mount_point(path: str, policy: Policy) -> None:
    decide_place(path, policy=policy)


def as_real_mount_point(path: str, policy: Policy) -> None:
    facts = facts_of("/export/link", path)
    decide_mount_point("/export/link", facts, TABLE, is_first=True, made_by_us=False, policy=policy)


def as_repaired_mount_point(path: str, policy: Policy) -> None:
    decide_mount_point(path, facts_of(path, path), TABLE, is_first=False, made_by_us=True, policy=policy)


def as_source(path: str, policy: Policy) -> None:
    decide_source(path, facts_of(path, path), policy=policy)


def as_real_source(path: str, policy: Policy) -> None:
    decide_source("/export/link", facts_of("/export/link", path), policy=policy)


WAYS: list[Callable[[str, Policy], None]] = [
    as_mount_point,
    as_real_mount_point,
    as_repaired_mount_point,
    as_source,
    as_real_source,
]


@pytest.mark.parametrize("path", REFUSED)
def test_a_place_that_the_guest_runs_on_is_refused_in_every_way(path: str, count_probes: CountProbes) -> None:
    """As a mount point and as a source, as it is named and as a link leads there, also where the roots allow all."""
    for way in WAYS:
        with pytest.raises(DeniedError) as caught:
            way(path, GUEST)
        assert caught.value.is_permanent
        assert caught.value.message.startswith("cannot ")
    count_probes("places refused", len(WAYS))


@pytest.mark.parametrize("path", ALLOWED)
def test_a_place_beside_them_is_allowed(path: str, count_probes: CountProbes) -> None:
    """A name that only looks like a protected one, and what lies below a user's home, are nobody's harm."""
    for way in WAYS:
        way(path, GUEST)
    count_probes("places allowed", len(WAYS))


@pytest.mark.parametrize("path", [path for path in REFUSED if path not in HOMES + AGENT])
def test_the_publisher_hears_of_it_before_anything_is_stored(path: str) -> None:
    """What no guest allows is refused where it is asked for."""
    assert find_objection(path) is not None


@pytest.mark.parametrize("path", MALFORMED)
def test_a_path_with_two_readings_is_no_path(path: str, count_probes: CountProbes) -> None:
    """It is refused where it is decoded, before anybody judges it."""
    with pytest.raises(DecodeError):
        parse_mount_point(path)
    count_probes("paths refused at decoding")


@pytest.mark.parametrize("path", ["/opt/weft/lib/python3.11/site-packages/sitecustomize", "/opt/app", "/opt/x/y"])
def test_software_is_no_place_for_shares_by_default(path: str) -> None:
    """``/opt`` holds what the guest runs; who wants shares there says so."""
    with pytest.raises(DeniedError):
        decide_place(path, policy=Policy())


def test_only_accounts_with_a_shell_have_homes() -> None:
    """Nobody can log in to the others with a key that a share brings."""
    assert parse_homes(ACCOUNTS) == {"/root", "/srv/git", "/home/ann", "/data/people/bob", "/data/people/empty"}


# --- this machine -----------------------------------------------------------------------------------------------------


def find_all(**more: Any) -> dict[str, str]:
    drivers = load_drivers(())
    programs = Programs(name for driver in drivers.values() for name in driver.programs)
    return find_protected(programs, drivers.values(), import_path=sys.path[1:], **more)


def is_refused(path: str, policy: Policy) -> bool:
    try:
        decide_place(path, policy=policy)
    except DeniedError:
        return True
    return False


@pytest.mark.parametrize(
    "path",
    [
        *sorted({str(Path(name).parent) for name in (sys.executable, str(Path(sys.executable).resolve()))}),
        *sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, *(entry for entry in sys.path[1:] if entry)}),
        *(f"{entry}/sitecustomize" for entry in sorted(set(sys.path[1:])) if entry),
        *sorted(
            str(Path(sys.modules[name].__file__ or "").parent)
            for name in ("agent", "agent.drivers", "weft", "weft.wire", "nats", "msgspec", "structlog", "nkeys")
        ),
        *Programs(()).directories,
    ],
)  # fmt: skip
def test_what_this_interpreter_imports_and_starts_is_refused(path: str, count_probes: CountProbes) -> None:
    """Found on the machine, not listed: wherever the agent is installed."""
    assert is_refused(path, Policy(roots=("/",), protected=find_all()))
    count_probes("places of this interpreter refused")


def test_a_file_the_agent_reads_is_neither_covered_nor_shown(tmp_path: Path) -> None:
    """A directory above it may not be mounted on, one beside it may."""
    file = tmp_path / "keys" / "nats.creds"
    policy = Policy(roots=("/",), source_roots=("/",), protected=find_all(files=[file]))
    assert is_refused(str(tmp_path / "keys"), policy)
    assert is_refused(str(tmp_path), policy)
    assert not is_refused(str(tmp_path / "shares"), policy)
    with pytest.raises(DeniedError, match="it holds"):
        decide_source(str(tmp_path / "keys"), facts_of(str(tmp_path / "keys"), str(tmp_path / "keys")), policy=policy)


def test_every_link_that_leads_to_a_program_is_kept(tmp_path: Path) -> None:
    """Whoever covers a directory with a link in it decides what root starts."""
    for name in ("path", "links", "real/v1", "free"):
        (tmp_path / name).mkdir(parents=True)
    program = tmp_path / "real" / "v1" / "rclone"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "current").symlink_to("real/v1")
    (tmp_path / "links" / "rclone").symlink_to("../current/rclone")
    (tmp_path / "path" / "rclone").symlink_to("../links/rclone")
    programs = Programs(["rclone"], path=str(tmp_path / "path"))
    policy = Policy(roots=("/",), protected=find_protected(programs, []))
    for name in ("path", "path/x", "links", "links/x", "current", "real", "real/v1", "real/v1/x"):
        assert is_refused(str(tmp_path / name), policy), name
    assert not is_refused(str(tmp_path / "free"), policy)
    assert not is_refused(str(tmp_path / "real" / "v2"), policy)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """They lead nowhere, and take no time."""
    (tmp_path / "loop").symlink_to("loop")
    assert set(find_names(tmp_path / "loop" / "x")) == {str(tmp_path / "loop" / "x")}


@pytest.fixture
async def walker() -> AsyncIterator[Walker]:
    async with Walker() as made:
        yield made


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """An installation, reached over links, with roots beside it: some good, some leading into it."""
    for name in ("disk/venv/lib/site-packages", "shares", "home/ann/.ssh", "home/ann/data"):
        (tmp_path / name).mkdir(parents=True)
    links = {
        "venv": "disk/venv",
        "root-to-venv": "disk/venv",
        "root-to-link": "venv",
        "root-to-inside": "disk/venv/lib",
        "root-to-above": "disk",
        "root-to-keys": "home/ann/.ssh",
        "root-to-etc": "/etc",
        "root-to-run": "/run",
        "root-to-good": "shares",
        "shares/to-venv": "../disk/venv",
        "shares/to-etc": "/etc",
        "shares/to-home": "../home/ann",
        "shares/loop": "loop",
    }
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


def roots_in(guest: Path) -> tuple[str, ...]:
    return tuple(str(entry) for entry in guest.iterdir())


@pytest.mark.integration
@pytest.mark.parametrize(
    "path",
    [
        "venv", "venv/x", "disk", "disk/venv", "disk/venv/lib/site-packages/sitecustomize", "root-to-venv",
        "root-to-venv/x", "root-to-link", "root-to-link/bin", "root-to-inside", "root-to-inside/site-packages/x",
        "root-to-above", "root-to-keys", "root-to-keys/x", "root-to-etc", "root-to-etc/cron.d", "root-to-run",
        "root-to-run/weft-agent/private", "shares/to-venv", "shares/to-venv/lib/x", "shares/to-etc",
        "shares/to-etc/ssh", "shares/to-home", "shares/to-home/data", "shares/loop", "shares/loop/x", "home/ann",
        "home/ann/.ssh", "home/ann/.ssh/x", "shares/.x",
    ],
)  # fmt: skip
async def test_no_link_leads_there(path: str, guest: Path, walker: Walker, count_probes: CountProbes) -> None:
    """A root may be a link, and then where it leads is judged too; below a root no link is followed."""
    roots = roots_in(guest)
    policy = Policy(
        roots=roots,
        source_roots=roots,
        protected=find_all(directories=[guest / "venv"]),
        homes=frozenset({str(guest / "home" / "ann")}),
    )
    place = str(guest / path)
    facts = await walker.inspect(place, roots)
    with pytest.raises(DeniedError):
        decide_mount_point(place, facts, read_mount_table(), is_first=True, made_by_us=False, policy=policy)
    with pytest.raises(DeniedError):
        decide_source(place, facts, policy=policy)
    count_probes("places over links refused", 2)


@pytest.mark.integration
@pytest.mark.parametrize("path", ["shares/a", "root-to-good/a", "home/ann/data", "disk/venv2"])
async def test_a_harmless_link_is_followed(path: str, guest: Path, walker: Walker) -> None:
    """Otherwise the test above would prove nothing."""
    roots = roots_in(guest)
    policy = Policy(roots=roots, source_roots=roots, protected=find_all(directories=[guest / "venv"]))
    facts = await walker.inspect(str(guest / path), roots)
    table = read_mount_table()
    decide_mount_point(str(guest / path), facts, table, is_first=True, made_by_us=False, policy=policy)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("at", "source"),
    [
        pytest.param("state", "good", id="on the state directory"),
        pytest.param("state/x", "good", id="in the state directory"),
        pytest.param("run/x", "good", id="in the run directory"),
        pytest.param("mounts/.x", "good", id="hidden"),
        pytest.param("mounts/a", "state", id="showing the state directory"),
        pytest.param("mounts/a", "run", id="showing the run directory"),
        pytest.param("mounts/a", ".", id="showing what holds them"),
        pytest.param("mounts/a", "home/.ssh", id="showing a user's keys"),
        pytest.param("mounts/a", f"//{sys.prefix}", id="showing the interpreter"),
        pytest.param("mounts/a", "//etc/ssh", id="showing the system's keys"),
        pytest.param(f"//{sys.prefix}/lib/python3.11/site-packages/sitecustomize", "good", id="on what Python imports"),
    ],
)
@pytest.mark.parametrize("backend", ["bind", "rclone"])
async def test_nothing_is_mounted_there(
    at: str, source: str, backend: str, tmp_path: Path, count_probes: CountProbes
) -> None:
    """The whole engine says no, and leaves no directory behind; a root that allows everything changes nothing."""
    for name in ("good", "mounts", "state", "run", "home/.ssh"):
        (tmp_path / name).mkdir(parents=True)
    place, shown = (path[1:] if path.startswith("//") else str(tmp_path / path) for path in (at, source))
    place, shown = place.replace("//", "/"), shown.replace("//", "/").removesuffix("/.")
    block = {"bind": {"source": shown}, "rclone": {"type": "local", "path": shown}}[backend]
    share = {"id": "evil", "backend": backend, "mount_point": place, backend: block}
    was_there = os.path.lexists(place)  # noqa: ASYNC240
    before = read_mount_table().entries
    options = {"state_dir": tmp_path / "state", "run_dir": tmp_path / "run", "allow": ("/",)}
    with pytest.raises(MountError) as caught:
        async with mounted(share, **options):
            raise AssertionError(f"{shown} is mounted at {place}")
    assert caught.value.code == "denied", caught.value
    assert read_mount_table().entries == before
    assert os.path.lexists(place) == was_there  # noqa: ASYNC240
    count_probes("mounts refused by the engine")


@pytest.mark.integration
async def test_a_share_beside_them_is_mounted(tmp_path: Path) -> None:
    """State, run directory and sources may lie side by side with mount points."""
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "hello").write_text("tide")
    share = {
        "id": "fine",
        "backend": "bind",
        "mount_point": str(tmp_path / "mounts" / "a"),
        "bind": {"source": str(tmp_path / "good")},
    }
    async with mounted(share, state_dir=tmp_path / "state", run_dir=tmp_path / "run", allow=("/",)) as path:
        assert (path / "hello").read_text() == "tide"
