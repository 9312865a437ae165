"""How long it took to notice a fault and to mend it, measured by the tests that inject it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Timings:
    """
    The stop watch of one test: ``injected`` starts it, ``detected`` and ``repaired`` read it; the last time counts.

    Attributes:
        detected_s: Seconds from the fault until the agent had noticed it, None where there is nothing to notice.
        repaired_s: Seconds from the fault until all was as it should be again, None where nothing has to be mended.
    """

    detected_s: float | None = None
    repaired_s: float | None = None
    _began_s: float | None = None

    def injected(self) -> None:
        """Note that the fault is there from now on."""
        self._began_s = time.monotonic()

    def detected(self) -> None:
        """Note that the agent has noticed it."""
        self.detected_s = self._passed_s()

    def repaired(self) -> None:
        """Note that all is as it should be again."""
        self.repaired_s = self._passed_s()

    def _passed_s(self) -> float:
        assert self._began_s is not None, "the fault was not injected yet"
        return time.monotonic() - self._began_s

    def write(self, name: str, path: Path) -> None:
        """Add what test *name* measured to the JSON file at *path*."""
        measured = json.loads(path.read_text()) if path.exists() else {}
        measured[name] = {"detected_s": self.detected_s, "repaired_s": self.repaired_s}
        path.write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n")
