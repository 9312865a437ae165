"""Mount options that a publisher asks for: how a share talks to its server is its own, what it may do here is not."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import MountContext
from agent.drivers.cubefs import CubefsDriver
from agent.drivers.kernel import BindDriver, KernelDriver, NfsDriver, Virtio9pDriver, VirtiofsDriver
from agent.drivers.rclone import RcloneDriver
from agent.drivers.registry import load_drivers
from tests.attack.conftest import CountProbes
from tests.parts.engine_rig import engine_rig
from weft.errors import DecodeError, DeniedError, ErrorCode, MountError
from weft.wire.share import parse_share

PROGRAMS = {name: Path("/usr/bin") / name for name in ("mount", "mount.nfs", "rclone", "fusermount3", "cfs-client")}


def context(backend: str, block: dict[str, Any], **fields: Any) -> MountContext:
    share = {"id": "evil", "backend": backend, "mount_point": "/mnt/evil", backend: block}
    return MountContext(
        share=parse_share(share | fields),
        source="weft:evil:0",
        private_dir=Path("/p"),
        cache_dir=Path("/c"),
        programs=PROGRAMS,
    )


def nfs_options(options: str, *, allow: tuple[str, ...] = (), **fields: Any) -> list[str]:
    """Return the words that mount(8) is given for an NFS share with *options*."""
    given = context("nfs", {"server": "files", "export": "/data", "options": options}, **fields)
    argv = NfsDriver(allow_options=frozenset(allow)).build(given).argv
    assert argv[-2:] == ("files:/data", "/mnt/evil")
    return argv[argv.index("-o") + 1].split(",")


def is_last(words: list[str], guard: str) -> bool:
    """Say whether *guard* stands, and nothing after it takes it back, as mount(8) reads: the last word counts."""
    taken_back = {guard.removeprefix("no"), "defaults", "user", "users", "owner", "group"}
    return guard in words and not taken_back & set(words[words.index(guard) :])


ASKED_FOR = [
    "suid", "dev", "exec", "defaults", "bg", "hard", "fsc", "fsc=x", "sloppy", "noauto", "mand", "nomand", "silent",
    "loud",
    "iversion", "dirsync", "lazytime", "acl", "noacl", "addr=10.0.0.1", "clientaddr=10.0.0.1", "mountaddr=10.0.0.1",
    "mounthost=evil", "retry=10000", "context=system_u:object_r:bin_t:s0", "fscontext=x", "defcontext=x",
    "rootcontext=x",
    "seclabel", "max_connect=16", "trunkdiscovery", "posix", "nosoft", "SUID", "Suid", "sUiD", "DEV", "Exec", "suid=1",
    "dev=1", "exec=", "nosuid=0", "nodev=no", "noexec=false", "soft=0", "suid_dev", "xsuid", "nonosuid", "no-nosuid",
    "made_up", "made_up=1", "symfollow", "nosymfollow", "comment=x", "uid=0", "gid=0", "umask=000", "mode=0777",
    "dmask=0", "fmask=0", "force", "nofsc", "cache=none", "trans=fd", "rfdno=0", "upperdir=/etc", "lowerdir=/etc",
    "verify.hashdevice=/x", "_netdev=1", "_rnetdev", "lock=0", "ac=0", "atime=1",
]  # fmt: skip


@pytest.mark.parametrize("option", ASKED_FOR)
def test_what_the_guest_decides_is_not_the_publishers(option: str, count_probes: CountProbes) -> None:
    """The sentence names the setting with which the guest's administrator may allow it."""
    for text in (option, f"vers=4.2,{option}", f"{option},nosuid,nodev", f"nosuid,{option}", f",,{option},"):
        with pytest.raises(DeniedError, match="allow_option") as caught:
            nfs_options(text)
        assert repr(option.partition("=")[0]) in caught.value.message
        count_probes("mount options denied")


NEVER = [
    "bind", "rbind", "move", "remount", "loop", "loop=/dev/loop0", "offset=1", "sizelimit=1", "encryption=x", "user",
    "users", "user=ann", "owner", "group", "nouser", "nofail", "auto", "helper=/bin/sh", "uhelper=udisks2", "shared",
    "slave", "private", "unbindable", "rshared", "rprivate", "x-systemd.automount", "X-mount.mkdir",
    "X-MOUNT.MKDIR=0777",
    "x-mount.idmap=b:0:0:1", "X-mount.owner=root", "X-mount.mode=777", "X-mount.subdir=x", "X-mount.auto-fstypes=ext4",
    "x-gvfs-show", "-o", "-osuid", "--suid", "-", 'context="a', '"suid"', "'suid'", "su\\id", "su\\040id", "suid;dev",
    "suid|dev", "$(id)", "`id`", "suid\0dev", "ro\x1bsuid", "suid#", "sec=krb5\u00e9", "\u017fuid", "%s", "vers=4{1,2}",
    "BIND", "Remount", "rw", "ro",
]  # fmt: skip


