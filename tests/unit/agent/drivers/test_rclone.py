"""Rules about the command that mounts an rclone remote, and about what its failures mean."""

from typing import Any

import pytest

from agent.drivers.base import Failure, MountCommand
from agent.drivers.rclone import RcloneDriver
from agent.drivers.rclone_check import check_version, parse_version
from tests.unit.agent.drivers.specs import context_for, rclone_share
from weft.errors import CommandNotFoundError, DeniedError, ErrorCode, MountError
from weft.obscure import obscure
from weft.wire.share import ShareMount

PRIVATE = "/run/weft-agent/private/0123456789ab"


def command_for(
    share: ShareMount, allow: frozenset[str] = frozenset(), types: frozenset[str] = frozenset()
) -> MountCommand:
    return RcloneDriver(allow_options=allow, allow_types=types).build(context_for(share))


def config_of(share: ShareMount) -> list[str]:
    (file,) = command_for(share).files
    return file.content.decode().splitlines()


def flags_of(share: ShareMount) -> dict[str, str]:
    words = command_for(share).argv[4:]
    return {name: value for name, _, value in (word.removeprefix("--").partition("=") for word in words)}


def test_argv_names_remote_and_mount_point_and_no_secret() -> None:
    """What every user of the guest can read in /proc holds no key."""
    command = command_for(rclone_share())
    assert command.argv[:4] == ("/opt/bin/rclone", "mount", "weft:bucket/prefix", "/mnt/data")
    assert "s3cret" not in repr(command)
    assert "AKIA" not in repr(command)


def test_everybody_sees_the_share_and_modes_are_enforced() -> None:
    """allow_other alone would let everybody write everywhere."""
    flags = flags_of(rclone_share())
    assert (flags["allow-other"], flags["default-permissions"]) == ("true", "true")


def test_the_mount_can_be_recognised_and_controlled() -> None:
    """Source, control socket and configuration are in the places the engine knows."""
    flags = flags_of(rclone_share())
    assert flags["devname"] == "weft:data:0badcafe"
    assert flags["rc-addr"] == f"unix://{PRIVATE}/rc.sock"
    assert flags["config"] == f"{PRIVATE}/rclone.conf"


def test_an_unreachable_server_is_noticed_in_time() -> None:
    """By default it takes four minutes."""
    assert {"contimeout", "timeout", "low-level-retries"} <= flags_of(rclone_share()).keys()


@pytest.mark.parametrize(
    "block",
    [
        pytest.param({"type": "local", "path": "/srv/pool", "config": {}}, id="directly"),
        pytest.param({"type": "alias", "path": "", "config": {"remote": "/srv/pool"}}, id="below another remote"),
    ],
)
def test_the_guests_own_directories_are_served_only_where_it_says_so(block: dict[str, Any]) -> None:
    """rclone serves them as root: to everybody, what only some may read."""
    context = context_for(rclone_share(block))
    with pytest.raises(
        DeniedError, match=r"every user as root sees it.*--from bind:/srv/pool.*allow_type = \['local'\]"
    ):
        RcloneDriver().build(context)
    command = RcloneDriver(allow_types=frozenset({"local"})).build(context)
    assert command.starting_files == ("rclone.conf",)


def test_the_environment_is_minimal() -> None:
    """RCLONE_* would be further flags, NOTIFY_SOCKET would report the client as the agent."""
    command = command_for(rclone_share())
    assert set(command.env) == {"PATH", "HOME"}
    assert command.links == {"bin/fusermount3": "/opt/bin/fusermount3"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, {"umask": "0000", "read-only": "false", "vfs-cache-mode": "writes"}, id="writable"),
        pytest.param({"readonly": True}, {"umask": "0022", "read-only": "true"}, id="read-only"),
        pytest.param({"uid": 1000, "gid": 100}, {"uid": "1000", "gid": "100", "umask": "0022"}, id="owned"),
        pytest.param({"umask": "0077"}, {"umask": "0077"}, id="umask"),
        pytest.param({"cache": {"size_mb": 512}}, {"vfs-cache-max-size": "512Mi"}, id="cache size"),
        pytest.param({"cache": {"ttl_s": 30}}, {"dir-cache-time": "30s"}, id="cache age"),
    ],
)
def test_fields_of_the_share_become_flags(fields: dict[str, Any], expected: dict[str, str]) -> None:
    """Access, ownership and cache are the share's, whatever the backend."""
    assert flags_of(rclone_share(**fields)).items() >= expected.items()


