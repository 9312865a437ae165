"""Throw-away certificate authorities and server certificates for 127.0.0.1."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """A server's certificate and key, and the authority that signed it."""

    authority: Path
    certificate: Path
    key: Path

    def config(self) -> str:
        """Return the broker configuration that uses them."""
        return f'tls {{ cert_file: "{self.certificate}", key_file: "{self.key}" }}'


def make_certificates(folder: Path) -> Certificates:
    """Make an authority of its own, and with it a certificate for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    authority_key, request, extension = folder / "ca.key", folder / "server.csr", folder / "server.ext"
    extension.write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl("req", "-x509", *key, "-subj", "/CN=test authority", "-keyout", authority_key, "-out", made.authority)
    _openssl("req", *key[:-2], "-subj", "/CN=127.0.0.1", "-keyout", made.key, "-out", request)
    signing: list[str | Path] = [
        "-CA",
        made.authority,
        "-CAkey",
        authority_key,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        extension,
    ]
    _openssl("x509", "-req", "-in", request, *signing, "-out", made.certificate)
    return made


def _openssl(*args: str | Path) -> None:
    program = shutil.which("openssl")
    assert program, "openssl is not installed (Debian package openssl)"
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
