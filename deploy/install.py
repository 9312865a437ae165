"""
Install weft from one file whose digest is known: a wheel, or a tar of wheels.

    python3 -I install.py DIRECTORY SOURCE SHA256

DIRECTORY becomes a Python environment, SOURCE is a path or an http(s) address. It runs in a guest that has no weft yet,
so it needs nothing but Python. Nothing of the file is looked at before its digest is known to be right.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

SILENCE_S = 60.0
MOST_BYTES = 1 << 29
"""What a server may send before it is cut off; a tar with rclone in it has some thirty million."""
CHUNK_BYTES = 1 << 20
WHAT = "weft-mounts[rclone]"


class NotInstalledError(Exception):
    """Nothing was installed; the text says why."""


def install(directory: Path, source: str, sha256: str) -> None:
    """
    Make *directory* a Python environment with weft in it.

    Raises:
        NotInstalledError: the file is not there, or not the one that was meant, or pip failed.
    """
    with tempfile.TemporaryDirectory(prefix="weft-install-") as scratch:
        file = fetch(source, sha256, Path(scratch))
        _run(sys.executable, "-m", "venv", str(directory))
        pip = (str(directory / "bin" / "python"), *"-I -m pip install --quiet --disable-pip-version-check".split(" "))
        if file.suffix == ".whl":
            _run(*pip, f"{file}[rclone]")
        else:
            _run(*pip, "--no-index", "--find-links", str(_unpack(file)), WHAT)


def fetch(source: str, sha256: str, scratch: Path) -> Path:
    """
    Copy *source* into *scratch*, where nobody else can change it, and check it there.

    Raises:
        NotInstalledError: it cannot be read, or has another digest.
    """
    is_url = source.startswith(("http://", "https://"))
    file = scratch / (urlsplit(source).path if is_url else source).rpartition("/")[2]
    try:
        with urllib.request.urlopen(source, timeout=SILENCE_S) if is_url else open(source, "rb") as origin:
            found = _copy(origin, file)
    except (OSError, ValueError) as exc:
        raise NotInstalledError(f"cannot read {source}: {exc}") from exc
    if found != sha256:
        raise NotInstalledError(
            f"cannot install from {source}: its digest is {found}, not {sha256}; nothing was installed"
        )
    return file


def _copy(origin: IO[bytes], file: Path) -> str:
    """Copy everything into *file*, within bounds, and return its digest."""
    digest, size = hashlib.sha256(), 0
    with file.open("xb") as copy:
        while chunk := origin.read(CHUNK_BYTES):
            size += len(chunk)
            if size > MOST_BYTES:
                raise NotInstalledError(f"cannot install from a file of more than {MOST_BYTES} bytes")
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


def _unpack(bundle: Path) -> Path:
    """Take the wheels out of *bundle*, and nothing else."""
    wheels = bundle.parent / "wheels"
    wheels.mkdir()
    with tarfile.open(bundle) as members:
        for member in members:
            content = members.extractfile(member) if member.isfile() and member.name.endswith(".whl") else None
            if content is not None:
                (wheels / Path(member.name).name).write_bytes(content.read())
    return wheels


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise NotInstalledError(f"cannot install weft: {Path(command[0]).name} ended with {done.returncode}")


def main(arguments: list[str]) -> int:
    """Install, or say in a sentence why not."""
    if len(arguments) != 3:
        print("usage: install.py DIRECTORY SOURCE SHA256", file=sys.stderr)
        return 2
    directory, source, sha256 = arguments
    try:
        install(Path(directory), source, sha256)
    except NotInstalledError as exc:
        print(f"weft: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