@pytest.mark.parametrize(
    ("options", "flag", "value"),
    [
        pytest.param({"vfs-cache-mode": "full"}, "vfs-cache-mode", "full", id="instead of a default"),
        pytest.param({"vfs_cache_mode": "full"}, "vfs-cache-mode", "full", id="underscores"),
        pytest.param({"no-modtime": True}, "no-modtime", "true", id="switch"),
        pytest.param({"transfers": 8}, "transfers", "8", id="number"),
        pytest.param({"exclude": "-x --rc-addr=:5572"}, "exclude", "-x --rc-addr=:5572", id="value like a flag"),
    ],
)
def test_options_become_one_argument_each(options: dict[str, Any], flag: str, value: str) -> None:
    """A value can never be taken for a flag of its own."""
    command = command_for(rclone_share({"options": options}))
    assert [word for word in command.argv if word.startswith(f"--{flag}=")] == [f"--{flag}={value}"]


@pytest.mark.parametrize("delay", ["0", "0s", "0ms", "0.0s", 0])
def test_uploads_always_have_a_moment_in_the_queue(delay: object) -> None:
    """Without a delay rclone would not count them as pending, nor repeat one that failed."""
    assert flags_of(rclone_share({"options": {"vfs-write-back": delay}}))["vfs-write-back"] == "100ms"
    assert flags_of(rclone_share({"options": {"vfs-write-back": "05s"}}))["vfs-write-back"] == "05s"


@pytest.mark.parametrize(
    "name",
    (
        "config rc rc-addr rc-no-auth rc_addr devname allow-root allow-other daemon daemon-wait cache-dir log-file "
        "log-level password-command metadata-mapper fuse-flag option o temp-dir dump cpuprofile files-from "
        "exclude-from ca-cert client-key header sftp-ssh s3-env-auth webdav-bearer-token-command copy-links "
        "metrics-addr volname read-only uid umask no-such-flag"
    ).split(" "),
)
def test_flags_that_are_about_the_guest_are_refused_by_name(name: str) -> None:
    """Commands, files, listeners, logs and ownership are not the publisher's to choose."""
    with pytest.raises(MountError, match=name.replace("_", "-")) as caught:
        command_for(rclone_share({"options": {name: "x"}}))
    assert caught.value.is_permanent


def test_a_guest_may_allow_a_flag_but_not_one_of_ours() -> None:
    """The guest's own configuration widens what shares may set; our own flags win nevertheless."""
    share = rclone_share({"options": {"ca-cert": "/etc/ssl/own.pem", "rc-addr": ":5572"}})
    command = command_for(share, allow=frozenset({"ca-cert", "rc-addr"}))
    assert "--ca-cert=/etc/ssl/own.pem" in command.argv
    assert f"--rc-addr=unix://{PRIVATE}/rc.sock" in command.argv
    assert "--rc-addr=:5572" not in command.argv


def test_the_configuration_holds_the_remote_in_plain_and_its_passwords_obscured() -> None:
    """rclone wants exactly its password options obscured, and fails on any that is not."""
    block = {"type": "sftp", "path": "", "config": {"host": "h", "pass": "tide", "key_use_agent": False}}
    assert config_of(rclone_share(block)) == [
        "[weft]",
        "type = sftp",
        "host = h",
        f"pass = {obscure('tide')}",
        "key_use_agent = false",
    ]


def test_obscured_passwords_are_named_as_secrets() -> None:
    """Whoever reads one in a log has the password."""
    command = command_for(rclone_share({"type": "sftp", "config": {"pass": "tide"}}))
    assert command.secrets == {obscure("tide")}
    assert obscure("tide") not in repr(command)


