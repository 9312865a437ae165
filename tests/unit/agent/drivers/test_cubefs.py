"""Rules about the command that mounts a CubeFS volume, and about what its failures mean."""

import dataclasses
import json
from typing import Any

import pytest

from agent.drivers.base import Failure
from agent.drivers.cubefs import CubefsDriver
from agent.drivers.cubefs_master import _Envelope, judge
from tests.fakes.cfs_client.outcome import encode_outcome
from tests.unit.agent.drivers.specs import context_for, cubefs_share
from weft.errors import CommandNotFoundError, DeniedError, ErrorCode, MountError
from weft.wire.blocks import CubefsBlock
from weft.wire.share import ShareMount


def config_of(share: ShareMount) -> dict[str, Any]:
    (file,) = CubefsDriver().build(context_for(share)).files
    config: dict[str, Any] = json.loads(file.content)
    return config


def test_the_configuration_says_where_what_and_for_whom() -> None:
    """The share's fields become the client's keys, with exactly the types it does not ignore."""
    config = config_of(cubefs_share({"access_key": "AK", "secret_key": "SK", "subdir": "a/b"}, readonly=True))
    assert config["mountPoint"] == "/mnt/data"
    assert (config["volName"], config["owner"], config["masterAddr"]) == ("team", "alpha", "m1:17010,m2:17010")
    assert (config["accessKey"], config["secretKey"], config["subdir"]) == ("AK", "SK", "a/b")
    assert config["rdonly"] is True


def test_nothing_listens_and_permissions_are_enforced() -> None:
    """The client's control port has no password, and without unix permissions everybody reads everything."""
    config = config_of(cubefs_share())
    assert (config["locallyProf"], config["exporterEnable"], config["enableUnixPermission"]) == (True, False, True)
    assert "profPort" not in config


def test_a_request_waits_as_long_as_the_cluster_is_away() -> None:
    """With a time limit the client does not survive the late answer to a request that it gave up."""
    config = config_of(cubefs_share())
    assert (config["requestTimeout"], config["clientOpTimeOut"]) == (0, 0)


def test_the_mount_can_be_recognised_as_ours() -> None:
    """The source in mountinfo is the one the engine chose."""
    command = CubefsDriver().build(context_for(cubefs_share()))
    assert command.source == "weft:data:0badcafe" == config_of(cubefs_share())["fileSystemName"]
    assert command.fs_types == {"fuse.cubefs"}


def test_no_secret_stands_in_argv_environment_or_repr() -> None:
    """They are in the private file only."""
    command = CubefsDriver().build(context_for(cubefs_share({"access_key": "AKAK", "secret_key": "SKSK"})))
    shown = repr(command)
    assert "SKSK" not in shown
    assert "AKAK" not in shown


def test_the_client_finds_its_helpers_by_the_names_it_knows() -> None:
    """It looks for fusermount and mount in PATH; a Debian guest has fusermount3."""
    command = CubefsDriver().build(context_for(cubefs_share()))
    assert command.links == {"bin/fusermount": "/opt/bin/fusermount3", "bin/mount": "/opt/bin/mount"}
    assert command.env["PATH"].startswith("/run/weft-agent/private/0123456789ab/bin:")
    assert set(command.env) == {"PATH", "HOME"}


def test_readiness_and_reasons_are_found_where_the_client_puts_them() -> None:
    """The status pipe says ready; permission errors go to a file in the log directory only."""
    command = CubefsDriver().build(context_for(cubefs_share()))
    assert command.status_fd_variable == "DAEMONIZE_STATUS_FD"
    assert command.log_files == ("log/client/client/output.log",)
    assert config_of(cubefs_share())["logDir"] == "/run/weft-agent/private/0123456789ab/log"


def test_ttl_becomes_all_three_lifetimes() -> None:
    """Listings, attributes and inodes are as old as the operator allows."""
    config = config_of(cubefs_share(cache={"ttl_s": 7}))
    assert (config["lookupValid"], config["attrValid"], config["icacheTimeout"]) == (7, 7, 7)


