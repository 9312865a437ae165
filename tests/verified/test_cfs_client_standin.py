"""The stand-in cfs-client mounts, ends and hangs as was measured with the real one; each test is one fact."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import stat

import pytest

from tests.parts.cfs_rig import START_S, VOLUME, CfsRig, access, rig

pytestmark = pytest.mark.integration
__all__ = ["rig"]


class TestMount:
    async def test_mountinfo_shows_what_the_real_client_shows(self, rig: CfsRig) -> None:
        """Type fuse.cubefs, source cubefs-<volume>, nosuid, nodev and allow_other, always."""
        fields = (await rig.mount()).split()
        assert fields[5] == "rw,nosuid,nodev,relatime"
        assert fields[fields.index("-") + 1 :] == [
            "fuse.cubefs",
            f"cubefs-{VOLUME}",
            "rw,user_id=0,group_id=0,allow_other,max_read=262144",
        ]

    async def test_options_change_source_type_and_permission_checks(self, rig: CfsRig) -> None:
        """fileSystemName is the source, disableMountSubtype leaves plain fuse, unix permissions are the kernel's."""
        line = await rig.mount(fileSystemName="weft-a,b", disableMountSubtype=True, enableUnixPermission=True)
        assert " - fuse weft-a,b " in line
        assert "default_permissions" in line

    async def test_files_pass_both_ways(self, rig: CfsRig) -> None:
        """The mount is the volume's directory: files, directories, links, renames and appends."""
        await rig.mount()

        def work() -> None:
            (rig.mount_point / "sub").mkdir()
            (rig.mount_point / "sub/a").write_text("one")
            with (rig.mount_point / "sub/a").open("a") as file:
                file.write(" two")
            (rig.mount_point / "sub/a").rename(rig.mount_point / "b")
            (rig.mount_point / "link").symlink_to("b")
            os.link(rig.mount_point / "b", rig.mount_point / "hard")

        await asyncio.to_thread(work)
        volume = rig.cluster.volume_dir(VOLUME)
        assert sorted(os.listdir(volume)) == ["b", "hard", "link", "sub"]
        assert (volume / "link").read_text() == "one two"
        (volume / "late").write_text("x")
        assert await asyncio.to_thread((rig.mount_point / "late").read_text) == "x"

    @pytest.mark.parametrize(
        ("value", "mode"),
        [
            pytest.param(True, "ro", id="true"),
            pytest.param("true", "ro", id="text true"),
            pytest.param(1, "rw", id="one is ignored"),
            pytest.param("1", "rw", id="text one is ignored"),
            pytest.param("True", "rw", id="capital True is ignored"),
            pytest.param("yes", "rw", id="yes is ignored"),
        ],
    )
    async def test_rdonly_takes_only_true(self, rig: CfsRig, value: object, mode: str) -> None:
        """Anything but true and "true" silently mounts read-write; read-only shows in both flag fields."""
        fields = (await rig.mount(rdonly=value)).split()
        assert fields[5].split(",")[0] == mode
        assert fields[-1].split(",")[0] == mode

    async def test_flags_override_the_file(self, rig: CfsRig) -> None:
        """Every key is a flag too, and the flag wins."""
        assert " ro," in await rig.mount("-rdonly", "true", rdonly=False)

    async def test_subdir_leaves_no_trace_in_mountinfo(self, rig: CfsRig) -> None:
        """A subdirectory is the root of its mount."""
        (rig.cluster.volume_dir(VOLUME) / "a/b/inside").mkdir(parents=True)
        assert (await rig.mount(subdir="a/b")).split()[3] == "/"
        assert await asyncio.to_thread(os.listdir, rig.mount_point) == ["inside"]

    async def test_missing_mount_point_is_made_and_contents_are_covered(self, rig: CfsRig) -> None:
        """A missing last directory is made with 0755; a non-empty one is covered."""
        await rig.mount()
        await rig.unmount()
        assert await rig.exit_code() == 0
        assert stat.S_IMODE(rig.mount_point.stat().st_mode) == 0o755
        (rig.mount_point / "below").touch()
        await rig.mount()
        assert await asyncio.to_thread(os.listdir, rig.mount_point) == []

    async def test_regular_file_mounts_and_gives_eio(self, rig: CfsRig) -> None:
        """A regular file as mount point succeeds, and every access is EIO."""
        rig.mount_point.touch()
        await rig.mount()
        assert await access(rig.mount_point) == errno.EIO

    async def test_space_hides_a_mount_from_the_check(self, rig: CfsRig) -> None:
        """With a space in the mount point a second client stacks."""
        rig.mount_point = rig.directory / "my files"
        await rig.mount()
        await rig.mount(logDir=str(rig.directory / "log2"))
        assert len(rig.lines()) == 2

    async def test_dead_first_master_does_not_matter(self, rig: CfsRig) -> None:
        """Masters are asked in turn."""
        await rig.mount(masterAddr="127.0.0.1:1," + rig.cluster.masters[0])

    async def test_owner_is_not_checked_with_a_key(self, rig: CfsRig) -> None:
        """With an access key any owner mounts."""
        access_key, secret_key = rig.cluster.add_key("alice", writes=(VOLUME,))
        assert " rw," in await rig.mount(owner="somebody", accessKey=access_key, secretKey=secret_key)

    async def test_reader_mounts_read_only(self, rig: CfsRig) -> None:
        """The key of a user who may only read mounts read-only, whatever rdonly says."""
        access_key, secret_key = rig.cluster.add_key("bob", reads=(VOLUME,))
        assert " ro," in await rig.mount(accessKey=access_key, secretKey=secret_key, rdonly=False)