@pytest.mark.parametrize("option", NEVER)
def test_what_would_be_another_mount_is_never_allowed(option: str, count_probes: CountProbes) -> None:
    """Not even by the guest's settings: mount(8) would do something else than mount this share."""
    for text in (option, f"vers=4.2,{option}"):
        for allow in ((), (option, option.partition("=")[0])):
            with pytest.raises(MountError) as caught:
                nfs_options(text, allow=allow)
            assert caught.value.code is ErrorCode.BAD_SPEC
            count_probes("mount options refused whatever the guest allows")


@pytest.mark.parametrize("text", ["suid dev", "vers=4\nsuid", "vers=4\tsuid", "vers=4\u00a0suid", "vers=4\u2028suid"])
def test_white_space_never_gets_as_far(text: str) -> None:
    """It is refused where it is decoded."""
    with pytest.raises(DecodeError):
        nfs_options(text)


HARMLESS = [
    "", ",", "vers=3", "vers=4", "vers=4.2", "nfsvers=4.1", "minorversion=1", "proto=tcp", "proto=tcp6", "proto=rdma",
    "port=2049", "mountport=20048", "mountproto=udp", "mountvers=3", "rsize=1048576,wsize=1048576", "timeo=600",
    "retrans=3", "soft", "softerr", "softreval", "sec=sys", "sec=krb5p", "sec=krb5:krb5i", "nconnect=8", "actimeo=60",
    "acregmin=1,acregmax=2,acdirmin=3,acdirmax=4", "noac", "ac", "lookupcache=none", "nolock", "lock",
    "local_lock=posix", "noatime", "nodiratime", "relatime", "sync", "async", "cto", "nocto", "rdirplus", "nordirplus",
    "resvport", "noresvport", "sharecache", "nosharecache", "fg", "intr", "nointr", "tcp", "udp", "_netdev",
    "write=eager", "xprtsec=mtls", "noexec", "nosuid", "nodev", "nosuid,nodev,noexec", "namlen=255",
]  # fmt: skip


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("option", HARMLESS)
def test_how_it_talks_to_its_server_is_the_shares_own(option: str, readonly: bool, count_probes: CountProbes) -> None:
    """And after it comes, as the last word, what protects the guest."""
    words = nfs_options(option, readonly=readonly)
    assert [word for word in option.split(",") if word and word not in words] == []
    assert words[-3:] == ["nosuid", "nodev", "ro" if readonly else "rw"]
    assert is_last(words, "nosuid")
    assert is_last(words, "nodev")
    count_probes("mount options accepted")


OUTSIDE = [
    "timeo=6000", "timeo=0", "timeo=-1", "timeo=1e9", "timeo=", "timeo", "retrans=10", "retrans=999999", "retrans=-1",
    "vers=", "vers", "vers=4.2.1", "vers=four", "vers=4;suid", "proto=unix", "proto=tcp,proto=evil", "port=99999999",
    "port=/etc", "rsize=1G", "wsize=99999999", "nconnect=100", "sec=evil", "sec=sys:", "sec=:", "lookupcache=maybe",
    "local_lock=1", "write=never", "xprtsec=", "actimeo=forever", "mountport=+1", "namlen=x", "port=0x801",
    "port=20 49",
    "vers=\uff14", "timeo=\u0661",
]  # fmt: skip


@pytest.mark.parametrize("option", OUTSIDE)
def test_a_value_stays_within_bounds(option: str, count_probes: CountProbes) -> None:
    """A soft mount with endless patience would be a hard one."""
    with pytest.raises((MountError, DecodeError)):
        nfs_options(option)
    count_probes("values of mount options refused")


