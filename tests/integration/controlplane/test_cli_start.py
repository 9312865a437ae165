"""What is loaded when: help must not wait for what only work needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from weft.distribution import install_command

pytestmark = pytest.mark.integration

SCRIPT = """
import sys
from controlplane.cli.app import run
code = run({argv!r})
print(code, *sorted({heavy!r} & set(sys.modules)), file=sys.stderr)
"""
HEAVY = {"nats", "rich", "structlog", "uvloop"}


@pytest.mark.parametrize(
    ("argv", "loaded"),
    [
        pytest.param(["--help"], "0", id="help loads no client"),
        pytest.param(["publish", "--help"], "0", id="a command's help neither"),
        pytest.param(["-s", "nats://127.0.0.1:1", "list"], "1 nats structlog", id="a listing loads no progress bar"),
    ],
)
def test_a_command_loads_only_what_it_uses(argv: list[str], loaded: str) -> None:
    """Listings start in under 300 ms because of this."""
    script = SCRIPT.format(argv=argv, heavy=HEAVY)
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert said.stderr.splitlines()[-1] == loaded


def test_missing_packages_are_named() -> None:
    """Without the operator's packages there is one sentence that says how to get them."""
    script = "import sys; sys.modules['click'] = None\nfrom controlplane.cli import main\nmain(['list'])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert said.returncode == 1
    assert install_command("operator") in said.stderr
    assert "Traceback" not in said.stderr
