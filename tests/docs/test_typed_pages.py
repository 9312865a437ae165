"""The pages for teachers and for fleets print what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.docs.classroom import try_page
from tests.docs.pages import DOCS
from tests.parts.realm import Realm

pytestmark = pytest.mark.integration


@pytest.fixture
async def realm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Realm]:
    """A broker with the accounts of ``weft auth init``: the pages are for operators who have credentials."""
    made = Realm(tmp_path_factory.mktemp("realm"))
    async with made.broker:
        yield made


RCLONE_CONF = """[minio]
type = s3
provider = Minio
endpoint = http://10.0.0.5:9000
access_key_id = ALGEBRA
secret_access_key = the secret
"""


async def test_the_teachers_commands_print_what_the_page_says(realm: Realm, tmp_path: Path) -> None:
    """From the first publish, with a wrong key and a VM that is off, to the end of term."""
    await try_page(DOCS / "class-of-30.md", realm, tmp_path)


async def test_the_fleets_commands_print_what_the_page_says(realm: Realm, tmp_path: Path) -> None:
    """Shared connections, classes from elsewhere, and what differs."""
    (tmp_path / ".config" / "rclone").mkdir(parents=True)
    (tmp_path / ".config" / "rclone" / "rclone.conf").write_text(RCLONE_CONF)
    (tmp_path / "classes.toml").write_text('algebra = "vm-{01..29}"\nphysics = ["vm-31"]\n')
    (tmp_path / "new.key").write_text("the secret")
    await try_page(DOCS / "fleet.md", realm, tmp_path)
