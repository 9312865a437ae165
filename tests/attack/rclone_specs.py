"""Hostile rclone specs as data: what a publisher may write to run a command or reach the guest's own files as root."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

Block = dict[str, Any]

RUN = "@RUN@"
"""Stands for a program of the guest that leaves a mark when it is run, and a secret in what it prints."""
OUT = "@OUT@"
"""Stands for a directory of the guest outside the source roots."""
SOURCE = "@SOURCE@"
"""Stands for a directory that may be shown; beside it lies ``link``, a symbolic link to :data:`OUT`."""
SECRET = "hunter2-very-secret"

WRAPPERS = ("alias", "archive", "cache", "chunker", "compress", "crypt", "hasher")
LISTS = ("union", "combine")
BASE = {"crypt": {"password": SECRET, "filename_encryption": "off", "directory_name_encryption": "false"}}
SFTP = {"type": "sftp", "host": "127.0.0.1", "port": "1", "user": "x", "pass": SECRET}

IN_PLACE = (
    f':sftp,host=h,ssh="{RUN}":',
    f":sftp,host=h,ssh='{RUN}':x",
    f":webdav,url='http://127.0.0.1:1',bearer_token_command='{RUN}':",
    f":local:{OUT}",
    f":local,copy_links:{OUT}",
    f":alias,remote='{OUT}':",
    f":archive:{OUT}",
    f":union,upstreams='{OUT} {SOURCE}':",
    f":memory,override.metadata_mapper={RUN}:",
    f":local,global.password_command={RUN}:{OUT}",
    f"weft,ssh={RUN}:",
    f"disk,encoding=None:{SOURCE}/．．",
    f"disk,copy_links=true:{SOURCE}",
    f"disk,type=sftp,ssh={RUN}:",
    f"local,copy_links:{SOURCE}",
    f"local:{OUT}",
)
"""Remotes and options given in place."""

NOWHERE = (
    "", " ", ".", "..", "./x", "etc", "../../etc", "~", "~/x", "$HOME", "${HOME}/x", "%HOME%", "weft:", "weft:x",
    "other:x", "disk", "disk:", "disk:etc", "disk:../etc", ":", "::", "//", "//etc", "C:\\", "\\\\?\\C:\\x", "file:///etc",
    "disk :/x", "-x", "--config=/x", "\t/etc", " /etc", "/etc ", "\u00a0/etc", "up:..", "up:../../etc", "up:a/../../b",
)  # fmt: skip
"""What is neither a section of the share nor an absolute path, or leads upwards."""

OUTSIDE = (
    OUT, "/", "/etc", "/root", "/proc/self/root", "/proc/1/root/etc", f"{SOURCE}/../etc", f"{SOURCE}/./../etc",
    f"{SOURCE}//..", f"{SOURCE}/．．/．．/etc", f"{SOURCE}/．", f"{SOURCE}／．．／etc", f"{SOURCE}/‛．．",
    f"{SOURCE}/a␀", f"{SOURCE}/a␊b", f"{SOURCE}/a␁b", f"{SOURCE}/␡", f"{SOURCE}x", f"{SOURCE}:/../../etc",
    f"{SOURCE}\x00/etc", f"{SOURCE}\x1f", f"{SOURCE}/link", f"{SOURCE}/link/sub", f"disk:{OUT}", f"disk:{SOURCE}/link",
    "up:link", "up:link/sub", f"{OUT}:ro", f"{OUT}:nc", f"disk:{OUT}:writeback",
)  # fmt: skip
"""Paths that end outside the source roots, or that rclone reads as others than the policy does."""

REMOTES = {"disk": {"type": "local"}, "up": {"type": "alias", "remote": SOURCE}, "far": {"type": "memory"}}

TOUCHING: tuple[tuple[str, str, object], ...] = (
    ("sftp", "ssh", RUN),
    ("sftp", "ssh", "none"),
    ("sftp", "ssh", "false"),
    ("sftp", "key_file", f"{OUT}/key"),
    ("sftp", "key_file", "none"),
    ("sftp", "pubkey_file", f"{OUT}/key"),
    ("sftp", "known_hosts_file", f"{OUT}/key"),
    ("sftp", "known_hosts_file", "None"),
    ("sftp", "key_use_agent", True),
    ("sftp", "key_use_agent", "1"),
    ("webdav", "bearer_token_command", RUN),
    ("webdav", "unix_socket", "/run/docker.sock"),
    ("s3", "env_auth", True),
    ("s3", "env_auth", "T"),
    ("s3", "shared_credentials_file", "/root/.aws/credentials"),
    ("s3", "sdk_log_mode", "Signing,Request"),
    ("drive", "service_account_file", f"{OUT}/key"),
    ("drive", "env_auth", "true"),
    ("gcs", "service_account_file", f"{OUT}/key"),
    ("gcs", "env_auth", 1),
    ("google cloud storage", "service_account_file", f"{OUT}/key"),
    ("googlecloudstorage", "env_auth", "true"),
    ("azureblob", "env_auth", True),
    ("azureblob", "use_az", True),
    ("azureblob", "use_msi", True),
    ("azureblob", "client_certificate_path", f"{OUT}/key"),
    ("azureblob", "service_principal_file", f"{OUT}/key"),
    ("azurefiles", "use_az", "true"),
    ("azurefiles", "use_msi", "true"),
    ("azurefiles", "service_principal_file", f"{OUT}/key"),
    ("swift", "env_auth", True),
    ("qingstor", "env_auth", True),
    ("box", "box_config_file", f"{OUT}/key"),
    ("smb", "use_kerberos", True),
    ("smb", "kerberos_ccache", "/tmp/krb5cc_0"),
    ("hdfs", "service_principal_name", "nn/host"),
    ("local", "copy_links", True),
    ("local", "links", True),
    ("local", "encoding", "None"),
    ("local", "encoding", "none"),
    ("local", "encoding", "Raw"),
    ("local", "encoding", "false"),
    ("local", "encoding", "Slash"),
    ("local", "unicode_normalization", True),
    ("local", "metadata_restore_special_bits", True),
    ("oracleobjectstorage", "config_file", f"{OUT}/key"),
    ("oos", "provider", "env_auth"),
    ("cache", "db_path", OUT),
    ("cache", "chunk_path", OUT),
    ("cache", "tmp_upload_path", OUT),
    ("s3", "some_new_command", RUN),
    ("sftp", "some_new_option", RUN),
    ("union", "remotes", f"{OUT} {SOURCE}"),
    ("alias", "remotes", OUT),
    ("alias", "upstreams", OUT),
    ("memory", "remote", OUT),
    ("s3", "override.metadata_mapper", RUN),
    ("s3", "global.password_command", RUN),
    ("s3", "override.http_proxy", "http://127.0.0.1:1"),
    ("s3", "vfs_cache_mode", "full"),
    ("s3", "Type", "local"),
    ("s3", "TYPE", "local"),
    ("s3", "description\n[disk]", "x"),
    ("s3", "a b", "x"),
    ("s3", "a=b", "x"),
    ("s3", "[disk]", "x"),
    ("s3", "-", "x"),
    ("s3", "description", "x\n[disk]\nencoding = None"),
    ("s3", "description", "x\r\nencoding = None"),
    ("s3", "description", "%(type)s"),
    ("s3", "description", '`"""'),
)
"""Type, option, value: options that run commands, read files here, log in as the guest, or break out of their line."""

