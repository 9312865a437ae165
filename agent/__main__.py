"""``python -m agent`` is ``weft-agent``."""

from __future__ import annotations

from agent.cli import main

if __name__ == "__main__":
    main()
