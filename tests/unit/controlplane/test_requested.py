"""From flags or a file to a share."""

from __future__ import annotations

import pytest

from controlplane.assign import find_field, parse_set
from controlplane.requested import Changes, build_share, parse_share_file, secret_value, unknown_fields
from controlplane.source import Source
from weft.errors import ConfigError, DecodeError, SubjectError

BIND = Source("bind", {"source": "/srv/x"})


def test_flags_build_a_share_with_the_usual_mount_point() -> None:
    """A source and an id are enough."""
    share = build_share({"id": "docs"}, Changes(source=BIND))

    assert (share.mount_point, share.backend) == ("/run/weft/shares/docs", "bind")


def test_flags_win_over_what_was_there() -> None:
    """Each flag replaces its field; what no flag names stays."""
    values = {"id": "docs", "backend": "bind", "bind": {"source": "/a"}, "mount_point": "/mnt/a", "priority": 3}

    share = build_share(values, Changes(at="/mnt/b", readonly=True, assignments=[parse_set("bind.source=/b")]))

    assert (share.mount_point, share.readonly, share.priority) == ("/mnt/b", True, 3)
    assert share.bind is not None
    assert share.bind.source == "/b"


def test_a_new_source_leaves_no_old_block_behind() -> None:
    """Moving a share to another backend drops the old one's block, secrets and all."""
    values = {"id": "x", "cubefs": {"volume": "v", "masters": ["m:1"], "owner": "o"}, "mount_point": "/mnt/x"}

    share = build_share(values, Changes(source=BIND))

    assert share.cubefs is None


@pytest.mark.parametrize("path", ["/etc/weft", "/usr/bin", "/home", "/run"])
def test_system_directories_are_refused_up_front(path: str) -> None:
    """The operator hears it at once, not from every guest."""
    with pytest.raises(ConfigError, match="system directory"):
        build_share({"id": "x"}, Changes(source=BIND, at=path))


@pytest.mark.parametrize(
    ("values", "error"),
    [
        pytest.param({"id": "a.b"}, SubjectError, id="id with a dot"),
        pytest.param({"id": "x", "mount_point": "rel"}, DecodeError, id="relative mount point"),
        pytest.param({"id": "x", "mount_point": "/"}, DecodeError, id="root"),
        pytest.param({"id": "x", "action": "remount"}, DecodeError, id="unknown action"),
    ],
)
def test_what_breaks_the_contract_is_refused(values: dict[str, str], error: type[Exception]) -> None:
    """The contract's own errors come through."""
    with pytest.raises(error):
        build_share(values, Changes(source=BIND))


def test_publishing_an_unmount_is_refused() -> None:
    """What is to go away is unpublished; a catalog holds what should be there."""
    with pytest.raises(ConfigError, match="weft unpublish"):
        build_share({"id": "x", "action": "unmount"}, Changes())


def test_secrets_never_show_in_a_repr() -> None:
    """Neither assignments nor sources appear where changes are printed."""
    field = find_field("cubefs.secret_key")

    assert "hunter2" not in repr(Changes(assignments=[(field, "hunter2")]))


def test_a_secret_loses_the_line_break_of_its_file() -> None:
    """A PEM key, whose line breaks matter, is written on one line as rclone reads it; an empty file is an error."""
    assert secret_value(find_field("rclone.config.pass"), "abc\n") == "abc"
    assert secret_value(find_field("rclone.config.key_pem"), "a\nb\n") == "a\\nb"
    with pytest.raises(ConfigError, match="empty secret"):
        secret_value(find_field("rclone.config.pass"), "\n")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"id": "a", "readonly": true}', id="JSON object"),
        pytest.param('[{"id": "a", "readonly": true}]', id="JSON array"),
        pytest.param('{"shares": [{"id": "a", "readonly": true}]}', id="JSON with shares"),
        pytest.param('id = "a"\nreadonly = true', id="TOML share"),
        pytest.param('[[shares]]\nid = "a"\nreadonly = true', id="TOML with shares"),
    ],
)
def test_files_hold_one_share_or_many(text: str) -> None:
    """JSON and TOML are told apart by themselves."""
    assert parse_share_file(text, where="x") == [{"id": "a", "readonly": True}]


def test_toml_instants_become_texts() -> None:
    """TOML has dates of its own; the wire has texts."""
    (values,) = parse_share_file('id = "a"\nexpires_at = 2027-01-01T00:00:00Z', where="x")

    assert values["expires_at"] == "2027-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        pytest.param("{", "x.json", "cannot read x.json as JSON", id="broken JSON"),
        pytest.param("[shares", "x.toml", "cannot read x.toml as TOML", id="broken TOML"),
        pytest.param('[{"id": "a"', "standard input", "as JSON", id="broken JSON without a name"),
        pytest.param('[[shares]]\nid = "a', "standard input", "as TOML", id="broken TOML without a name"),
        pytest.param("[]", "x", "expected one share", id="no shares"),
        pytest.param("[1]", "x", "shares[0] is not an object", id="a number"),
        pytest.param('[{"id": "a"}, {}]', "x", "shares[1] has no id", id="no id"),
        pytest.param('[{"id": "a"}, {"id": "a"}]', "x", "id a stands twice", id="an id twice"),
        pytest.param('{"shares": null}', "x", "expected one share", id="shares is null"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, where: str, said: str) -> None:
    """The file, the kind and the place are named."""
    with pytest.raises(ConfigError) as caught:
        parse_share_file(text, where=where)
    assert said in str(caught.value)


def test_misspelt_fields_of_a_file_are_noticed() -> None:
    """Unknown fields travel, so the operator must hear of a typo."""
    (warning,) = unknown_fields({"id": "a", "readonyl": True})

    assert "did you mean readonly?" in warning