def test_wrapped_remotes_stand_in_the_same_file() -> None:
    """crypt, union and combine look their remotes up in it."""
    block = {
        "type": "crypt",
        "path": "",
        "config": {"remote": "base:bucket", "password": "pw"},
        "remotes": {"base": {"type": "s3", "provider": "Other"}},
    }
    assert config_of(rclone_share(block)) == [
        "[weft]",
        "type = crypt",
        "remote = base:bucket",
        f"password = {obscure('pw')}",
        "",
        "[base]",
        "type = s3",
        "provider = Other",
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(" blank ", "` blank `", id="blanks are trimmed otherwise"),
        pytest.param('"q"', '`"q"`', id="quotes are taken off otherwise"),
        pytest.param("`b", '"""`b"""', id="backtick"),
        pytest.param("a = b # c ; d", "a = b # c ; d", id="nothing special"),
    ],
)
def test_values_are_written_so_that_rclone_reads_them_unchanged(value: str, written: str) -> None:
    """A key that begins with a quote is a key all the same."""
    assert f"secret_access_key = {written}" in config_of(rclone_share({"config": {"secret_access_key": value}}))


def test_a_value_that_rclone_would_fill_in_is_refused_without_showing_it() -> None:
    """rclone replaces %(name)s by another option and has no way to say otherwise."""
    with pytest.raises(MountError, match="secret_access_key") as caught:
        config_of(rclone_share({"config": {"secret_access_key": "a%(type)s"}}))
    assert "%(" not in str(caught.value)


@pytest.mark.parametrize(
    ("remote_type", "name"),
    [
        ("sftp", "ssh"),
        ("sftp", "key_file"),
        ("sftp", "known_hosts_file"),
        ("webdav", "bearer_token_command"),
        ("webdav", "unix_socket"),
        ("s3", "env_auth"),
        ("s3", "shared_credentials_file"),
        ("drive", "service_account_file"),
        ("azureblob", "use_az"),
        ("smb", "kerberos_ccache"),
        ("azureblob", "client_certificate_path"),
        ("local", "copy_links"),
        ("newer", "some_new_command"),
        ("newer", "some_new_file"),
    ],
)
def test_options_that_run_commands_or_read_guest_files_need_its_consent(remote_type: str, name: str) -> None:
    """They would do so as root, for whoever may publish."""
    share = rclone_share({"type": remote_type, "path": "/srv/x", "config": {name: "true"}})
    types = frozenset({"newer", "local"})
    with pytest.raises(DeniedError, match=f'{name}.*allow_option = \\["{name}"\\]'):
        command_for(share, types=types)
    command_for(share, allow=frozenset({name}), types=types)
    wrapped = {"type": "alias", "config": {"remote": "r:/srv"}, "remotes": {"r": {"type": remote_type, name: "x"}}}
    with pytest.raises(DeniedError, match=name):
        command_for(rclone_share(wrapped), types=types)


@pytest.mark.parametrize(
    ("remote_type", "name", "value"),
    [
        pytest.param("s3", "env_auth", False, id="off"),
        pytest.param("s3", "env_auth", "false", id="off as text"),
        pytest.param("sftp", "known_hosts_file", "none", id="no host keys"),
        pytest.param("sftp", "ssh", "", id="empty"),
        pytest.param("sftp", "md5sum_command", "md5", id="run by the server"),
    ],
)
def test_options_that_ask_for_nothing_here_are_accepted(remote_type: str, name: str, value: object) -> None:
    """A remote copied from an rclone.conf often states what is off."""
    command_for(rclone_share({"type": remote_type, "config": {name: value}}))


@pytest.mark.parametrize(
    ("remote_type", "name", "value"),
    [
        pytest.param("local", "encoding", "None", id="an encoding that encodes nothing"),
        pytest.param("sftp", "ssh", "none", id="a command named none"),
        pytest.param("sftp", "ssh", "false", id="the command false"),
        pytest.param("sftp", "key_file", "none", id="a file named none"),
    ],
)
def test_a_value_that_only_looks_like_off_is_none(remote_type: str, name: str, value: str) -> None:
    """Only a switch is off when it is false, and only the file of host keys knows the word none."""
    with pytest.raises(DeniedError, match=name):
        command_for(rclone_share({"type": remote_type, "path": "/srv/x", "config": {name: value}}))