TYPES = (
    "archive", "cache", "oracleobjectstorage", "oos", "LOCAL", "Local", "local ", "local\n", "sftp,ssh=x", ":local",
    "weft", "no-such-type", "press", "teldrive", "", "-x", "true",
)  # fmt: skip

FLAGS = (
    "config", "password-command", "metadata-mapper", "cache-dir", "temp-dir", "log-file", "log-level", "rc-addr", "rc",
    "rc-files", "rc-htpasswd", "rc-serve", "rc-template", "metrics-addr", "metrics-template", "ca-cert", "client-cert",
    "client-key", "client-pass", "http-proxy", "files-from", "files-from-raw", "files-from0", "filter-from",
    "include-from", "exclude-from", "metadata-filter-from", "metadata-include-from", "metadata-exclude-from",
    "backup-dir", "compare-dest", "copy-dest", "cpuprofile", "memprofile", "dump", "use-server-modtime=x", "header",
    "header-upload", "header-download", "allow-root", "allow-other", "allow-non-empty", "daemon", "daemon-timeout",
    "devname", "volname", "fuse-flag", "option", "o", "debug-fuse", "local-copy-links", "copy-links", "L",
    "local-encoding", "local-links", "sftp-ssh", "sftp-key-file", "webdav-bearer-token-command", "webdav-unix-socket",
    "s3-env-auth", "union-upstreams", "alias-remote", "gcs-service-account-file", "syslog", "v", "vv", "n", "read-only",
    "uid", "gid", "umask", "auto-confirm", "ask-password", "vfs-no-such-thing", "vfs-cache-dir", "vfs-../x",
    "name-transform", "loopback", "max-delete", "track-renames", "no-console", "color", "interactive", "dry-run",
)  # fmt: skip