@pytest.mark.parametrize(
    ("allow", "text", "lost"),
    [
        pytest.param(("suid",), "suid", ["nosuid"], id="suid"),
        pytest.param(("dev",), "dev", ["nodev"], id="dev"),
        pytest.param(("suid", "dev"), "dev,suid", ["nosuid", "nodev"], id="both"),
        pytest.param(("suid", "dev"), "vers=4", [], id="allowed and not asked for"),
        pytest.param(("defaults",), "defaults", [], id="a word that stands for several"),
        pytest.param(("exec", "bg", "hard", "fsc"), "exec,bg,hard,fsc", [], id="others"),
        pytest.param(("context=a:b:c",), "context=a:b:c", [], id="with this value"),
        pytest.param(("retry",), "retry=7", [], id="with any value"),
        pytest.param(("timeo",), "timeo=99999", [], id="beyond the bounds"),
    ],
)
def test_the_guest_may_allow_more(allow: tuple[str, ...], text: str, lost: list[str]) -> None:
    """Exactly that, and no protection falls that nobody named."""
    words = nfs_options(text, allow=allow)
    assert set(text.split(",")) <= set(words)
    assert [guard for guard in ("nosuid", "nodev") if not is_last(words, guard)] == lost


def test_another_value_than_the_allowed_one_is_denied() -> None:
    """``allow_option`` may name one value of an option."""
    with pytest.raises(DeniedError):
        nfs_options("context=x:y:z", allow=("context=a:b:c",))


def test_the_guests_setting_reaches_the_driver() -> None:
    """``allow_option`` in ``agent.toml`` is for every backend."""
    driver = load_drivers((), allow_options=frozenset({"suid"}))["nfs"]
    block = {"server": "files", "export": "/data", "options": "suid"}
    assert "suid" in driver.build(context("nfs", block)).argv[4].split(",")


SERVERS = [
    "", " ", "-osuid", "--", "-", "a b", "a,b", "a\nb", "a\tb", "a\0b", "a;b", "a|b", "$(id)", "`id`", "a'b",
    'a"b', "a\\b",
    "a/b", "/etc", "[", "]", "[]", "[x]", "[files]", "[fe80::1", "fe80::1]", "[[::1]]", "[::1]:/etc,b", "::1,::2",
    "a:b", "a:",
    ":a", "nfs://a", "a%b", "a@b", "a#b", "a=b", "LABEL=x", "a.-", "-a.b", ".a", "a..\u00e9", "\uff41", "a\u200b",
    "a\x1b[0m", "*", "?",
    "files:/etc:x", "fe80::1%", "fe80::1%eth0,b",
]  # fmt: skip


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_no_host_is_no_server(server: str, count_probes: CountProbes) -> None:
    """At decoding or when the command is built; nothing of it is ever read as an option, a list or a path."""
    with pytest.raises((DecodeError, MountError)) as caught:
        NfsDriver().build(context("nfs", {"server": server, "export": "/data"}))
    assert not isinstance(caught.value, MountError) or caught.value.code is ErrorCode.BAD_SPEC
    count_probes("servers refused")


@pytest.mark.parametrize(
    ("server", "source"),
    [
        ("files", "files:/data"), ("files.example.org", "files.example.org:/data"), ("10.0.0.1", "10.0.0.1:/data"),
        ("files.", "files.:/data"), ("nfs_1-a", "nfs_1-a:/data"), ("::1", "[::1]:/data"), ("[::1]", "[::1]:/data"),
        ("fe80::1%eth0", "[fe80::1%eth0]:/data"), ("::ffff:10.0.0.1", "[::ffff:10.0.0.1]:/data"), ("a", "a:/data"),
    ],
)  # fmt: skip
def test_a_host_is_a_server(server: str, source: str) -> None:
    """By name or address, also of the newer kind."""
    assert source in NfsDriver().build(context("nfs", {"server": server, "export": "/data"})).argv


@pytest.mark.parametrize("export", [
    "data", "", "-o", "/a,b", "/a,evil:/b", "/a/../b", "/a//b", "/a\n", "/a\0b", "/a\x1b", " /a", "/a ", "../a", "/./a",
    "/" + "a" * 5000,
])  # fmt: skip
def test_an_export_is_one_path(export: str, count_probes: CountProbes) -> None:
    """mount.nfs would cut it off at a comma, and mount something else."""
    with pytest.raises((DecodeError, MountError)):
        NfsDriver().build(context("nfs", {"server": "files", "export": export}))
    count_probes("exports refused")


