"""Credential references: values that never travel, found on the guest when a share is mounted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.errors import DeniedError, ErrorCode, MountError
from weft.wire.redact import CREDENTIAL_PREFIX
from weft.wire.share import ShareMount, parse_share, share_to_builtins

CREDENTIALS_DIR = Path("/etc/weft/credentials")
MAX_BYTES = 64 * 1024
_NAME = re.compile(r"^share\.[A-Za-z0-9][A-Za-z0-9._-]{0,120}\Z")


class CredentialResolver:
    """
    Replace ``credential:NAME`` in a share by the content of the file of that name.

    Only names that begin with ``share.`` are looked up: a publisher must not be able to read the guest's other secrets.

    Args:
        directories: Where to look, first match counts; by default systemd's directory and ``/etc/weft/credentials``.
        environ: Has ``CREDENTIALS_DIRECTORY`` where systemd passes credentials.
    """

    def __init__(self, *, environ: Mapping[str, str], directories: tuple[Path, ...] | None = None) -> None:
        passed = environ.get("CREDENTIALS_DIRECTORY")
        default = ((Path(passed),) if passed else ()) + (CREDENTIALS_DIR,)
        self._directories = directories if directories is not None else default

    def resolve(self, share: ShareMount) -> ShareMount:
        """
        Return *share* with every reference replaced; one without references comes back as it is.

        Raises:
            DeniedError: A name does not begin with ``share.``.
            MountError: A credential is not there or cannot be read (``auth``).
        """
        values = share_to_builtins(share)
        resolved = self._resolved(values, share.id)
        return share if resolved == values else parse_share(resolved)

    def _resolved(self, value: Any, share_id: str) -> Any:
        match value:
            case str() if value.startswith(CREDENTIAL_PREFIX):
                return self._read(value.removeprefix(CREDENTIAL_PREFIX), share_id)
            case dict():
                return {key: self._resolved(item, share_id) for key, item in value.items()}
            case list():
                return [self._resolved(item, share_id) for item in value]
            case _:
                return value

    def _read(self, name: str, share_id: str) -> str:
        if not _NAME.match(name):
            raise DeniedError(
                f"cannot use credential {name!r} for share {share_id!r}: only credentials named 'share.…' may be used"
            )
        for directory in self._directories:
            path = directory / name
            try:
                with path.open("rb") as file:
                    return file.read(MAX_BYTES).decode().rstrip("\r\n")
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as exc:
                reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
                raise MountError(
                    f"cannot read credential {name!r} in {directory}: {reason}", code=ErrorCode.AUTH
                ) from exc
        places = " or ".join(str(directory) for directory in self._directories)
        raise MountError(f"cannot find credential {name!r} for share {share_id!r} in {places}", code=ErrorCode.AUTH)
