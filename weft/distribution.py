"""How the parts of weft that are installed on demand are asked for: from its own wheel, never by a name on an index."""

from __future__ import annotations

from weft import __version__


def install_command(extra: str) -> str:
    """
    Build the command that adds an extra to an installation.

    The path begins with a dot, so that pip takes it for a file: on the public index, ``weft`` is another project.

    Args:
        extra: ``"operator"`` or ``"rclone"``.
    """
    return f"pip install './weft_mounts-{__version__}-py3-none-any.whl[{extra}]'"
