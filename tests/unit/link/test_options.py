"""Which link options make sense, and that they show no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from weft.errors import ConfigError
from weft.link import LinkOptions
from weft.link.options import without_login


def test_options_never_show_a_secret() -> None:
    """A repr of the options, or a URL for people, has no password, token or seed in it."""
    options = LinkOptions(
        servers=("nats://teacher:hunter2@a:4222", "s3cret@b"),
        user="teacher",
        password="hunter2",
        token="s3cret",
        nkey_seed="SU",
    )
    assert "hunter2" not in repr(options)
    assert "s3cret" not in repr(options)
    assert "nats://a:4222" in repr(options)
    assert without_login("tls://u:p@x@host:1") == "tls://host:1"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param({"servers": ()}, "without any server", id="no server"),
        pytest.param({"servers": ("http://a",)}, "http://a", id="other scheme"),
        pytest.param({"servers": ("nats://a:port",)}, "nats://a:port", id="port that is no number"),
        pytest.param({"servers": ("nats://",)}, "broker URL", id="no host"),
        pytest.param({"servers": ("a b",)}, "broker URL", id="space"),
        pytest.param({"tls_cert": Path("c")}, "one without the other", id="certificate without key"),
        pytest.param({"ping_interval_s": 120}, "at most 20", id="pings too rare to notice a dead broker"),
        pytest.param({"connect_timeout_s": 0}, "zero or negative", id="no time to connect"),
    ],
)
def test_senseless_options_are_refused_with_the_field(fields: dict[str, Any], why: str) -> None:
    """What cannot work is said when the options are made, not when they are used."""
    with pytest.raises(ConfigError, match=why):
        LinkOptions(**fields)


def test_refused_server_is_shown_without_its_login() -> None:
    """A typing error in a URL does not print the password that stands in it."""
    with pytest.raises(ConfigError) as caught:
        LinkOptions(servers=("nats://teacher:hunter2@a:port",))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "server", "expected"),
    [
        pytest.param(LinkOptions(), "nats://a", False, id="nothing asked for"),
        pytest.param(LinkOptions(), "tls://a", True, id="scheme"),
        pytest.param(LinkOptions(tls_ca=Path("ca")), "nats://a", True, id="own certificates"),
        pytest.param(LinkOptions(tls_first=True), "nats://a", True, id="TLS first"),
    ],
)
def test_any_tls_option_makes_tls_obligatory(options: LinkOptions, server: str, expected: bool) -> None:
    """Who names certificates does not want to talk in plain text by accident."""
    assert options.must_use_tls(server) is expected