TAGS = [
    "-t", "--bind", "-osuid", "a b", "a\nb", "a,b", "/etc", "/dev/vda", "LABEL=root", "UUID=1-2", "PARTUUID=1",
    "ID=x", "a=b",
    "a/b", "../a", "a\\b", "a'b", 'a"b', "$(id)", "a;b", "\u00e9", "a\u00a0b", "a\x7f", "a\x85b", "*", "a\0",
    "\uff0fetc", "~", "[a]",
]  # fmt: skip


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("driver", [VirtiofsDriver(), Virtio9pDriver()], ids=lambda driver: driver.name)
def test_a_tag_is_a_name(driver: KernelDriver, tag: str, count_probes: CountProbes) -> None:
    """Neither an option, nor a path, nor something that mount(8) searches the guest's disks for."""
    with pytest.raises((DecodeError, MountError)):
        driver.build(context(driver.name, {"tag": tag}))
    count_probes("tags refused")


@pytest.mark.parametrize("tag", ["host", "host0", "my-share_1.2", "kataShared", "a:b", "a@b", "a+b", ".x"])
@pytest.mark.parametrize("driver", [VirtiofsDriver(), Virtio9pDriver(), BindDriver()], ids=lambda driver: driver.name)
@pytest.mark.parametrize("readonly", [False, True])
def test_the_kernels_other_backends_take_no_options_at_all(driver: KernelDriver, tag: str, readonly: bool) -> None:
    """Unknown fields are left alone, and what protects the guest is the last word."""
    block = {"source": f"/srv/{tag}"} if driver.name == "bind" else {"tag": tag}
    argv = driver.build(context(driver.name, block | {"options": "suid,dev"}, readonly=readonly)).argv
    words = argv[argv.index("-o") + 1].split(",")
    assert words[-3:] == ["nosuid", "nodev", "ro" if readonly else "rw"]
    assert not {"suid", "dev"} & set(words)
    assert argv[-3] == "--"


FLAGS = [
    "option", "o", "fuse-flag", "fuse_flag", "allow-root", "allow-other", "allow_other", "default-permissions",
    "default_permissions", "daemon", "daemon-timeout", "daemon-wait", "allow-non-empty", "volname", "devname",
    "network-mode", "mount-opt", "debug-fuse", "rc", "rc-addr", "rc-no-auth", "config", "cache-dir", "read-only",
    "uid", "gid", "umask", "-o", "--option", "OPTION", "Fuse-Flag", "suid", "dev", "exec",
]  # fmt: skip


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("value", ["suid", "suid,dev", "true", True])
def test_rclone_takes_none_of_the_mounts_own_options(flag: str, value: str | bool, count_probes: CountProbes) -> None:
    """Who may use a mount, and what fusermount makes of it, is the guest's."""
    block = {"type": "s3", "path": "bucket", "options": {flag: value}}
    with pytest.raises((DecodeError, MountError)):
        RcloneDriver().build(context("rclone", block))
    count_probes("flags of rclone refused")


@pytest.mark.parametrize(
    "option",
    [
        "mountPoint", "fileSystemName", "rdonly", "enableUnixPermission", "disableMountSubtype", "suid", "dev", "exec",
        "allowOther", "allow_other", "mountOptions", "options", "o", "fuseMountOptions", "logDir", "warnLogDir",
        "certFile", "bcacheDir", "locallyProf", "profPort", "exporterPort", "pidFile", "RDONLY", "enableunixpermission",
    ],
)  # fmt: skip
def test_cubefs_takes_none_of_them_either(option: str, count_probes: CountProbes) -> None:
    """Its client has a closed list of options."""
    block = {"volume": "v", "masters": ["m:17010"], "owner": "o", "options": {option: "true"}}
    with pytest.raises((DecodeError, MountError)):
        CubefsDriver().build(context("cubefs", block))
    count_probes("options of cubefs refused")


@pytest.mark.integration
async def test_a_device_file_of_a_share_opens_nothing(tmp_path: Path) -> None:
    """With a real mount: the kernel knows ``nosuid`` and ``nodev``, and obeys them for root too."""
    async with engine_rig(tmp_path) as rig:
        source = rig.sources / "tools"
        source.mkdir(parents=True)
        os.mknod(source / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (source / "null").write_text("it works where it is")
        share = {"id": "tools", "backend": "bind", "mount_point": str(rig.root / "t"), "bind": {"source": str(source)}}
        async with rig.engine() as engine:
            await engine.apply(parse_share(share))
            (entry,) = rig.entries_at(rig.root / "t")
            assert {"nosuid", "nodev"} <= entry.options
            with pytest.raises(PermissionError):
                (rig.root / "t" / "null").write_text("it must not")
            await engine.apply(parse_share({"id": "tools", "action": "unmount"}))