def hostile_specs() -> Iterator[tuple[str, Block]]:
    """Yield what is tried, and the block; every single one must be refused before anything is started."""
    yield from _wrappers_around_nothing()
    yield from _references()
    yield from _touching_options()
    for remote_type in TYPES:
        yield f"type {remote_type!r}", {"type": remote_type, "path": SOURCE}
        yield f"type {remote_type!r} below", _below({"type": remote_type})
    for name in FLAGS:
        for spelled in dict.fromkeys((name, name.replace("-", "_"), f"--{name}")):
            yield f"flag {spelled}", {"type": "memory", "options": {spelled: RUN}}
    yield from _sections()
    yield from _knots()


def _wrappers_around_nothing() -> Iterator[tuple[str, Block]]:
    """Some wrappers take what they wrap out of the path if it is not given."""
    for wrapper, path in itertools.product((*WRAPPERS, *LISTS), (*IN_PLACE, OUT, SOURCE, "", "disk:/etc", "x")):
        name = "upstreams" if wrapper in LISTS else "remote"
        for config in ({}, {name: ""}, {name: False}):
            block = {"type": wrapper, "path": path, "config": {**BASE.get(wrapper, {}), **config}, "remotes": REMOTES}
            yield f"{wrapper} around nothing, path {path!r}, {config}", block
    for wrapper in WRAPPERS:
        wrapped = {"type": wrapper, **BASE.get(wrapper, {})}
        for path in IN_PLACE[:4]:
            yield f"{wrapper} below, path {path!r}", _below(wrapped, path)


def _references() -> Iterator[tuple[str, Block]]:
    for wrapper, reference in itertools.product((*WRAPPERS, *LISTS), (*IN_PLACE, *NOWHERE, *OUTSIDE)):
        yield f"{wrapper} around {reference!r}", _wrapping(wrapper, reference)
    for reference in (*IN_PLACE, *OUTSIDE):
        deep = {"type": "alias", "config": {"remote": "w:"}, "remotes": {"w": {"type": "crypt", "password": SECRET}}}
        deep["remotes"] = {**REMOTES, "w": {**deep["remotes"]["w"], "remote": reference}}
        yield f"two deep around {reference!r}", {**deep, "path": ""}
        yield f"a section that nobody uses around {reference!r}", {**deep, "type": "memory", "config": {}}
    for path in (path for path in OUTSIDE if path.startswith("/") and not path.startswith(f"{OUT}:")):
        yield f"local {path!r}", {"type": "local", "path": path}
    for path in NOWHERE:
        yield f"local {path!r}", {"type": "local", "path": path}
    for wrapper, path in itertools.product(
        ("alias", "hasher", "chunker", "compress", "crypt"), ("link", "link/sub", "..")
    ):
        yield f"{wrapper} and {path!r} within", {**_wrapping(wrapper, SOURCE), "path": path}
    yield "union and a link within", {**_wrapping("union", SOURCE), "path": "./link//"}
    yield "combine and a link within", {**_wrapping("combine", SOURCE), "path": "a/link"}