@pytest.mark.parametrize(
    ("name", "given", "written"),
    [
        pytest.param("keepcache", "true", True, id="switch as text"),
        pytest.param("nearRead", False, False, id="switch"),
        pytest.param("readThreads", "20", 20, id="number as text"),
        pytest.param("logLevel", "warn", "warn", id="text"),
        pytest.param("clientKey", 123, "123", id="text given as number"),
        pytest.param("logLevel", "debug", "debug", id="a default of ours"),
    ],
)
def test_options_get_the_type_the_client_reads(name: str, given: object, written: object) -> None:
    """A value of another type would be ignored silently."""
    value = config_of(cubefs_share({"options": {name: given}}))[name]
    assert value == written
    assert type(value) is type(written)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(pytest.param(name, "x", id=name) for name in ("mountPoint", "logDir", "fileSystemName", "masterAddr")),
        *(pytest.param(name, True, id=name) for name in ("locallyProf", "exporterEnable", "rdonly")),
        pytest.param("profPort", "17410", id="profPort"),
        pytest.param("requestTimeout", 60, id="requestTimeout"),
        pytest.param("keepcache", "yes", id="not a switch"),
        pytest.param("keepcache", 1, id="one is not true"),
        pytest.param("readThreads", "many", id="not a number"),
        pytest.param("keepCache", True, id="unknown"),
    ],
)
def test_options_that_are_ours_unknown_or_mistyped_are_named(name: str, value: object) -> None:
    """The client would ignore them, or they would undo what keeps the mount safe."""
    with pytest.raises(MountError, match=name) as caught:
        config_of(cubefs_share({"options": {name: value}}))
    assert caught.value.code is ErrorCode.BAD_SPEC


def test_a_misspelt_option_is_answered_with_the_nearest() -> None:
    """The operator sees at once what was meant."""
    with pytest.raises(MountError, match=r"did you mean 'keepcache'\?"):
        config_of(cubefs_share({"options": {"keepCache": True}}))


def test_options_that_read_files_of_the_guest_need_its_consent() -> None:
    """The client runs as root; a share must not choose which files it opens."""
    share = cubefs_share({"options": {"certFile": "/etc/shadow"}})
    with pytest.raises(DeniedError, match="certFile"):
        CubefsDriver().build(context_for(share))
    CubefsDriver(allow_options=frozenset({"certFile"})).build(context_for(share))


@pytest.mark.parametrize("field", [{"uid": 1000}, {"gid": 1000}, {"umask": "0022"}], ids=["uid", "gid", "umask"])
def test_ownership_that_cannot_be_honoured_is_refused(field: dict[str, Any]) -> None:
    """CubeFS shows the owners that the volume has."""
    with pytest.raises(MountError) as caught:
        CubefsDriver().build(context_for(cubefs_share(**field)))
    assert caught.value.code is ErrorCode.BAD_SPEC


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("cfs-client", ErrorCode.HELPER_MISSING),
        ("mount", ErrorCode.HELPER_MISSING),
        ("fusermount3", ErrorCode.FUSE_MISSING),
    ],
)
def test_a_missing_program_is_named(missing: str, code: ErrorCode) -> None:
    """The guest's administrator learns what to install."""
    context = context_for(cubefs_share())
    programs = {name: path for name, path in context.programs.items() if name != missing}
    with pytest.raises(CommandNotFoundError, match=missing) as caught:
        CubefsDriver().build(dataclasses.replace(context, programs=programs))
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("output", "code", "is_permanent"),
    [
        pytest.param("parse mount opt from master failed: vol not exists", "not_found", True, id="no volume"),
        pytest.param("mount failed: client and server auth key do not match", "auth", True, id="owner"),
        pytest.param("check permission failed: access key not exists", "auth", True, id="access key"),
        pytest.param("check permission failed: no permission", "auth", True, id="secret key or right"),
        pytest.param("dial tcp 10.0.0.1:17010: connect: connection refused", "unreachable", False, id="dead master"),
        pytest.param("Client.Timeout exceeded while awaiting headers", "unreachable", False, id="silent master"),
        pytest.param("unknown status: host(m) uri(/x) status(400)", "bad_spec", True, id="volume name"),
        pytest.param(
            "GetRootIno: Lookup failed, subdir(x/) err(no such file or directory)", "not_found", True, id="subdir"
        ),
        pytest.param("GetRootIno: Lookup failed, subdir(x/) not directory", "not_found", True, id="subdir is a file"),
        pytest.param("mountpoint:/x has been mounted", "occupied", False, id="mounted"),
        pytest.param("Init.MountPoint mkdir failed error mkdir /x: file exists", "occupied", False, id="dead mount"),
        pytest.param("mkdir failed error mkdir /a/b: no such file or directory", "not_found", False, id="no parent"),
        pytest.param('fusermount: exec: "fusermount": executable file not found', "fuse_missing", False, id="fuse"),
        pytest.param("failed to execute mount", "helper_missing", True, id="no mount"),
    ],
)
def test_what_the_client_says_becomes_a_code(output: str, code: str, is_permanent: bool) -> None:
    """The operator's status groups failures by cause, and only what can heal is tried again."""
    failure = Failure(exit_code=1, output=f"[fuse.go 100] start\n{output}\n")
    error = CubefsDriver().classify(context_for(cubefs_share()), failure)
    assert (error.code, error.is_permanent) == (code, is_permanent)
    assert output in error.detail
    assert str(error).startswith("cannot mount share 'data': ")


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        pytest.param(Failure(exit_code=None, output=""), ErrorCode.TIMEOUT, id="still running"),
        pytest.param(Failure(exit_code=-9, output=""), ErrorCode.EXITED, id="killed"),
        pytest.param(Failure(exit_code=1, output="what?"), ErrorCode.EXITED, id="unclear"),
        pytest.param(Failure(exit_code=None, output="", root_errno=13), ErrorCode.DENIED, id="root denied"),
        pytest.param(Failure(exit_code=None, output="", root_errno=5), ErrorCode.UNREACHABLE, id="root unreadable"),
    ],
)
def test_how_a_silent_client_ended_becomes_a_code(failure: Failure, code: ErrorCode) -> None:
    """Without words the exit code and the first read of the root decide."""
    assert CubefsDriver().classify(context_for(cubefs_share()), failure).code is code


