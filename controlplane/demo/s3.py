"""A real S3 server on this machine: rclone serving a folder, whose directories are the buckets."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any, Final

from controlplane.server_process import ServerProcess
from weft.wire.blocks import RcloneBlock

_STARTED: Final = re.compile(r"Starting s3 server on \[http://(?P<address>[^/\]]+)")


class S3Server(ServerProcess):
    """
    One server on a free port of 127.0.0.1, with a pair of keys of its own.

    Args:
        root: The folder; a directory in it is a bucket.
    """

    def __init__(self, root: Path) -> None:
        super().__init__("start an S3 server")
        self.root = root
        self._access_key = secrets.token_hex(10).upper()
        self._secret_key = secrets.token_hex(20)
        self._address = ""

    @property
    def url(self) -> str:
        """Where it listens; known once it has started."""
        return f"http://{self._address}"

    def block(self, bucket: str, *, secret_key: str = "", **options: Any) -> RcloneBlock:
        """
        Describe a bucket for a share.

        Args:
            bucket: Its name.
            secret_key: Another secret key than the right one.
            options: Mount options, with ``_`` for ``-``.
        """
        config = {
            "provider": "Other",
            "endpoint": self.url,
            "access_key_id": self._access_key,
            "secret_access_key": secret_key or self._secret_key,
        }
        flags = {name.replace("_", "-"): value for name, value in options.items()}
        return RcloneBlock(type="s3", path=bucket, config=config, options=flags)

    async def _bring_up(self) -> None:
        await self._launch(
            "rclone",
            *("serve", "s3", str(self.root), "--addr=127.0.0.1:0", "--dir-cache-time=0s"),
            env={
                "HOME": str(self.root),
                "RCLONE_CONFIG": os.devnull,
                "RCLONE_AUTH_KEY": f'"{self._access_key},{self._secret_key}"',  # a CSV list of pairs
            },
        )
        self._address = (await self._said(_STARTED))["address"]