class TestEnd:
    async def test_unmounting_ends_it_with_0(self, rig: CfsRig) -> None:
        """The only clean stop is an unmount."""
        await rig.mount()
        await rig.unmount()
        assert await rig.exit_code() == 0
        assert "exit normally" in rig.output_log

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT])
    async def test_signal_leaves_a_dead_mount(self, rig: CfsRig, number: signal.Signals) -> None:
        """SIGTERM and its like exit with 1 and leave a dead mount, over which no start works until it is detached."""
        await rig.mount()
        rig.clients[-1].send_signal(number)
        assert await rig.exit_code() == 1
        assert await access(rig.mount_point) in (errno.ENOTCONN, errno.ECONNABORTED)
        code, output = await rig.run("-f", "-c", rig.configuration())
        assert code == 1
        assert f"Init.MountPoint mkdir failed error mkdir {rig.mount_point}: file exists" in output
        await rig.unmount("-l")
        await rig.mount()

    async def test_sigkill_leaves_a_dead_mount(self, rig: CfsRig) -> None:
        """SIGKILL does the same."""
        await rig.mount()
        rig.clients[-1].kill()
        assert await rig.exit_code() == -signal.SIGKILL
        assert await access(rig.mount_point) in (errno.ENOTCONN, errno.ECONNABORTED)

    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
    async def test_other_signals_are_ignored(self, rig: CfsRig, number: signal.Signals) -> None:
        """SIGHUP and SIGUSR1 change nothing."""
        await rig.mount()
        rig.clients[-1].send_signal(number)
        assert await access(rig.mount_point) == 0
        assert rig.clients[-1].returncode is None

    async def test_deleted_volume_ends_it(self, rig: CfsRig) -> None:
        """At its next two-minute check the client of a deleted volume exits with 1."""
        await rig.mount()
        rig.cluster.delete_volume(VOLUME)
        assert await rig.exit_code() == 1

    async def test_last_exit_is_remembered(self, rig: CfsRig) -> None:
        """output.log names how the run before ended."""
        for expected, end in (("NORMAL", None), ("ABNORMAL", signal.SIGTERM), ("UNKNOWN", signal.SIGKILL)):
            await rig.mount()
            if end is None:
                await rig.unmount()
                await rig.exit_code()
            else:
                rig.clients[-1].send_signal(end)
                await rig.exit_code()
                await rig.unmount("-l")
            await rig.mount()
            assert rig.output_log.rpartition("LastExitInfo: ")[2].startswith(expected)
            await rig.unmount()
            await rig.exit_code()


class TestOutage:
    async def test_stopped_client_hangs_and_recovers(self, rig: CfsRig) -> None:
        """Under SIGSTOP a listing hangs; it completes after SIGCONT."""
        await rig.mount()
        rig.clients[-1].send_signal(signal.SIGSTOP)
        listing = asyncio.create_task(access(rig.mount_point))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(listing), 0.2)
        rig.clients[-1].send_signal(signal.SIGCONT)
        assert await listing == 0

    async def test_stalled_cluster_holds_calls_and_completes_them(self, rig: CfsRig) -> None:
        """With stopped metanodes statfs answers, a listing hangs and later completes without an error."""
        await rig.mount()
        rig.cluster.stall(VOLUME)
        await asyncio.wait_for(asyncio.to_thread(os.statvfs, rig.mount_point), START_S)
        listing = asyncio.create_task(access(rig.mount_point))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(listing), 0.2)
        rig.cluster.resume(VOLUME)
        assert await listing == 0

    async def test_request_timeout_bounds_a_hang(self, rig: CfsRig) -> None:
        """With requestTimeout each held request fails with ETIME after so many seconds."""
        await rig.mount(requestTimeout=1, clientOpTimeOut=0)
        rig.cluster.stall(VOLUME)
        assert await access(rig.mount_point) == errno.ETIME

    async def test_masters_are_not_needed_once_mounted(self, rig: CfsRig) -> None:
        """Stopped masters affect nothing that is mounted."""
        await rig.mount()
        await rig.cluster.refuse()
        assert await access(rig.mount_point) == 0
