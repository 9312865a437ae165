"""The stand-in cfs-client fails, talks and listens as was measured with the real one; each test is one fact."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat

import pytest

from tests.parts.cfs_rig import VOLUME, CfsRig, rig
from tests.parts.processes import listening_ports, wait_for_file, wait_until_ended

pytestmark = pytest.mark.integration
__all__ = ["rig"]

FAILURES = [
    pytest.param({"volName": "nothing"}, "parse mount opt from master failed: vol not exists", True, id="no volume"),
    pytest.param({"volName": "a b"}, "status(400)", True, id="bad volume name"),
    pytest.param({"owner": "x"}, "mount failed: client and server auth key do not match", False, id="wrong owner"),
    pytest.param({"subdir": "x"}, "subdir(x/) err(no such file or directory)", False, id="no subdir"),
    pytest.param({"subdir": "file"}, "not directory", False, id="subdir is a file"),
    pytest.param(
        {"accessKey": "0123456789abcdef"}, "check permission failed: access key not exists", False, id="unknown key"
    ),
    pytest.param({"volName": ""}, "lack of mandatory fields, mountPoint(", True, id="no volume named"),
    pytest.param({"owner": 7}, "lack of mandatory fields, mountPoint(", True, id="owner is not a string"),
    pytest.param({"masterAddr": "127.0.0.1:1"}, "127.0.0.1:1: connect: connection refused", True, id="refusing master"),
    pytest.param({"logDir": "/proc/nothing"}, "Init log dir fail: ", True, id="impossible logDir"),
    pytest.param({"mountPoint": "/nowhere/at/all"}, ": no such file or directory", True, id="no parent"),
]


class TestFailure:
    @pytest.mark.parametrize(("changes", "reason", "is_on_stdout"), FAILURES)
    async def test_reason_is_where_the_real_client_puts_it(
        self, rig: CfsRig, changes: dict[str, object], reason: str, is_on_stdout: bool
    ) -> None:
        """Configuration, volume and master errors are printed; later ones go only to output.log. Always exit 1."""
        (rig.cluster.volume_dir(VOLUME) / "file").touch()
        code, output = await rig.run("-f", "-c", rig.configuration(**changes))
        assert code == 1
        assert (reason in output) is is_on_stdout
        if not is_on_stdout:
            assert reason in rig.output_log.splitlines()[-1]
        assert rig.lines() == []

    @pytest.mark.parametrize("is_allowed", [pytest.param(True, id="wrong secret"), pytest.param(False, id="no rights")])
    async def test_wrong_secret_and_missing_rights_look_the_same(self, rig: CfsRig, is_allowed: bool) -> None:
        """Both are "no permission"."""
        access_key, secret_key = rig.cluster.add_key("eve", writes=(VOLUME,) if is_allowed else ())
        secret_key = "0" * 32 if is_allowed else secret_key
        code, _ = await rig.run("-f", "-c", rig.configuration(accessKey=access_key, secretKey=secret_key))
        assert code == 1
        assert "check permission failed: no permission" in rig.output_log

    async def test_silent_master_is_asked_five_times(self, rig: CfsRig) -> None:
        """A master that accepts and stays silent costs five timeouts of 30 s and 75 s of pauses (scaled)."""
        rig.cluster.silence()
        started_s = asyncio.get_running_loop().time()
        code, output = await rig.run("-f", "-c", rig.configuration())
        assert code == 1
        assert "Client.Timeout exceeded while awaiting headers" in output
        assert len(rig.cluster.members[0].requests) == 5
        assert asyncio.get_running_loop().time() - started_s > 225 * rig.cluster.time_scale

    async def test_mounted_point_is_refused(self, rig: CfsRig) -> None:
        """A mount point that is mounted already is refused by its text."""
        await rig.mount()
        code, _ = await rig.run("-f", "-c", rig.configuration())
        assert code == 1
        assert f"mountpoint:{rig.mount_point} has been mounted" in rig.output_log

    async def test_symbolic_link_is_refused_by_fusermount(self, rig: CfsRig) -> None:
        """A symbolic link as mount point fails in fusermount."""
        (rig.directory / "real").mkdir()
        rig.mount_point.symlink_to(rig.directory / "real")
        code, _ = await rig.run("-f", "-c", rig.configuration())
        assert code == 1
        assert "fusermount: exit status 1" in rig.output_log

    @pytest.mark.parametrize(
        ("present", "reason"),
        [
            pytest.param("mount", 'exec: "fusermount": executable file not found in $PATH', id="without fusermount"),
            pytest.param("fusermount", "failed to execute mount", id="without mount"),
        ],
    )
    async def test_helpers_are_looked_up_by_name(self, rig: CfsRig, present: str, reason: str) -> None:
        """Both fusermount and mount must be in PATH under these names."""
        only = rig.directory / "only"
        only.mkdir()
        program = shutil.which(present) or shutil.which(f"{present}3")
        assert program is not None
        (only / present).symlink_to(program)
        code, _ = await rig.run("-f", "-c", rig.configuration(), env={"PATH": str(only)})
        assert code == 1
        assert reason in rig.output_log

    async def test_malformed_file_is_reported_as_missing_fields(self, rig: CfsRig) -> None:
        """A missing or malformed configuration is never named as such."""
        bad = rig.directory / "bad.json"
        bad.write_text("{")
        code, output = await rig.run("-f", "-c", bad)
        assert code == 1
        assert "lack of mandatory fields, mountPoint(" in output

    async def test_secret_key_is_printed_and_logged_for_everybody(self, rig: CfsRig) -> None:
        """The secret key stands on stdout and in output.log, which anybody may read."""
        access_key, secret_key = rig.cluster.add_key("alice", owns=(VOLUME,))
        await rig.mount(accessKey=access_key, secretKey=secret_key)
        assert f"keyword[secretKey] value[{secret_key}] type[string]" in (rig.directory / "stdout").read_text()
        assert secret_key in rig.output_log
        assert stat.S_IMODE((rig.log_dir / "client/client/output.log").stat().st_mode) == 0o644


class TestDaemon:
    async def test_daemon_mounts_and_returns(self, rig: CfsRig) -> None:
        """Without -f the program returns 0 and prints nothing once mounted; the pid file names the client."""
        code, output = await rig.run("-c", rig.configuration())
        assert code == 0
        assert "Mount failed" not in output
        assert len(rig.lines()) == 1
        pid = int(await wait_for_file(rig.pid_file))
        await rig.unmount()
        await wait_until_ended(pid)

    async def test_failure_prints_the_environment(self, rig: CfsRig) -> None:
        """A failure prints the whole environment, and the reason behind "sub-process"."""
        env = {"PATH": os.environ["PATH"], "TOKEN": "hidden"}
        code, output = await rig.run("-c", rig.configuration(owner="x"), env=env)
        assert code == 1
        assert "TOKEN=hidden" in output
        assert "err(readFromProcess: sub-process: [fuse.go" in output
        assert "auth key do not match" in output.rpartition("err(")[2]

    async def test_no_arguments(self, rig: CfsRig) -> None:
        """Without arguments it says so and exits 1."""
        code, output = await rig.run()
        assert code == 1
        assert "cannot use null arguments" in output

    async def test_version(self, rig: CfsRig) -> None:
        """-v prints the version and exits 0."""
        code, output = await rig.run("-v")
        assert code == 0
        assert "v3.5.3" in output


class TestListeners:
    async def test_listeners_can_be_shut_away(self, rig: CfsRig) -> None:
        """With locallyProf only loopback listens, and without the exporter nothing else."""
        await rig.mount()
        await wait_for_file(rig.pid_file)
        assert [address for address, _ in listening_ports(rig.clients[-1].pid)] == ["0100007F"]

    async def test_defaults_listen_on_all_interfaces(self, rig: CfsRig) -> None:
        """By default both listeners take random ports on all interfaces."""
        await rig.mount(locallyProf=False, exporterEnable=True)
        await wait_for_file(rig.pid_file)  # the exporter comes after the outcome, and before this file
        assert [address for address, _ in listening_ports(rig.clients[-1].pid)] == ["00000000"] * 2

    async def test_taken_port_delays_the_mount(self, rig: CfsRig) -> None:
        """A taken profPort costs a minute (scaled), then a random one is used."""
        taken = int(rig.cluster.masters[0].rpartition(":")[2])
        await rig.mount(profPort=str(taken))
        assert "choose port automatically" in rig.output_log
        assert [port for _, port in listening_ports(rig.clients[-1].pid)] != [taken]

    async def test_numeric_prof_port_is_ignored(self, rig: CfsRig) -> None:
        """A profPort that is a JSON number is ignored: a random port, at once."""
        taken = int(rig.cluster.masters[0].rpartition(":")[2])
        await rig.mount(profPort=taken)
        assert "choose port automatically" not in rig.output_log
