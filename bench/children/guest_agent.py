"""The agent as guests have it: without the packages that only operators and developers install beside it."""

import sys
from importlib.metadata import EntryPoint

for name in ("rich", "click", "uvloop", "pytest"):
    sys.modules[name] = None  # type: ignore[assignment]  # importing it fails, as where it is not installed

import weft.offered  # noqa: E402
from agent.cli import main  # noqa: E402

if __name__ == "__main__":
    offered = EntryPoint("bench", "bench.engine:BenchDriver", weft.offered.ENTRY_POINT_GROUP)
    weft.offered.entry_points = lambda group: [offered]  # as if a package had been installed that brings the driver
    main()