def _touching_options() -> Iterator[tuple[str, Block]]:
    for remote_type, name, value in TOUCHING:
        more = dict(SFTP) if remote_type == "sftp" else {}
        if remote_type in ("union", "combine"):
            more["upstreams"] = f"{SOURCE} {SOURCE}"
        if remote_type == "alias":
            more["remote"] = SOURCE
        config = {key: text for key, text in more.items() if key != "type"}
        label = f"{remote_type} with {name!r}={value!r}"
        yield label, {"type": remote_type, "path": SOURCE, "config": {**config, name: value}}
        yield f"{label} below", _below({"type": remote_type, **config, name: value}, SOURCE)
        yield f"{label} unused", {"type": "memory", "remotes": {"r": {"type": remote_type, **config, name: value}}}


def _sections() -> Iterator[tuple[str, Block]]:
    loose = {**SFTP, "encoding": "None"}
    for parent, child in (("a", "a.b"), ("a", "a.b.c"), ("a.b", "a.b.c"), ("weft", "weft.a")):
        remotes = {child: {"type": "local"}} | ({} if parent == "weft" else {parent: loose})
        yield f"{child} inherits from {parent}", _wrapping("alias", f"{child}:{SOURCE}", remotes=remotes)
    for name in (
        "weft",
        "",
        " ",
        ":x",
        "a:b",
        "a,b",
        "a/b",
        "a]b",
        "a\nb",
        "-a",
        ".a",
        "a b",
        "a=b",
        "#a",
        "ä",
        "a\x00",
    ):
        yield f"section {name!r}", {"type": "memory", "remotes": {name: {"type": "memory"}}}
    yield "a name of a million dots", {"type": "memory", "remotes": {"a" + ".a" * 500_000: {"type": "memory"}}}
    yield "a section for plain paths", _wrapping("alias", SOURCE, remotes={"local": loose})
    yield (
        "encoding for plain paths",
        _wrapping("alias", SOURCE, remotes={"local": {"type": "local", "encoding": "None"}}),
    )
    yield "a section without type", {"type": "memory", "remotes": {"a": {"remote": OUT}}}
    yield "two types", {"type": "memory", "path": OUT, "config": {"type": "local"}}
    yield "a type that is no text", {"type": "memory", "remotes": {"a": {"type": True}}}


def _knots() -> Iterator[tuple[str, Block]]:
    """Remotes that wrap each other in a circle keep rclone busy until its memory is full."""
    circle = {"a": {"type": "alias", "remote": "b:"}, "b": {"type": "alias", "remote": "a:"}}
    yield "a circle", _wrapping("alias", "a:", remotes=circle)
    yield "a circle that nobody uses", {"type": "memory", "remotes": circle}
    yield "a circle of itself", _wrapping("alias", "a:x", remotes={"a": {"type": "alias", "remote": "a:x"}})
    doubling: Block = {
        f"u{depth}": {"type": "union", "upstreams": f"u{depth + 1}:a u{depth + 1}:b"} for depth in range(40)
    }
    doubling["u40"] = {"type": "memory"}
    yield "two to the power of forty", _wrapping("alias", "u0:", remotes=doubling)
    many = " ".join(f"{SOURCE}/{number}" for number in range(5000))
    yield "five thousand directories", {"type": "union", "config": {"upstreams": many}}
    yield "quotes within a name", {"type": "union", "config": {"upstreams": f'{SOURCE}" {OUT}"'}}
    yield "quotes after a name", {"type": "union", "config": {"upstreams": f'"{SOURCE}"x {SOURCE}'}}
    yield "combine without a directory", {"type": "combine", "config": {"upstreams": SOURCE}}
    yield "combine with a path for a directory", {"type": "combine", "config": {"upstreams": f"../x={SOURCE}"}}


