"""What the stand-ins for FUSE clients must see of this machine: they are Python programs of this repository."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

PYTHON = tuple(dict.fromkeys((sys.prefix, sys.base_prefix, str(REPOSITORY))))
"""The interpreter, its packages and this repository."""
