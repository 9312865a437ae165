"""``--set`` and ``--secret``: fields found by their declarations, values typed, literals refused."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.assign import assigned, field_names, looks_secret, parse_secret, parse_set
from weft.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        pytest.param("readonly=true", "readonly", True, id="boolean"),
        pytest.param("priority=-3", "priority", -3, id="number"),
        pytest.param("umask=0022", "umask", "0022", id="octal text"),
        pytest.param("cache.size_mb=512", "cache.size_mb", 512, id="nested"),
        pytest.param("cubefs.masters=a:1, b:2", "cubefs.masters", ("a:1", "b:2"), id="list"),
        pytest.param("expires_at=2027-01-01T00:00:00Z", "expires_at", "2027-01-01T00:00:00Z", id="instant"),
        pytest.param("rclone.config.endpoint=http://h=1", "rclone.config.endpoint", "http://h=1", id="entry of a map"),
        pytest.param("rclone.remotes.b.type=s3", "rclone.remotes.b.type", "s3", id="entry of a map of maps"),
        pytest.param("nfs.options=", "nfs.options", None, id="removal"),
        pytest.param("cubefs.secret_key=credential:share.k", "cubefs.secret_key", "credential:share.k", id="reference"),
    ],
)
def test_set_is_typed_by_the_declaration(text: str, name: str, value: Any) -> None:
    """The text becomes what the field's type says."""
    field, typed = parse_set(text)

    assert (field.name, typed) == (name, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("readonly", "expected field=value", id="no value"),
        pytest.param("readnly=true", "did you mean readonly?", id="misspelt"),
        pytest.param("readonly=perhaps", "'perhaps' for readonly", id="no boolean"),
        pytest.param("uid=-1", "'-1' for uid", id="out of range"),
        pytest.param("expires_at=tomorrow", "'tomorrow' for expires_at", id="no instant"),
        pytest.param("cache=1", "cache.size_mb", id="a struct"),
        pytest.param("rclone.config=1", "rclone.config.NAME", id="a map"),
        pytest.param("readonly.x=1", "has no fields", id="below a value"),
        pytest.param("id=x", "first argument", id="the id"),
        pytest.param("action=unmount", "unpublish", id="the action"),
    ],
)
def test_a_wrong_set_is_one_sentence(text: str, said: str) -> None:
    """The error names field and value, and what was expected."""
    with pytest.raises(ConfigError, match="cannot") as caught:
        parse_set(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text", ["cubefs.secret_key=hunter2", "rclone.config.pass=hunter2", "rclone.remotes.b.client_secret=hunter2"]
)
def test_set_refuses_a_secret_and_says_why(text: str) -> None:
    """A secret has no place in a command line; the error names the way that keeps it out, and not the secret."""
    with pytest.raises(ConfigError, match="history") as caught:
        parse_set(text)
    assert "--secret" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("cubefs.secret_key=@/run/key", "file", "/run/key"),
        ("cubefs.secret_key=@-", "stdin", "-"),
        ("rclone.config.access_key_id=env:KEY", "env", "KEY"),
        ("rclone.config.pass=credential:share.pass", "credential", "share.pass"),
    ],
)
def test_secret_says_where_it_is(text: str, kind: str, name: str) -> None:
    """Each form names a place."""
    source = parse_secret(text)

    assert (source.kind, source.name) == (kind, name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("cubefs.secret_key=hunter2", "literal|history", id="literal"),
        pytest.param("cubefs.secret_key=", "history", id="empty"),
        pytest.param("cubefs.secret_key=@", "history", id="no file"),
        pytest.param("hunter2", "expected field=@FILE", id="no field"),
        pytest.param("readonly=@x", "not secret", id="public field"),
        pytest.param("cubefs.secret_key=credential:other", r"share\.\*", id="credential guests do not resolve"),
    ],
)
def test_a_wrong_secret_is_never_repeated(text: str, said: str) -> None:
    """A literal is refused, with the reason, and does not come back."""
    with pytest.raises(ConfigError, match=said) as caught:
        parse_secret(text)
    assert "hunter2" not in str(caught.value)


def test_secret_names_are_guessed_and_identifiers_are_not() -> None:
    """What rclone marks sensitive by name is a secret; an access key's id and harmless options are not."""
    assert all(map(looks_secret, ("pass", "secret_access_key", "token", "key_pem", "client_secret", "sas_url")))
    assert not any(map(looks_secret, ("access_key_id", "endpoint", "env_auth", "user", "key_file", "chunk_size")))


def test_assigning_leaves_the_original_alone() -> None:
    """Values go in, new values come out; removing what is not there is nothing."""
    values = {"cache": {"ttl_s": 1}}

    assert assigned(values, ("cache", "size_mb"), 2) == {"cache": {"ttl_s": 1, "size_mb": 2}}
    assert assigned(values, ("cache", "ttl_s"), None) == {"cache": {}}
    assert values == {"cache": {"ttl_s": 1}}


def test_every_declared_field_can_be_named() -> None:
    """Fields of the share, of each block and of maps stand in the list that suggestions come from."""
    assert {"readonly", "cubefs.subdir", "rclone.config.NAME", "nfs.export", "cache.ttl_s", "bind.source"} <= set(
        field_names()
    )
