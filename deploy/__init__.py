"""Files that travel with weft and end up outside Python: units, broker configurations, examples."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def find_data_file(name: str) -> Path:
    """
    Locate one of the files that travel with weft.

    Args:
        name: Its bare name, for example ``"nats.conf"``.

    Raises:
        FileNotFoundError: no such file travels with weft.
    """
    path = Path(str(files(__name__))) / name
    if not path.is_file():
        raise FileNotFoundError(f"cannot find {name} among weft's files")
    return path
