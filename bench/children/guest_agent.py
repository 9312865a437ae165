"""The agent as guests have it: without the packages that only operators and developers install beside it."""

import sys

for name in ("rich", "click", "uvloop", "pytest"):
    sys.modules[name] = None  # type: ignore[assignment]  # importing it fails, as where it is not installed

from agent.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
