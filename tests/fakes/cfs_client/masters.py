"""How the client asks the masters: every address in turn, 30 s each, and five tries with growing pauses."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

TRIES = 5
PAUSE_STEP_S = 5.0  # 5 + 10 + 15 + 20 + 25 = 75 s of pauses until the client gives up
REQUEST_TIMEOUT_S = 30.0

MESSAGE_OF_CODE = {
    2: "parameter error",
    7: "vol not exists",
    32: "client and server auth key do not match",
    38: "access key not exists",
}

Answer = TypeVar("Answer")


class MasterError(Exception):
    """No master gave what was asked for; the text is the client's."""


@dataclass(frozen=True, slots=True)
class Masters:
    """
    The masters of one cluster.

    Args:
        addresses: ``host:port`` each, asked in this order.
        time_scale: Factor for every delay and timeout; 1 is the real client's patience.
    """

    addresses: Sequence[str]
    time_scale: float

    def get(self, path: str, **query: str) -> Any:
        """
        Return the ``data`` of the first master that answers.

        Raises:
            MasterError: A master refused the question, or none answered.
        """
        reason = ""
        for address in self.addresses:
            url = f"{path}?{urlencode(query)}"
            try:
                status, body = self._request(address, url)
            except TimeoutError:
                cause = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                reason = f'Get "http://{address}{url}": {cause}'
                continue
            except (OSError, http.client.HTTPException) as error:
                cause = "connection refused" if isinstance(error, ConnectionRefusedError) else str(error).lower()
                reason = f'Get "http://{address}{url}": dial tcp {address}: connect: {cause}'
                continue
            if status != 200:
                reason = f"unknown status: host({address}) uri({url}) status({status}) body({body.decode().strip()})"
                continue
            return _data(json.loads(body))
        addresses = " ".join(self.addresses)
        raise MasterError(f"send request err: clientType[0], req addr[[{addresses}]], req path[{path}], err[{reason}]")

    def persist(self, ask: Callable[[], Answer], *, gives_up_on: Sequence[str] = ()) -> Answer:
        """Call *ask* up to five times, with the client's pauses, unless it fails with a text in *gives_up_on*."""
        for attempt in range(1, TRIES + 1):
            try:
                return ask()
            except MasterError as error:
                if str(error) in gives_up_on:
                    raise
                failure = error
            time.sleep(PAUSE_STEP_S * attempt * self.time_scale)
        raise failure

    def _request(self, address: str, url: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(address, timeout=REQUEST_TIMEOUT_S * self.time_scale)
        try:
            connection.request("GET", url)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _data(envelope: Mapping[str, Any]) -> Any:
    if envelope["code"] != 0:
        raise MasterError(MESSAGE_OF_CODE.get(envelope["code"], "internal error"))
    return envelope["data"]
