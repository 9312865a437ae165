"""How shares arrive in a guest: published before it exists, or while it runs, for everybody who works there."""

from __future__ import annotations

import pytest

from tests.guest.fleet import Fleet
from tests.guest.inside import serving, shares_in
from tests.guest.outside import FolderServer, Outside
from tests.guest.template import AGENT_UNIT
from tests.parts.shares import bind

pytestmark = pytest.mark.integration

CREDENTIAL_DROP_IN = f"/etc/systemd/system/{AGENT_UNIT}.d/credential.conf"


async def test_shares_published_before_the_guest_exists_are_mounted_when_it_boots(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """Both of two shares are there, not only the last."""
    fan_out = await outside.plane.publish(
        [folder.share("lesson", "/mnt/lesson"), bind("notes", source="/srv/notes")], vms=["alpha"]
    )
    assert fan_out.is_complete, fan_out
    guest = await fleet.add_member("alpha", outside.broker.url)
    guest.write("/srv/notes/note.txt", "remember")
    await guest.boot()
    await outside.converged("lesson")
    await outside.converged("notes")
    assert await guest.run("cat", "/mnt/lesson/lesson.txt", "/mnt/notes/note.txt") == "read meremember"


async def test_a_share_published_to_a_running_guest_arrives_and_goes(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """Publishing mounts it, publishing it again touches nothing, and unpublishing unmounts it."""
    guest = await fleet.add_member("alpha", outside.broker.url)
    await guest.boot()
    share = folder.share("lesson", "/run/weft/shares/lesson")
    await outside.converge(share, "alpha")
    before = await serving(guest)
    assert await guest.run("cat", "/run/weft/shares/lesson/lesson.txt") == "read me"
    await outside.converge(share, "alpha")
    assert await serving(guest) == before
    await outside.plane.unpublish("lesson")
    await outside.reports.until("alpha", lambda status: not status.shares)
    assert await shares_in(guest) == ()


async def test_every_user_of_the_guest_reads_and_writes_the_share(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """Who is not root works in a writable share, and what they write reaches the server."""
    guest = await fleet.add_member("alpha", outside.broker.url)
    await guest.boot()
    await outside.converge(folder.share("lesson", "/mnt/lesson"), "alpha")
    assert await guest.run("cat", "/mnt/lesson/lesson.txt", user="pupil") == "read me"
    await guest.run("sh", "-c", "echo done >/mnt/lesson/answer.txt", user="pupil")
    await outside.plane.unpublish("lesson")
    await outside.reports.until("alpha", lambda status: not status.shares)
    assert (folder.root / "answer.txt").read_text() == "done\n"


async def test_a_secret_that_stays_in_the_guest_opens_the_share(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """The share names a credential of systemd; everybody still sees what the agent mounts with it."""
    password = folder.config["pass"]
    guest = await fleet.add_member("alpha", outside.broker.url)
    guest.write("/root/password", password, mode=0o600)
    guest.write(CREDENTIAL_DROP_IN, "[Service]\nLoadCredential=share.folder:/root/password\n")
    await guest.boot()
    folder.config["pass"] = "credential:share.folder"
    await outside.converge(folder.share("lesson", "/mnt/lesson"), "alpha")
    assert await guest.run("cat", "/mnt/lesson/lesson.txt", user="pupil") == "read me"
    assert password not in guest.journal()