def _wrapping(wrapper: str, reference: str, remotes: Block | None = None) -> Block:
    remotes = REMOTES if remotes is None else remotes
    if wrapper in LISTS:
        words = [f"{SOURCE}", reference] if wrapper == "union" else [f"a={SOURCE}", f"b={reference}"]
        listed = " ".join(f'"{word}"' if " " in word else word for word in words if word)
        # a list of one is what an empty reference leaves, and of nothing what combine refuses
        config: Block = {"upstreams": listed if reference else ""}
    else:
        config = {"remote": reference, **BASE.get(wrapper, {})}
    return {"type": wrapper, "path": "", "config": config, "remotes": remotes}


def _below(options: Block, path: str = "x") -> Block:
    return {"type": "alias", "path": "", "config": {"remote": f"r:{path}"}, "remotes": {**REMOTES, "r": options}}


def harmless_specs() -> Iterator[tuple[str, Block]]:
    """Yield what ordinary users publish; every single one must be let through."""
    yield "s3", {
        "type": "s3", "path": "bucket/dir", "config": {
            "provider": "Minio", "env_auth": False, "endpoint": "http://127.0.0.1:1", "region": "eu", "acl": "private",
            "access_key_id": "x", "secret_access_key": SECRET, "force_path_style": True, "description": "books",
            "server_side_encryption": "AES256", "storage_class": "STANDARD", "no_check_bucket": "true",
        },
    }  # fmt: skip
    yield "sftp", {"type": "sftp", "config": {**SFTP, "key_pem": SECRET, "shell_type": "unix", "md5sum_command": "md5"}}
    yield (
        "webdav",
        {"type": "webdav", "config": {"url": "http://h", "vendor": "nextcloud", "user": "x", "pass": SECRET}},
    )
    yield "ftp", {"type": "ftp", "config": {"host": "h", "user": "x", "pass": SECRET, "explicit_tls": True}}
    yield "http", {"type": "http", "config": {"url": "http://h", "headers": "a,b", "no_head": True}}
    yield "smb", {"type": "smb", "config": {"host": "h", "domain": "D", "pass": SECRET, "use_kerberos": "false"}}
    yield (
        "azureblob",
        {"type": "azureblob", "config": {"account": "a", "key": SECRET, "sas_url": "", "use_msi": "false"}},
    )
    yield "azurefiles", {"type": "azurefiles", "config": {"account": "a", "share_name": "s", "key": SECRET}}
    yield "gcs", {"type": "gcs", "config": {"service_account_credentials": "{}", "bucket_policy_only": True}}
    for remote_type in ("drive", "onedrive", "dropbox", "box", "pcloud", "google photos", "yandex", "jottacloud"):
        config = {"client_id": "x", "client_secret": SECRET, "token": "{}"}
        if " " not in remote_type:
            yield remote_type, {"type": remote_type, "config": config}
        yield f"{remote_type} below", {
            "type": "alias", "config": {"remote": "r:"}, "remotes": {"r": {"type": remote_type, **config}},
        }  # fmt: skip
    yield "swift", {"type": "swift", "config": {"user": "x", "key": SECRET, "auth": "https://h", "tenant": "t"}}
    yield "b2", {"type": "b2", "config": {"account": "a", "key": SECRET, "hard_delete": True}}
    yield "mega", {"type": "mega", "config": {"user": "x", "pass": SECRET}}
    yield "jottacloud's own keys", {"type": "jottacloud", "config": {"configVersion": "1", "tokenURL": "https://h"}}
    yield "local", {"type": "local", "path": SOURCE, "config": {"one_file_system": True, "links": False}}
    yield "local with umlauts and blanks", {"type": "local", "path": f"{SOURCE}/Übung 1 (alt), neu=2:3"}
    for wrapper, reference in itertools.product(
        ("alias", "chunker", "compress", "crypt", "hasher", *LISTS),
        (SOURCE, f"disk:{SOURCE}", "up:", "up:sub", "far:x"),
    ):
        yield f"{wrapper} around {reference}", _wrapping(wrapper, reference)
    yield "a name with a dot", _wrapping("alias", "my.disk:x", remotes={"my.disk": {"type": "memory"}})
    yield "a section named local", _wrapping("alias", f"local:{SOURCE}", remotes={"local": {"type": "local"}})
    yield (
        "quoted",
        {"type": "union", "config": {"upstreams": f'"{SOURCE}/a b:ro" {SOURCE}:nc far:x'}, "remotes": REMOTES},
    )
    options = {"vfs-cache-mode": "full", "vfs_write_back": "1s", "transfers": 8, "links": True, "exclude": "*.tmp"}
    yield "flags", {"type": "memory", "options": options}


