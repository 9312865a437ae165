"""A folder of this machine behind SFTP: one ``rclone serve`` with a password and host keys of its own."""

from __future__ import annotations

import ipaddress
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any, Final

from controlplane.server_process import ServerProcess
from weft.errors import ConfigError

USER: Final = "weft"

_LISTENING: Final = re.compile(r"SFTP server listening on \S*:(?P<port>\d+)")
_FRESH: Final = ("--dir-cache-time=1s", "--poll-interval=0")
"""What somebody changes in the folder itself shows at once."""


class FolderServer(ServerProcess):
    """
    Serve one folder to whoever has the generated password; ``async with`` it.

    SFTP rather than WebDAV: encrypted, host keys that guests can check, and with many small files two to three times
    as fast; WebDAV is faster only with large files on links of more than a gigabit.

    Args:
        folder: What is served. Symbolic links in it are left out, so that nobody gets out of it.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        is_writable: Whether guests may write.

    Raises:
        ConfigError: *folder* is no directory.
    """

    def __init__(self, folder: Path, *, host: str, port: int = 0, is_writable: bool = False) -> None:
        if not folder.is_dir():
            raise ConfigError([f"cannot serve {str(folder)!r}: it is no directory"])
        super().__init__(f"serve {str(folder)!r} on {host}")
        self.folder = folder.resolve()
        self._host = host
        self._port = port
        self._is_writable = is_writable
        self._password = secrets.token_urlsafe(24)
        self._host_key = ""

    @property
    def port(self) -> int:
        """The port it listens on; known once it has started."""
        return self._port

    def block(self, host: str) -> dict[str, Any]:
        """Return the rclone block that reaches it, for guests that know this machine as *host*."""
        config = {
            "host": f"[{host}]" if _is_ipv6(host) else host,
            "port": str(self._port),
            "user": USER,
            "pass": self._password,
            "host_keys": self._host_key,
            "shell_type": "none",
            "disable_hashcheck": "true",
        }
        return {"type": "sftp", "path": "", "config": config}

    async def _bring_up(self) -> None:
        # The keys are in its memory once it listens: nothing stays on the disk, even if we are killed.
        with tempfile.TemporaryDirectory(prefix="weft-serve-") as private:
            await self._launch(
                "rclone",
                *("serve", "sftp", str(self.folder), f"--addr={_with_port(self._host, self._port)}", *_FRESH),
                *(() if self._is_writable else ("--read-only",)),
                # The user's own configuration, cache and authorized keys stay out of it.
                env={
                    "HOME": private,
                    "RCLONE_CONFIG": f"{private}/rclone.conf",
                    "RCLONE_CACHE_DIR": f"{private}/cache",
                    "RCLONE_USER": USER,
                    "RCLONE_PASS": self._password,
                },
                ends_with_us=True,  # nobody would know its password any more
            )
            self._port = int((await self._said(_LISTENING))["port"])
            self._host_key = _read_host_key(Path(private, "cache", "serve-sftp", "id_ed25519.pub"))

    def last_words(self) -> str:
        """Return the last thing it said, without what it says about itself and without the password."""
        return re.sub(r"^\S+ \S+ [A-Z]+ *:? *", "", super().last_words()).replace(self._password, "***")


def is_wildcard(host: str) -> bool:
    """Say whether *host* stands for every address of this machine."""
    return host in ("", "0.0.0.0", "::")


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if _is_ipv6(host) else f"{host}:{port}"


def _read_host_key(path: Path) -> str:
    """Read the public half of the key with which the server proves that it is the one that was published."""
    kind, key = path.read_text().split()[:2]
    return f"{kind} {key}"
