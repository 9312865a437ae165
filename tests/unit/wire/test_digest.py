"""Which changes are a change."""

from typing import Any

import pytest

from weft.wire.digest import mount_digest, set_digest, shape_digest, share_digest
from weft.wire.share import ShareMount, parse_share


def share(**fields: Any) -> ShareMount:
    cubefs = {"volume": "v", "masters": ["m:1"], "owner": "o"} | fields.pop("cubefs", {})
    return parse_share({"id": "a", "mount_point": "/mnt/a", "cubefs": cubefs} | fields)


SAME, LIVE, REMOUNT = "nothing", "live", "remount"


@pytest.mark.parametrize(
    ("fields", "effect"),
    [
        pytest.param({"backend": "cubefs"}, SAME, id="default backend spelled out"),
        pytest.param({"mount_point": "/mnt/a/"}, SAME, id="trailing slash"),
        pytest.param({"readonly": False}, SAME, id="default spelled out"),
        pytest.param({"action": "mount"}, SAME, id="action spelled out"),
        pytest.param({"priority": 3}, SAME, id="priority"),
        pytest.param({"expires_at": "2030-01-01T00:00:00Z"}, SAME, id="expiry"),
        pytest.param({"nfs": {"server": "h", "export": "/x"}}, SAME, id="block of another backend"),
        pytest.param({"refresh": 1}, LIVE, id="refresh"),
        pytest.param({"readonly": True}, REMOUNT, id="readonly"),
        pytest.param({"mount_point": "/mnt/b"}, REMOUNT, id="mount point"),
        pytest.param({"cubefs": {"volume": "w"}}, REMOUNT, id="volume"),
        pytest.param({"cubefs": {"secret_key": "s"}}, REMOUNT, id="secret"),
        pytest.param({"newer_field": 1}, REMOUNT, id="unknown field"),
    ],
)
def test_effect_of_a_change(fields: dict[str, Any], effect: str) -> None:
    """The full digest tells whether anything is to do, the mount digest whether it needs a remount."""
    before, after = share(), share(**fields)
    assert (share_digest(before) == share_digest(after)) is (effect is SAME)
    assert (mount_digest(before) == mount_digest(after)) is (effect is not REMOUNT)


def test_the_shape_tells_nothing_about_secrets() -> None:
    """What every user of a guest can read does not depend on a secret's value."""
    one, two = share(cubefs={"secret_key": "s1"}), share(cubefs={"secret_key": "s2"})
    assert shape_digest(one) == shape_digest(two)
    assert shape_digest(one) != shape_digest(share(cubefs={"volume": "w"}))


def test_the_order_of_a_set_does_not_matter() -> None:
    """The same shares in another order are the same state."""
    one, two = share(), parse_share({"id": "b", "mount_point": "/mnt/b", "backend": "virtiofs"})
    assert set_digest([one, two]) == set_digest([two, one])
    assert set_digest([one]) != set_digest([one, two])