def random_spec(chance: random.Random) -> Block:
    """Build a spec out of ordinary and hostile pieces; about every second one is nearly ordinary."""
    is_wild = chance.random() < 0.5
    names = ["a", "b", "c"] + (["local", "weft", "a.b", "weft.x", "x y"] if is_wild else [])
    remotes = {chance.choice(names): _random_section(chance, names, is_wild) for _ in range(chance.randrange(4))}
    main = _random_section(chance, [*remotes, *names[:1]], is_wild)
    paths = ["", "sub", "a", "a/sub", "./sub//", "b/sub"]
    paths += [*NOWHERE, *OUTSIDE, *IN_PLACE] if is_wild else ["link", "a/link", OUT]
    path = SOURCE if main["type"] == "local" and chance.random() < 0.7 else chance.choice(paths)
    block = {"type": main.pop("type"), "path": path, "config": main, "remotes": remotes}
    if chance.random() < 0.3:
        block["options"] = {chance.choice([*FLAGS, "vfs-cache-mode", "links", "inplace", "metadata"]): RUN}
    return block


def _random_section(chance: random.Random, names: list[str], is_wild: bool) -> Block:
    ordinary = ["alias", "union", "combine", "crypt", "hasher", "chunker", "compress", "local", "memory"]
    remote_type = chance.choice([*ordinary, "sftp", "s3", *TYPES] if is_wild else ordinary)
    section: Block = {"type": remote_type, **BASE.get(remote_type, {})}
    if remote_type == "sftp":
        section |= SFTP
    if remote_type in LISTS:
        words = [_random_reference(chance, names, is_wild) for _ in range(chance.randrange(1, 4))]
        if remote_type == "combine":
            words = [f"{chance.choice('abc')}={word}" for word in words]
        section["upstreams"] = " ".join(f'"{word}"' if chance.random() < 0.2 else word for word in words)
    elif remote_type in WRAPPERS:
        section["remote"] = _random_reference(chance, names, is_wild)
    if is_wild and chance.random() < 0.3:
        _, name, value = chance.choice(TOUCHING)
        section[name] = value
    return section


def _random_reference(chance: random.Random, names: list[str], is_wild: bool) -> str:
    inner = ("", "sub", "sub/deep", "link", "./sub", SOURCE, f"{SOURCE}/sub", OUT)
    choices = [SOURCE, f"{SOURCE}/sub", *(f"{chance.choice(names)}:{each}" for each in inner)]
    if is_wild:
        choices += [*NOWHERE, *OUTSIDE, *IN_PLACE]
    return chance.choice(choices) + chance.choice(("", "", "", ":ro", "/"))


def fill(spec: Any, places: dict[str, str]) -> Any:
    """Put real paths in the place of the marks."""
    if isinstance(spec, dict):
        return {fill(key, places): fill(value, places) for key, value in spec.items()}
    if isinstance(spec, str):
        for mark, path in places.items():
            spec = spec.replace(mark, path)
    return spec
