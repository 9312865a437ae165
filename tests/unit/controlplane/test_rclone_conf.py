"""rclone.conf as rclone writes it, and as it cannot be read."""

from __future__ import annotations

import pytest

from controlplane.rclone_source import parse_rclone_conf
from weft.errors import ConfigError

CONF = """\
# mine
[minio]
type = s3
Endpoint = http://h:9000/a=b
secret_access_key = p%ss;word#1

[drive]
type = drive
token = {"access_token":"x","expiry":"2027-01-01"}
scope =
"""


def test_sections_are_read_as_they_stand() -> None:
    """Percent signs, equal signs, comments in values, JSON and upper case survive."""
    assert parse_rclone_conf(CONF, where="x") == {
        "minio": {"type": "s3", "Endpoint": "http://h:9000/a=b", "secret_access_key": "p%ss;word#1"},
        "drive": {"type": "drive", "token": '{"access_token":"x","expiry":"2027-01-01"}', "scope": ""},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nabc\n", "encrypted", id="encrypted"),
        pytest.param("type = s3\n", "line 1", id="no section"),
    ],
)
def test_an_unreadable_configuration_is_named(text: str, said: str) -> None:
    """The error names the file and the reason."""
    with pytest.raises(ConfigError, match=r"cannot read my\.conf") as caught:
        parse_rclone_conf(text, where="my.conf")
    assert said in str(caught.value)
