"""A wheel that calls itself weft's and holds a ``weft-agent`` which only says that it ran; it depends on nothing."""

from __future__ import annotations

import io
import tarfile
import zipfile

NAME = "weft_mounts-9.9-py3-none-any.whl"
SAYS = "weft-agent of the tiny wheel"
_INFO = "weft_mounts-9.9.dist-info"


def build_wheel(says: str = SAYS) -> bytes:
    """Build the file."""
    entry = {
        "tiny_weft.py": f"def main():\n    print({says!r})\n",
        f"{_INFO}/METADATA": "Metadata-Version: 2.1\nName: weft-mounts\nVersion: 9.9\nProvides-Extra: rclone\n",
        f"{_INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{_INFO}/entry_points.txt": "[console_scripts]\nweft-agent = tiny_weft:main\n",
    }
    entry[f"{_INFO}/RECORD"] = "".join(f"{name},,\n" for name in [*entry, f"{_INFO}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        for name, text in entry.items():
            wheel.writestr(name, text)
    return content.getvalue()


def build_bundle(members: dict[str, bytes] | None = None) -> bytes:
    """Build a tar of wheels, which has *members* instead of the tiny one if given."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as bundle:
        for name, data in ({f"./{NAME}": build_wheel()} if members is None else members).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            bundle.addfile(member, io.BytesIO(data))
    return content.getvalue()
