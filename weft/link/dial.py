"""Reach a broker once: one fresh client per server and attempt, each with a deadline."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client, RawCredentials

from weft.errors import BrokerDeniedError, BrokerError, BrokerUnreachableError, ConfigError
from weft.link.connection import Connection, dismiss
from weft.link.credentials import Credentials, is_user_seed, load_credentials, parse_credentials
from weft.link.options import DEFAULT_INBOX_PREFIX, LinkOptions, with_scheme, without_login
from weft.link.reasons import is_refusal, reason_of
from weft.link.user import BrokerUser, user_of_token
from weft.wire.subjects import OPERATOR_INBOX_PREFIX

ABANDON_TIMEOUT_S = 0.2
"""A client that never connected has nothing to say goodbye with; after a failed TLS handshake its close never ends."""


class CarefulClient(Client):
    """
    The library's client, but silent in plain text where TLS was asked for, not deaf after a flush given up, and quick
    at headers.
    """

    def __init__(self, *, must_use_tls: bool) -> None:
        super().__init__()
        self._must_use_tls = must_use_tls

    def _connect_command(self) -> bytes:
        # The library upgrades to TLS only if the server says so, and would otherwise send
        # the password to whoever answers.
        is_wss = self._current_server is not None and self._current_server.uri.scheme == "wss"
        if self._must_use_tls and not is_wss and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        return super()._connect_command()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # The library looks at every letter of every name, which takes longer than all else about a message (2.16).
        headers: dict[str, str] = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            name = name.strip()
            if colon and name.isascii() and " " not in name and "\t" not in name:
                headers.pop(name, None)  # stands where it was said last: what a server adds comes after the sender's
                headers[name] = value.strip()
        return headers

    async def _process_pong(self) -> None:
        # The answer to a flush that was cancelled meanwhile: the library sets its result again, and that error
        # ends the loop that reads, without a word to anybody.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()


async def dial_any(
    options: LinkOptions,
    *,
    also: Mapping[str, str | None],
    jitter: Callable[[], float],
    budget_s: float | None = None,
) -> Connection:
    """
    Try every known server once, in random order, the configured ones first.

    Args:
        options: Files it names are read now, once for this round.
        also: Servers that the cluster told about, each with the name its certificate must carry.
        jitter: Uniform in [0, 1); decides the order.
        budget_s: Seconds for the whole round, shared by the servers; by default each has ``connect_timeout_s``.

    Raises:
        ConfigError: A credentials or TLS file cannot be used.
        BrokerDeniedError: A server answered, and refused these credentials.
        BrokerUnreachableError: No server could be reached.
    """
    arguments = connect_arguments(options)
    own = [with_scheme(server) for server in options.servers]
    told = [server for server in also if server not in own]
    order = [*sorted(own, key=lambda _: jitter()), *sorted(told, key=lambda _: jitter())]
    clock = asyncio.get_running_loop().time
    deadline = clock() + (budget_s if budget_s is not None else options.connect_timeout_s * len(order))
    failures: list[BrokerError] = []
    for tried, server in enumerate(order):
        timeout_s = (deadline - clock()) / (len(order) - tried)
        try:
            return await dial(server, options, arguments, timeout_s=timeout_s, tls_name=also.get(server))
        except BrokerError as exc:
            failures.append(exc)
    raise next((exc for exc in failures if isinstance(exc, BrokerDeniedError)), min(failures, key=str))


async def dial(
    server: str, options: LinkOptions, arguments: Mapping[str, Any], *, timeout_s: float, tls_name: str | None = None
) -> Connection:
    """
    Connect a fresh client to *server* within *timeout_s*.

    The library's own reconnecting stays off: it gives up for good on an authorization error, does
    not read credentials again, waits without jitter and buffers what is published meanwhile.

    Raises:
        BrokerDeniedError: The server refuses these credentials.
        BrokerUnreachableError: Anything else went wrong.
    """
    nc = CarefulClient(must_use_tls=options.must_use_tls(server))
    name = tls_name or urlsplit(server).hostname
    inbox_prefix = str(arguments["inbox_prefix"])
    connection = Connection(
        nc, inbox_prefix=inbox_prefix, tls_name=name, user=_user(server, options, arguments.get("user_credentials"))
    )
    # The library declares an int, and only hands it to asyncio.wait_for.
    timing: dict[str, Any] = {"connect_timeout": timeout_s} | ({"tls_hostname": tls_name} if tls_name else {})
    try:
        async with asyncio.timeout(timeout_s):
            await nc.connect(
                servers=[server],
                error_cb=connection.note_error,
                closed_cb=connection.note_closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                **arguments,
                **timing,
            )
    except asyncio.CancelledError:
        await dismiss(nc, timeout_s=ABANDON_TIMEOUT_S)
        raise
    except Exception as exc:  # the library lets anything out: JSON, index and value errors
        await dismiss(nc, timeout_s=ABANDON_TIMEOUT_S)
        raise _failure(server, exc, connection.last_error) from exc
    connection.watch_reading()
    return connection


def connect_arguments(options: LinkOptions) -> dict[str, Any]:
    """
    Build the library's arguments, reading the files that *options* names.

    Raises:
        ConfigError: Naming every file or seed that cannot be used.
    """
    arguments: dict[str, Any] = {
        "name": options.name,
        "inbox_prefix": options.inbox_prefix,
        "ping_interval": options.ping_interval_s,
        "tls_handshake_first": options.tls_first,
    }
    problems: list[str] = []
    if options.creds is not None:
        try:
            creds = load_credentials(options.creds)
            arguments["user_credentials"] = RawCredentials(creds.as_text())
            arguments["inbox_prefix"] = _inbox_prefix(options, creds)
        except ConfigError as exc:
            problems += exc.problems
    elif options.nkey_seed is not None:
        if is_user_seed(options.nkey_seed.strip()):
            arguments["nkeys_seed_str"] = options.nkey_seed
        else:
            problems.append("nkey_seed: cannot use it, it is not the seed of a user nkey")
    elif options.token is not None:
        arguments["token"] = options.token
    elif options.user is not None:
        arguments |= {"user": options.user, "password": options.password or ""}
    try:
        if any(options.must_use_tls(server) for server in options.servers):
            arguments["tls"] = tls_context(options)
    except ConfigError as exc:
        problems += exc.problems
    if problems:
        raise ConfigError(problems)
    return arguments


def _inbox_prefix(options: LinkOptions, creds: Credentials) -> str:
    """Say where answers arrive: a user with a role hears only what is below its own name."""
    user = user_of_token(creds.jwt)
    if user is None or not user.role or options.inbox_prefix != DEFAULT_INBOX_PREFIX:
        return options.inbox_prefix
    return OPERATOR_INBOX_PREFIX + user.name


def _user(server: str, options: LinkOptions, creds: RawCredentials | None) -> BrokerUser | None:
    if creds is not None and options.creds is not None:
        return user_of_token(parse_credentials(str(creds), options.creds).jwt)
    url = urlsplit(server)
    # A name without a password is a token, which is a secret.
    name = options.user or (url.username if url.password is not None else None)
    return BrokerUser(name) if name else None


def tls_context(options: LinkOptions) -> ssl.SSLContext:
    """
    Build the TLS settings: the broker is always verified, against ``tls_ca`` or the system's certificates.

    Raises:
        ConfigError: A file is missing or not what it should be.
    """
    at_fault = f"tls_ca: cannot use {options.tls_ca}"
    try:
        context = ssl.create_default_context(cafile=options.tls_ca)
        at_fault = f"tls_cert, tls_key: cannot use {options.tls_cert} with {options.tls_key}"
        if options.tls_cert is not None:
            # An encrypted key would ask on the terminal; an empty password makes it fail instead.
            context.load_cert_chain(options.tls_cert, options.tls_key, password="")
    except OSError as exc:
        raise ConfigError([f"{at_fault}: {reason_of(exc)}"]) from exc
    return context


def _failure(server: str, exc: Exception, noted: Exception | None) -> BrokerError:
    # "No servers" and our own deadline say nothing; what the error callback heard before does.
    is_empty = isinstance(exc, (nats.errors.NoServersError, TimeoutError))
    cause = noted if is_empty and noted is not None else exc
    where = without_login(server)
    if is_refusal(cause):
        return BrokerDeniedError(
            f"cannot connect to {where}: the broker refuses these credentials ({reason_of(cause)})"
        )
    return BrokerUnreachableError(f"cannot connect to {where}: {reason_of(cause)}")