def test_the_status_pipe_tells_the_reason_of_a_failure_and_nothing_else() -> None:
    """Half a message and a good one say nothing; the mount table says when it is up."""
    driver, reason = CubefsDriver(), "mount failed: vol not exists"
    whole = encode_outcome(reason)
    assert driver.find_start_failure(whole) == reason
    assert driver.find_start_failure(encode_outcome(None)) is None
    assert {driver.find_start_failure(whole[:length]) for length in range(len(whole))} == {None}


USER = {"access_key": "AK", "secret_key": "SK", "policy": {"own_vols": ["team"], "authorized_vols": {"other": ["x"]}}}


@pytest.mark.parametrize(
    ("block", "answer", "code"),
    [
        pytest.param({}, {"code": 7, "msg": "vol not exists"}, "not_found", id="no volume"),
        pytest.param({}, {"code": 0, "data": {"Owner": "beta"}}, "auth", id="owner is the credential"),
        pytest.param({"access_key": "AK"}, {"code": 38, "msg": "access key not exists"}, "auth", id="unknown key"),
        pytest.param({"access_key": "AK", "secret_key": "XX"}, {"code": 0, "data": USER}, "auth", id="wrong secret"),
        pytest.param(
            {"access_key": "AK", "secret_key": "SK", "volume": "third"}, {"code": 0, "data": USER}, "denied", id="right"
        ),
        pytest.param({}, {"code": 2, "msg": "name can only be number and letters"}, "bad_spec", id="volume name"),
    ],
)
def test_a_masters_clear_answer_ends_it_for_good(block: dict[str, Any], answer: dict[str, Any], code: str) -> None:
    """Nothing but a changed spec or cluster helps, so it is not tried again and an old mount stays."""
    with pytest.raises(MountError) as caught:
        judge("data", _cubefs_block(block), _Envelope(**answer))
    assert (caught.value.code, caught.value.is_permanent) == (code, True)
    assert "SK" not in str(caught.value) + caught.value.detail


@pytest.mark.parametrize(
    ("block", "answer"),
    [
        pytest.param({}, {"code": 0, "data": {"Owner": "alpha"}}, id="right owner"),
        pytest.param({"access_key": "AK"}, {"code": 0, "data": {"Owner": "beta"}}, id="owner plays no part with a key"),
        pytest.param({"access_key": "AK", "secret_key": "SK"}, {"code": 0, "data": USER}, id="own volume"),
        pytest.param(
            {"access_key": "AK", "secret_key": "SK", "volume": "other"}, {"code": 0, "data": USER}, id="a right"
        ),
        pytest.param({"access_key": "AK"}, {"code": 0, "data": {"access_key": "AK"}}, id="nothing said about rights"),
        pytest.param({}, {"code": 0, "data": None}, id="no data"),
        pytest.param({}, {"code": 0, "data": {"new": "shape"}}, id="another shape"),
    ],
)
def test_an_answer_that_is_good_or_not_understood_lets_the_mount_decide(
    block: dict[str, Any], answer: dict[str, Any]
) -> None:
    """A newer master must not make shares fail that would mount."""
    judge("data", _cubefs_block(block), _Envelope(**answer))


def _cubefs_block(block: dict[str, Any]) -> CubefsBlock:
    found = cubefs_share(block).cubefs
    assert found is not None
    return found
