"""A stand-in CubeFS master: volumes, users and their rights behind the real paths, envelopes and error codes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,61}[A-Za-z0-9]")
ACCESS_KEY = re.compile(r"[A-Za-z0-9]{16}")
SECRET_KEY = re.compile(r"[A-Za-z0-9]{32}")
READ_ONLY = "perm:builtin:ReadOnly"
WRITABLE = "perm:builtin:Writable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One of the master's error answers: HTTP 200 with this code and message, unless *status* says otherwise."""

    code: int
    message: str
    status: int = 200


VOLUME_MISSING = Refusal(7, "vol not exists")
AUTH_KEY_WRONG = Refusal(32, "client and server auth key do not match")
ACCESS_KEY_MISSING = Refusal(38, "access key not exists")
ACCESS_KEY_MALFORMED = Refusal(2, "accesskey can only be number and letters")
VOLUME_NAME_MALFORMED = Refusal(2, "name can only be number and letters", status=400)


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume: who owns it, where its files lie, and the file whose presence stalls all its mounts."""

    name: str
    owner: str
    directory: Path
    stall_marker: Path


@dataclass(frozen=True, slots=True)
class User:
    """A user with one key pair, the volumes it owns, and its rights on others."""

    user_id: str
    access_key: str
    secret_key: str
    own_volumes: tuple[str, ...] = ()
    rights: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Registry:
    """What all masters of one cluster know."""

    volumes: dict[str, Volume] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)

    def answer(self, target: str) -> Any | Refusal:
        """Answer the request *target* (path and query) with the envelope's data, or with a refusal."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        match parts.path:
            case "/admin/getVol":
                return self._volume(query.get("name", ""))
            case "/client/vol":
                return self._partitions(query.get("name", ""), query.get("authKey"))
            case "/user/akInfo":
                return self._user(query.get("ak", ""))
            case "/admin/getIp":
                return {"Cluster": "stand-in", "Ip": "127.0.0.1"}
            case _:
                return Refusal(1, "404 page not found", status=404)

    def _volume(self, name: str) -> dict[str, Any] | Refusal:
        if not VOLUME_NAME.fullmatch(name):
            return VOLUME_NAME_MALFORMED
        volume = self.volumes.get(name)
        if volume is None:
            return VOLUME_MISSING
        return {"ID": 1, "Name": name, "Owner": volume.owner, "Status": 0, "Capacity": 10, "DpReplicaNum": 3}

    def _partitions(self, name: str, auth_key: str | None) -> dict[str, Any] | Refusal:
        volume = self.volumes.get(name)
        if volume is None:
            return VOLUME_MISSING
        if auth_key is not None and auth_key != hashlib.md5(volume.owner.encode()).hexdigest():
            return AUTH_KEY_WRONG
        return {
            "Name": name,
            "Owner": volume.owner,
            "StandInDirectory": str(volume.directory),  # these two take the place of the real partitions
            "StandInStallMarker": str(volume.stall_marker),
        }

    def _user(self, access_key: str) -> dict[str, Any] | Refusal:
        if not ACCESS_KEY.fullmatch(access_key):
            return ACCESS_KEY_MALFORMED
        user = self.users.get(access_key)
        if user is None:
            return ACCESS_KEY_MISSING
        return {
            "user_id": user.user_id,
            "access_key": user.access_key,
            "secret_key": user.secret_key,
            "policy": {
                "own_vols": list(user.own_volumes),
                "authorized_vols": {volume: [right] for volume, right in user.rights.items()},
            },
            "user_type": 3,
            "create_time": "2026-01-01 00:00:00",
            "description": "",
        }


class Master:
    """
    One master on a loopback port.

    ``is_silent`` makes it accept and never answer; ``refuse()`` closes its port, ``listen()`` opens the same one again.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.port = 0
        self.is_silent = False
        self.requests: list[str] = []
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """``host:port``, also while the port is closed."""
        return f"127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Open the port: a free one the first time, the same one afterwards."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Close the port and every connection; further connections are refused."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode()
            self.requests.append(target)
            if self.is_silent:
                await reader.read()  # until the asker gives up, or refuse()
                return
            writer.write(_build_response(self.registry.answer(target)))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the asker went away
        finally:
            self._connections.discard(writer)
            writer.close()


def _build_response(answer: Any | Refusal) -> bytes:
    status, envelope = 200, {"code": 0, "msg": "success", "data": answer}
    if isinstance(answer, Refusal):
        status, envelope = answer.status, {"code": answer.code, "msg": answer.message, "data": None}
    body = json.dumps(envelope).encode()
    head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
