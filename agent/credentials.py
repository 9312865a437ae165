"""Credential references: values that never travel, found on the guest when a share is mounted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from weft.errors import DecodeError, DeniedError, ErrorCode, MountError
from weft.wire.redact import redact_text
from weft.wire.references import find_references, resolve_references
from weft.wire.share import ShareMount

CREDENTIALS_DIR = Path("/etc/weft/credentials")
MAX_BYTES = 64 * 1024
_REMEMBERED_AT_MOST: Final = 200
"""Values: every credential of a guest, and what each was before it was rotated."""


class CredentialResolver:
    """
    Replace ``credential:NAME`` in the secret fields of a share by the content of the file of that name.

    Only names that begin with ``share.`` are looked up: a publisher must not be able to read the guest's other secrets.

    Args:
        directories: Where to look, first match counts; by default systemd's directory and ``/etc/weft/credentials``.
        environ: Has ``CREDENTIALS_DIRECTORY`` where systemd passes credentials.

    Attributes:
        directories: Where it looks.
    """

    def __init__(self, *, environ: Mapping[str, str], directories: tuple[Path, ...] | None = None) -> None:
        passed = environ.get("CREDENTIALS_DIRECTORY")
        default = ((Path(passed),) if passed else ()) + (CREDENTIALS_DIR,)
        self.directories = directories if directories is not None else default
        self._values: dict[str, None] = {}

    def values(self) -> tuple[str, ...]:
        """Return every value that was resolved so far, newest last: a client may still print one that was replaced."""
        return tuple(self._values)

    def resolve(self, share: ShareMount) -> ShareMount:
        """
        Return *share* with every reference replaced; one without references comes back as it is.

        Raises:
            DeniedError: A name does not begin with ``share.``.
            MountError: A reference stands in a field that is not secret (``bad_spec``); a credential is not there,
                cannot be read, or holds what its field cannot (``auth``).
        """
        for reference in find_references(share):
            objection = reference.objection(f"share {share.id!r}")
            if objection is not None:
                raise (
                    DeniedError(objection) if reference.is_in_secret else MountError(objection, code=ErrorCode.BAD_SPEC)
                )
        try:
            return resolve_references(share, lambda name: self._read(name, share.id))
        except DecodeError as exc:
            why = redact_text(exc.reason, (), certain=self._values).removeprefix("cannot use ")
            raise MountError(
                f"cannot use the credentials that share {share.id!r} names: {why}", code=ErrorCode.AUTH
            ) from None

    def _read(self, name: str, share_id: str) -> str:
        for directory in self.directories:
            path = directory / name
            try:
                with path.open("rb") as file:
                    value = file.read(MAX_BYTES).decode().rstrip("\r\n")
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as exc:
                reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
                raise MountError(
                    f"cannot read credential {name!r} in {directory}: {reason}", code=ErrorCode.AUTH
                ) from None
            if not value:
                raise MountError(f"cannot use credential {name!r} in {directory}: it is empty", code=ErrorCode.AUTH)
            self._remember(value)
            return value
        places = " or ".join(str(directory) for directory in self.directories)
        raise MountError(f"cannot find credential {name!r} for share {share_id!r} in {places}", code=ErrorCode.AUTH)

    def _remember(self, value: str) -> None:
        self._values.pop(value, None)
        self._values[value] = None
        if len(self._values) > _REMEMBERED_AT_MOST:
            del self._values[next(iter(self._values))]
