"""Every form of ``--from``, and every way to get one wrong."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.rclone_source import RcloneConf, Section
from controlplane.source import parse_source
from weft.errors import ConfigError
from weft.wire.share import parse_share

SECTIONS: dict[str, Section] = {
    "minio": {"type": "s3", "provider": "Minio", "endpoint": "http://10.0.0.1:9000", "secret_access_key": "s3cr3t"},
    "vault": {"type": "crypt", "remote": "minio:vault", "password": "IHRYaFnYoJVAw8t6E1JlfP4pfZOMzP8ecHw"},
    "deep vault": {"type": "crypt", "remote": "vault:more"},
    "both": {"type": "combine", "upstreams": 'docs=minio:docs "all of it=vault:"'},
    "one": {"type": "union", "upstreams": "minio:a:ro /local/dir vault:b"},
    "broken": {"type": "alias", "remote": "nowhere:x"},
    "keyed": {"type": "sftp", "host": "files", "key_file": "/home/me/.ssh/id"},
    "typeless": {"endpoint": "x"},
}


CONF = RcloneConf("rclone.conf", lambda: SECTIONS)


@pytest.mark.parametrize(
    ("text", "backend", "block"),
    [
        pytest.param(
            "cubefs://team@m1:17010,m2:17010/vol/a/b",
            "cubefs",
            {"volume": "vol", "masters": ["m1:17010", "m2:17010"], "owner": "team", "subdir": "a/b"},
            id="cubefs with subdirectory",
        ),
        pytest.param(
            "cubefs://team@m1/vol",
            "cubefs",
            {"volume": "vol", "masters": ["m1:17010"], "owner": "team"},
            id="cubefs with the usual port",
        ),
        pytest.param("nfs://nas/export/home", "nfs", {"server": "nas", "export": "/export/home"}, id="nfs"),
        pytest.param(
            "nfs://nas:2050/x", "nfs", {"server": "nas", "export": "/x", "options": "port=2050"}, id="nfs port"
        ),
        pytest.param("virtiofs:tools", "virtiofs", {"tag": "tools"}, id="virtiofs"),
        pytest.param("virtiofs:", "virtiofs", {}, id="virtiofs, tag is the share's id"),
        pytest.param("9p:tools", "virtio9p", {"tag": "tools"}, id="9p"),
        pytest.param("bind:/srv/data", "bind", {"source": "/srv/data"}, id="bind"),
        pytest.param(
            ':s3,provider=Minio,endpoint="http://h:9000":bucket/path',
            "rclone",
            {"type": "s3", "path": "bucket/path", "config": {"provider": "Minio", "endpoint": "http://h:9000"}},
            id="connection string with quotes",
        ),
        pytest.param(
            ":webdav,url='http://h/it''s,here',no-check:dir",
            "rclone",
            {"type": "webdav", "path": "dir", "config": {"url": "http://h/it's,here", "no_check": "true"}},
            id="connection string with doubled quotes and a bare flag",
        ),
        pytest.param(
            ":local:/srv", "rclone", {"type": "local", "path": "/srv"}, id="connection string without options"
        ),
        pytest.param(
            "minio:docs/2027",
            "rclone",
            {
                "type": "s3",
                "path": "docs/2027",
                "config": {"provider": "Minio", "endpoint": "http://10.0.0.1:9000", "secret_access_key": "s3cr3t"},
            },
            id="section of rclone.conf",
        ),
        pytest.param(
            "minio,provider=AWS:docs",
            "rclone",
            {
                "type": "s3",
                "path": "docs",
                "config": {"provider": "AWS", "endpoint": "http://10.0.0.1:9000", "secret_access_key": "s3cr3t"},
            },
            id="section with an option of its own",
        ),
    ],
)
def test_source_becomes_a_block(text: str, backend: str, block: dict[str, Any]) -> None:
    """Each form names its backend and block, and the contract accepts it."""
    source = parse_source(text, CONF)

    assert (source.backend, source.block) == (backend, block)
    assert parse_share({"id": "x", "mount_point": "/mnt/x", "backend": backend, backend: block}).backend_name == backend


def test_obscured_passwords_travel_in_plain_text() -> None:
    """The guest's driver obscures; what travels is the password itself."""
    block = parse_source("vault:", CONF).block

    assert block["config"] == {"remote": "minio:vault", "password": "hunter2 ü"}


@pytest.mark.parametrize(
    ("text", "wrapped"),
    [
        pytest.param("vault:", {"minio"}, id="crypt"),
        pytest.param("deep vault:", {"vault", "minio"}, id="crypt over crypt"),
        pytest.param("both:", {"minio", "vault"}, id="combine"),
        pytest.param("one:", {"minio", "vault"}, id="union"),
        pytest.param(':crypt,remote="minio:x":', {"minio"}, id="connection string"),
    ],
)
def test_wrapped_sections_travel_along(text: str, wrapped: set[str]) -> None:
    """A remote that wraps others brings their sections, however deep."""
    block = parse_source(text, CONF).block

    assert set(block["remotes"]) == wrapped
    assert block["remotes"]["minio"] == SECTIONS["minio"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("/srv/data", "expected name:path", id="a path"),
        pytest.param("nothing", "expected name:path", id="a word"),
        pytest.param("ftp://h/x", "cannot use --from ftp://", id="unknown scheme"),
        pytest.param("minoi:docs", "did you mean minio?", id="misspelt section"),
        pytest.param("broken:", "'nowhere'", id="wrapped section missing"),
        pytest.param("typeless:", "has no type", id="section without type"),
        pytest.param(":s3,endpoint=http://h:9:b", "needs quotes", id="value without quotes"),
        pytest.param(":s3,endpoint", "then :path", id="no path"),
        pytest.param(":", "expected", id="only a colon"),
        pytest.param("cubefs://m1:17010/vol", "owner@ missing", id="cubefs without owner"),
        pytest.param("cubefs://team@m1:17010", "/volume missing", id="cubefs without volume"),
        pytest.param("nfs://nas", "nfs://server/export", id="nfs without export"),
        pytest.param("bind:srv", "absolute directory", id="bind, relative"),
        pytest.param("vault,password=plain:", "cannot reveal", id="password that is not obscured"),
    ],
)
def test_a_wrong_source_is_one_sentence(text: str, said: str) -> None:
    """What is wrong, and what was expected, stands in the error."""
    with pytest.raises(ConfigError, match="cannot") as caught:
        parse_source(text, CONF)
    assert said in str(caught.value)


def test_a_key_in_a_cubefs_source_is_refused_unrepeated() -> None:
    """A key in the command line is refused, and does not come back in the error."""
    with pytest.raises(ConfigError, match="--secret") as caught:
        parse_source("cubefs://team:hunter2@m1/vol", CONF)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(":s3,secret_access_key=abc:b", "history", id="secret in the command line"),
        pytest.param("keyed:", "key_file=/home/me/.ssh/id", id="file of the operator's machine"),
    ],
)
def test_doubtful_sources_are_warned_about(text: str, said: str) -> None:
    """What will surprise later is said now, without the secret."""
    warnings = " ".join(parse_source(text, CONF).warnings)

    assert said in warnings
    assert "abc" not in warnings


def test_a_source_never_shows_its_block() -> None:
    """A repr in a log or an error holds no secret."""
    assert "s3cr3t" not in repr(parse_source("minio:docs", CONF))