@pytest.mark.parametrize("remote_type", ["archive", "cache", "oracleobjectstorage", "newer", "LOCAL"])
def test_a_type_that_the_guest_does_not_know_needs_its_consent(remote_type: str) -> None:
    """A newer rclone may bring types that do anything."""
    share = rclone_share({"type": remote_type, "config": {}})
    wrapped = {"type": "alias", "config": {"remote": "r:x"}, "remotes": {"r": {"type": remote_type}}}
    with pytest.raises(DeniedError, match=f'allow_type = ."{remote_type}". in its agent.toml'):
        command_for(share)
    with pytest.raises(DeniedError, match=r"section 'r'.*allow_type"):
        command_for(rclone_share(wrapped))
    command_for(share, types=frozenset({remote_type}))
    command_for(rclone_share(wrapped), types=frozenset({remote_type}))


def test_errors_show_no_value_of_a_section() -> None:
    """Each may be a secret, also one that the guest put in the place of a credential's name."""
    for config in ({"type": "hunter2"}, {"remote": "hunter2"}, {"remote": "hunter2:x"}, {"upstreams": 'a="hunter2"'}):
        base = {"type": "combine" if "upstreams" in config else "alias"}
        with pytest.raises(MountError) as caught:
            command_for(rclone_share({**base, "config": {"remote": "r:x"}, "remotes": {"r": {**base, **config}}}))
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("remote_type", "name"), [("s3", "no_such_option"), ("union", "remotes"), ("s3", "ssh"), ("memory", "remote")]
)
def test_an_option_that_the_guest_does_not_know_for_the_type_needs_its_consent(remote_type: str, name: str) -> None:
    """Older spellings and what a newer rclone adds may name files, commands or other remotes."""
    config = {"upstreams": "r:a r:b"} if remote_type == "union" else {}
    share = rclone_share({"type": remote_type, "config": {**config, name: "x"}, "remotes": {"r": {"type": "memory"}}})
    with pytest.raises(DeniedError, match=f"{name}.*allow_option"):
        command_for(share)
    command_for(share, allow=frozenset({name}))


def test_google_is_never_asked_who_this_guest_is() -> None:
    """With a token that it cannot read, rclone would log in with the guest's own account."""
    share = rclone_share({"type": "gcs", "config": {"token": "unreadable"}})
    assert command_for(share).env["GOOGLE_APPLICATION_CREDENTIALS"].startswith("/nonexistent/")
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in command_for(share, allow=frozenset({"env_auth"})).env


def test_links_are_for_the_mount_only() -> None:
    """The flag of that name would let rclone make symbolic links of the guest, as root."""
    flags = flags_of(rclone_share({"options": {"links": True}}))
    assert (flags.get("links"), flags["vfs-links"]) == (None, "true")


@pytest.mark.parametrize("name", ["override.metadata_mapper", "global.rc_addr", "Key-File"])
def test_names_that_are_no_option_of_a_remote_are_refused(name: str) -> None:
    """Dotted names would set rclone's own flags from within a section."""
    with pytest.raises(MountError, match="is not an option") as caught:
        command_for(rclone_share({"config": {name: "x"}}))
    assert caught.value.code is ErrorCode.BAD_SPEC


