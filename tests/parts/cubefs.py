"""A CubeFS cluster for tests: stand-in masters, volumes that are directories, and a ``cfs-client`` that mounts them."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.cubefs_master import ACCESS_KEY, READ_ONLY, SECRET_KEY, WRITABLE, Master, Registry, User, Volume

REPOSITORY = Path(__file__).resolve().parents[2]


class CubefsCluster:
    """
    Stand-in masters and the matching ``cfs-client``.

    Args:
        directory: A temporary directory; volumes, markers and the client's program are made below it.
        masters: How many masters there are; all know the same.
        time_scale: Factor for the client's built-in delays, not for those in its configuration. The default turns
            the 75 s of a wrong key into 0.75 s.
    """

    def __init__(self, directory: Path, *, masters: int = 1, time_scale: float = 0.01) -> None:
        self.directory = directory / "cubefs"
        self.bin_dir = self.directory / "bin"
        self.registry = Registry()
        self.members = [Master(self.registry) for _ in range(masters)]
        self.time_scale = time_scale

    async def __aenter__(self) -> Self:
        for name in ("bin", "volumes", "stalled"):
            (self.directory / name).mkdir(parents=True)
        _write_program(self.bin_dir / "cfs-client", self.time_scale)
        for member in self.members:
            await member.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for volume in self.registry.volumes.values():
            volume.stall_marker.unlink(missing_ok=True)
        for member in self.members:
            await member.refuse()

    @property
    def masters(self) -> list[str]:
        """The masters' addresses, ``127.0.0.1:port`` each."""
        return [member.address for member in self.members]

    @property
    def client(self) -> Path:
        """The ``cfs-client`` program."""
        return self.bin_dir / "cfs-client"

    def add_volume(self, name: str, *, owner: str) -> Path:
        """Make a volume with an empty root of mode 0777 and return its directory."""
        directory = self.directory / "volumes" / name
        directory.mkdir()
        directory.chmod(0o777)
        self.registry.volumes[name] = Volume(name, owner, directory, self.directory / "stalled" / name)
        return directory

    def delete_volume(self, name: str) -> None:
        """Forget a volume; its clients exit at their next two-minute (scaled) check."""
        del self.registry.volumes[name]

    def volume_dir(self, name: str) -> Path:
        """The directory that holds a volume's files."""
        return self.registry.volumes[name].directory

    def add_key(
        self,
        user_id: str,
        *,
        owns: tuple[str, ...] = (),
        reads: tuple[str, ...] = (),
        writes: tuple[str, ...] = (),
        access_key: str = "",
        secret_key: str = "",
    ) -> tuple[str, str]:
        """
        Make a user with rights on volumes and return its access key (16 characters) and secret key (32).

        Keys that are not given are generated.
        """
        access_key, secret_key = access_key or secrets.token_hex(8), secret_key or secrets.token_hex(16)
        if not ACCESS_KEY.fullmatch(access_key) or not SECRET_KEY.fullmatch(secret_key):
            raise ValueError("a CubeFS access key has 16 letters and digits, a secret key 32")
        rights: Mapping[str, str] = dict.fromkeys(reads, READ_ONLY) | dict.fromkeys(writes, WRITABLE)
        self.registry.users[access_key] = User(user_id, access_key, secret_key, owns, rights)
        return access_key, secret_key

    def stall(self, name: str) -> None:
        """Stop the metanodes, as far as one volume's mounts are concerned: all but the root's stat and statfs hangs."""
        self.registry.volumes[name].stall_marker.touch()

    def resume(self, name: str) -> None:
        """Start them again; held calls go on without an error."""
        self.registry.volumes[name].stall_marker.unlink(missing_ok=True)

    def silence(self) -> None:
        """Let every master accept connections and never answer."""
        for member in self.members:
            member.is_silent = True

    async def refuse(self) -> None:
        """Close every master's port."""
        for member in self.members:
            await member.refuse()

    async def listen(self) -> None:
        """Open the ports again, on the same numbers, and answer."""
        for member in self.members:
            member.is_silent = False
            await member.listen()


def _write_program(path: Path, time_scale: float) -> None:
    path.write_text(
        f"#!{sys.executable} -I\n"
        "import sys\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from tests.fakes.cfs_client.client import main\n"
        f"sys.exit(main(sys.argv, time_scale={time_scale!r}))\n"
    )
    path.chmod(0o755)
