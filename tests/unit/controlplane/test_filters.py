"""Which shares a filter finds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controlplane.filters import ShareFilter, is_at_or_below
from tests.unit.controlplane.makers import members_of, record
from weft.wire.ids import ClassName, VmId
from weft.wire.paths import MountPoint

MEMBERS = members_of({"algebra": ("vm-1", "vm-2")})
DOCS = msgspec.structs.replace(
    record("docs", classes=("algebra",), excepted=("vm-2",), enabled=False),
    owner="ada", tenant="maths", labels={"term": "2026"}, remote="minio",
)  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "is_found"),
    [
        pytest.param({}, True, id="nothing asked"),
        pytest.param({"owner": "ada", "tenant": "maths"}, True, id="owner and tenant"),
        pytest.param({"owner": "ada", "tenant": "art"}, False, id="one of two does not hold"),
        pytest.param({"classes": (ClassName("physics"), ClassName("algebra"))}, True, id="one of the classes"),
        pytest.param({"classes": (ClassName("physics"),)}, False, id="another class"),
        pytest.param({"vms": (VmId("vm-1"),)}, True, id="through its class, though disabled"),
        pytest.param({"vms": (VmId("vm-2"),)}, False, id="excepted"),
        pytest.param({"labels": {"term": "2026"}}, True, id="label"),
        pytest.param({"labels": {"term": ""}}, True, id="label with any value"),
        pytest.param({"labels": {"term": "1999"}}, False, id="other value"),
        pytest.param({"labels": {"draft": ""}}, False, id="no such label"),
        pytest.param({"backend": "cubefs"}, True, id="backend by default"),
        pytest.param({"backend": "rclone"}, False, id="other backend"),
        pytest.param({"at": MountPoint("/srv")}, True, id="below a path"),
        pytest.param({"at": MountPoint("/srv/doc")}, False, id="a path that only begins alike"),
        pytest.param({"remote": "minio"}, True, id="remote"),
    ],
)
def test_a_filter_finds_what_has_everything(wanted: dict[str, Any], is_found: bool) -> None:
    """All that is given must hold."""
    assert ShareFilter(**wanted).matches(DOCS, MEMBERS) is is_found


@pytest.mark.parametrize(
    ("mount_point", "path", "is_there"),
    [
        pytest.param("/home/{vm}/docs", "/home/vm-3", True, id="the place of a VM"),
        pytest.param("/home/u-{vm}", "/home/u-7", True, id="a part of a name"),
        pytest.param("/home/u-{vm}", "/home/v-7", False, id="another name"),
        pytest.param("/home", "/home/vm-3", False, id="above"),
        pytest.param("/home/x", "/", True, id="everything"),
    ],
)
def test_mount_points_that_differ_from_vm_to_vm(mount_point: str, path: str, is_there: bool) -> None:
    """The placeholder stands for any VM."""
    assert is_at_or_below(mount_point, path) is is_there