@pytest.mark.parametrize(
    ("block", "paths"),
    [
        pytest.param({}, (), id="no local"),
        pytest.param({"type": "local", "path": "/srv/x/", "config": {}}, ("/srv/x",), id="local"),
        pytest.param({"type": "alias", "config": {"remote": "/srv/a"}}, ("/srv/a",), id="path in a wrapper"),
        pytest.param(
            {"type": "crypt", "config": {"remote": "disk:/srv/b"}, "remotes": {"disk": {"type": "local"}}},
            ("/srv/b",),
            id="through a section",
        ),
        pytest.param(
            {
                "type": "union",
                "config": {"upstreams": '/srv/a:ro "disk:/srv/b c"'},
                "remotes": {"disk": {"type": "local"}},
            },
            ("/srv/a", "/srv/b c"),
            id="union",
        ),
        pytest.param(
            {"type": "combine", "config": {"upstreams": "one=/srv/a two=/srv/b"}}, ("/srv/a", "/srv/b"), id="combine"
        ),
        pytest.param(
            {"type": "alias", "path": "b/./c/", "config": {"remote": "/srv/a"}},
            ("/srv/a", "/srv/a/b/c"),
            id="with the path within a wrapper",
        ),
        pytest.param(
            {
                "type": "combine",
                "path": "two/sub",
                "config": {"upstreams": "one=/srv/a two=up:b"},
                "remotes": {"up": {"type": "alias", "remote": "disk:/srv"}, "disk": {"type": "local"}},
            },
            ("/srv/a", "/srv", "/srv/b", "/srv/b/sub"),
            id="with the paths of all wrappers",
        ),
        pytest.param(
            {"type": "crypt", "path": "sub", "config": {"remote": "/srv/a"}}, ("/srv/a",), id="encrypted names"
        ),
        pytest.param(
            {"type": "crypt", "path": "sub", "config": {"remote": "/srv/a", "filename_encryption": "off"}},
            ("/srv/a", "/srv/a/sub"),
            id="plain names",
        ),
    ],
)
def test_every_directory_of_the_guest_is_named_to_the_policy(block: dict[str, Any], paths: tuple[str, ...]) -> None:
    """However deeply remotes wrap each other, the guest's source roots hold."""
    assert RcloneDriver().source_paths(rclone_share({"path": ""} | block)) == paths


@pytest.mark.parametrize(
    "block",
    [
        pytest.param({"type": "alias", "config": {"remote": ":local:/etc"}}, id="remote in place"),
        pytest.param({"type": "alias", "config": {"remote": ":sftp,ssh='sh':x"}}, id="remote in place with options"),
        pytest.param(
            {"type": "alias", "config": {"remote": "a,copy_links=true:/srv"}, "remotes": {"a": {"type": "local"}}},
            id="options in place",
        ),
        pytest.param({"type": "crypt", "config": {"remote": "weft:x"}}, id="itself"),
        pytest.param({"type": "crypt", "config": {"remote": "other:x"}}, id="not in the share"),
        pytest.param({"type": "local", "path": "srv", "config": {}}, id="relative"),
        pytest.param({"type": "local", "path": "/srv/../etc", "config": {}}, id="upwards"),
        pytest.param({"type": "alias", "path": "../etc", "config": {"remote": "/srv"}}, id="upwards through a wrapper"),
        pytest.param(
            {"type": "alias", "config": {"remote": "b:../etc"}, "remotes": {"b": {"type": "alias", "remote": "/srv"}}},
            id="upwards through two",
        ),
        pytest.param({"type": "union", "config": {"upstreams": "/srv :local:/etc"}}, id="second of two"),
        pytest.param({"type": "s3", "config": {"type": "local"}}, id="two types"),
        pytest.param({"remotes": {"weft": {"type": "local"}}}, id="our section"),
        pytest.param({"remotes": {"a": {"provider": "x"}}}, id="section without type"),
        pytest.param(
            {"remotes": {"weft.a": {"type": "local"}}}, id="a section that inherits the mounted one's options"
        ),
        pytest.param({"remotes": {"a": {"type": "s3"}, "a.b.c": {"type": "local"}}}, id="options of another section"),
        pytest.param({"remotes": {"local": {"type": "sftp"}}}, id="options for plain paths"),
    ],
)
def test_what_would_hide_a_directory_of_the_guest_is_refused(block: dict[str, Any]) -> None:
    """Whatever cannot be followed to its end could read anything as root."""
    with pytest.raises(MountError) as caught:
        RcloneDriver().source_paths(rclone_share(block))
    assert caught.value.code is ErrorCode.BAD_SPEC
    with pytest.raises(MountError):
        command_for(rclone_share(block))


