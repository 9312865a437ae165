"""Where an operator's broker comes from: flags, environment, contexts, default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weft.errors import ConfigError
from weft.link.context import options_from


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the contexts ``school`` (selected) and ``lab``."""
    write_context(tmp_path, "school", url="nats://school:4222", creds="~/school.creds")
    write_context(tmp_path, "lab", url="nats://lab1:4222, nats://lab2:4222", user="teacher", password="hunter2")
    (tmp_path / ".config/nats/context.txt").write_text("school\n")
    return tmp_path


def write_context(home: Path, name: str, **settings: object) -> None:
    path = home / ".config/nats/context" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"description": "", "nkey": "", "token": "", **settings}))


def test_default_is_the_local_broker(tmp_path: Path) -> None:
    """Without any configuration the development broker is meant."""
    options = options_from(environ={}, home=tmp_path)
    assert options.servers == ("nats://127.0.0.1:4222",)
    assert options.creds is None


def test_selected_context_is_used(home: Path) -> None:
    """What ``nats context select`` chose holds for weft too, with ``~`` meaning the home."""
    options = options_from(environ={}, home=home)
    assert options.servers == ("nats://school:4222",)
    assert options.creds == home / "school.creds"


def test_environment_goes_before_the_selected_context(home: Path) -> None:
    """NATS_URL and NATS_CREDS win over a context that nobody named."""
    environ = {"NATS_URL": "nats://env:1", "NATS_CREDS": "/env.creds"}
    options = options_from(environ=environ, home=home)
    assert (options.servers, options.creds) == (("nats://env:1",), Path("/env.creds"))


def test_context_variable_goes_before_the_selected_context(home: Path) -> None:
    """NATS_CONTEXT names another one; several servers may stand in it."""
    options = options_from(environ={"NATS_CONTEXT": "lab"}, home=home)
    assert options.servers == ("nats://lab1:4222", "nats://lab2:4222")
    assert (options.user, options.password) == ("teacher", "hunter2")


def test_flags_go_before_everything(home: Path) -> None:
    """A flag wins over environment and context; a context named by a flag wins over the environment."""
    environ = {"NATS_URL": "nats://env:1", "NATS_CONTEXT": "school"}
    assert options_from(server="nats://flag:1", environ=environ, home=home).servers == ("nats://flag:1",)
    assert options_from(context="lab", environ=environ, home=home).servers[0] == "nats://lab1:4222"


def test_logins_of_two_sources_are_never_mixed(home: Path) -> None:
    """Credentials from a flag keep the context's user and password out."""
    options = options_from(context="lab", creds="/my.creds", environ={}, home=home)
    assert options.creds == Path("/my.creds")
    assert options.user is options.password is None
    assert options.servers[0] == "nats://lab1:4222"


def test_user_without_password_is_a_token(tmp_path: Path) -> None:
    """The nats command reads it so."""
    options = options_from(environ={"NATS_USER": "s3cret"}, home=tmp_path)
    assert (options.token, options.user) == ("s3cret", None)


def test_nkey_file_is_read(tmp_path: Path) -> None:
    """A context names a file with the seed in it."""
    (tmp_path / "me.nk").write_text("SUSEED\n")
    write_context(
        tmp_path, "k", nkey="~/me.nk", ca="/ca.pem", cert="/c.pem", key="/k.pem", inbox_prefix="_I", tls_first=True
    )
    options = options_from(context="k", environ={}, home=tmp_path)
    assert options.nkey_seed == "SUSEED"
    assert (options.tls_ca, options.tls_cert, options.tls_key) == (Path("/ca.pem"), Path("/c.pem"), Path("/k.pem"))
    assert (options.inbox_prefix, options.tls_first) == ("_I", True)


def test_configuration_folder_follows_the_desktop_convention(home: Path, tmp_path: Path) -> None:
    """XDG_CONFIG_HOME moves the contexts."""
    write_context(tmp_path / "x", "school", url="nats://moved:1")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "x" / ".config"), "NATS_CONTEXT": "school"}
    assert options_from(environ=environ, home=home).servers == ("nats://moved:1",)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("labb", "known are lab, school", id="unknown, known ones listed"),
        pytest.param("../lab", "as the name of a context", id="path instead of a name"),
    ],
)
def test_unknown_context_is_refused(home: Path, name: str, why: str) -> None:
    """A wrong name is a clear error, never the default broker."""
    with pytest.raises(ConfigError, match=why):
        options_from(context=name, environ={}, home=home)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param("{", "not JSON", id="not JSON"),
        pytest.param("[]", "not a JSON object", id="not an object"),
        pytest.param('{"url": 4222}', "'url': it must be a string", id="URL of another type"),
        pytest.param('{"nsc": "nsc://o/a/u"}', "cannot honour 'nsc'", id="login that weft does not know"),
        pytest.param('{"url": "ftp://a"}', "ftp://a", id="URL that is none"),
        pytest.param('{"nkey": "/nowhere/me.nk"}', "cannot read /nowhere/me.nk", id="missing nkey file"),
    ],
)
def test_damaged_context_is_refused(home: Path, content: str, why: str) -> None:
    """What a context asks for is done or refused, never left out silently."""
    (home / ".config/nats/context/bad.json").write_text(content)
    with pytest.raises(ConfigError, match=why):
        options_from(context="bad", environ={}, home=home)