def test_only_new_keys_are_applied_live() -> None:
    """A running S3 remote takes on keys; everything else needs a remount."""
    old = rclone_share()
    config = dict(old.rclone.config) if old.rclone else {}
    rotated = rclone_share({"config": config | {"access_key_id": "NEW", "secret_access_key": "new"}}, refresh=3)
    moved = rclone_share({"config": config | {"endpoint": "http://elsewhere"}})
    can_apply = RcloneDriver().can_apply_live
    assert can_apply(old, rotated)
    assert not can_apply(old, moved)
    assert not can_apply(old, rclone_share({"path": "bucket2"}))
    assert not can_apply(old, rclone_share(readonly=True))
    assert not can_apply(old, rclone_share({"type": "b2"}))
    assert not can_apply(old, rclone_share({"config": {**config, "session_token": "t"}}))


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("1.75.2", (1, 75)), ("1.60.1-DEV", (1, 60)), ("1.70.0-beta.8.g1", (1, 70)), ("own-build", None), ("", None)],
)
def test_versions_are_read_as_far_as_they_are_numbers(version: str, numbers: tuple[int, int] | None) -> None:
    """Distributions append to them."""
    assert parse_version(version) == numbers


def test_an_rclone_that_is_too_old_is_named() -> None:
    """Debian 12's has no control socket."""
    with pytest.raises(CommandNotFoundError, match=r"rclone 1\.60\.1-DEV is too old, 1\.69 or newer") as caught:
        check_version(rclone_share(), "1.60.1-DEV")
    assert caught.value.code is ErrorCode.HELPER_MISSING
    check_version(rclone_share(), "1.69.0")
    check_version(rclone_share(), None)


@pytest.mark.parametrize(
    ("output", "code", "is_permanent"),
    [
        pytest.param("NOTICE: Fatal error: unknown flag: --vfs-new", "bad_spec", True, id="flag"),
        pytest.param('invalid argument "bogus" for "--vfs-cache-mode" flag', "bad_spec", True, id="value"),
        pytest.param('didn\'t find backend called "nosuch"', "bad_spec", True, id="type"),
        pytest.param("api error InvalidAccessKeyId: The Access Key Id", "auth", True, id="S3 key"),
        pytest.param("StatusCode: 403, api error SignatureDoesNotMatch: x", "auth", True, id="S3 secret"),
        pytest.param("api error AccessDenied: Access Denied", "denied", True, id="S3 right"),
        pytest.param("api error NoSuchBucket: gone", "not_found", True, id="bucket"),
        pytest.param("ERROR : error listing: directory not found", "not_found", True, id="directory"),
        pytest.param("ssh: unable to authenticate, attempted methods", "auth", True, id="SFTP password"),
        pytest.param("couldn't connect SSH: dial tcp 10.0.0.1:22: i/o timeout", "unreachable", False, id="SFTP host"),
        pytest.param("net/http: timeout awaiting response headers", "unreachable", False, id="silent server"),
        pytest.param("Propfind: 401 Unauthorized", "auth", True, id="WebDAV password"),
        pytest.param("dial tcp: lookup x on 1.1.1.1:53: no such host", "unreachable", False, id="name"),
        pytest.param('exec: "fusermount3": executable file not found in $PATH', "fuse_missing", False, id="fuse"),
        pytest.param("tls: failed to verify certificate: x509: certificate signed by", "auth", True, id="certificate"),
    ],
)
def test_what_rclone_logs_becomes_a_code(output: str, code: str, is_permanent: bool) -> None:
    """Its exit codes say little, the servers' own words say all."""
    failure = Failure(exit_code=1, output=f"2026/01/01 00:00:00 ERROR : {output}")
    error = RcloneDriver().classify(context_for(rclone_share()), failure)
    assert (error.code, error.is_permanent) == (code, is_permanent)
    assert output in error.detail
