"""What a link needs to know to reach a broker, as one frozen value that never shows its secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from weft.errors import ConfigError

DEFAULT_SERVER = "nats://127.0.0.1:4222"
DEFAULT_INBOX_PREFIX = "_INBOX"
SCHEMES = ("nats", "tls", "ws", "wss")


@dataclass(frozen=True, slots=True, repr=False)
class LinkOptions:
    """
    Where the broker is, and who we are to it.

    Files are named here and read at every connection attempt, so that a rotated
    credential or certificate is picked up without a restart.

    Args:
        servers: URLs of one cluster's servers; a bare ``host`` or ``host:port`` is a ``nats://`` URL.
        name: What the broker's connection list shows.
        creds: Credentials file (user JWT and seed).
        tls_ca: Certificates to trust instead of the system's. Any TLS option makes TLS obligatory, as ``tls://`` does.
        tls_cert: Client certificate; needs *tls_key*.
        tls_key: Its private key.
        tls_first: Begin with TLS instead of plain text, for a broker that is set to ``handshake_first``.
        inbox_prefix: Where answers arrive; a guest may subscribe to nothing but its own. An operator's is below the
            name in its credentials unless another is given.
        connect_timeout_s: Seconds one connection attempt may take.
        ping_interval_s: Seconds between pings; a silent broker is given up after three. At most 20.
        reconnect_cap_s: Longest wait between two attempts; each is drawn from zero to a doubling bound below it.
        user: User name, together with *password*.
        password: Its password.
        token: Authentication token.
        nkey_seed: Seed of a bare nkey user.

    Raises:
        ConfigError: A server is not a URL, a file lacks its other half, or a number is out of range.
    """

    servers: tuple[str, ...] = (DEFAULT_SERVER,)
    name: str = "weft"
    creds: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_first: bool = False
    inbox_prefix: str = DEFAULT_INBOX_PREFIX
    connect_timeout_s: float = 5.0
    ping_interval_s: float = 10.0
    reconnect_cap_s: float = 8.0
    user: str | None = None
    password: str | None = None
    token: str | None = None
    nkey_seed: str | None = None

    def __post_init__(self) -> None:
        problems = [problem for server in self.servers if (problem := server_problem(server))]
        if not self.servers:
            problems.append("servers: cannot connect without any server")
        if (self.tls_cert is None) != (self.tls_key is None):
            problems.append("tls_cert, tls_key: cannot use one without the other")
        if self.connect_timeout_s <= 0 or self.reconnect_cap_s <= 0:
            problems.append("connect_timeout_s, reconnect_cap_s: cannot be zero or negative")
        if not 0 < self.ping_interval_s <= 20:
            problems.append(f"ping_interval_s: cannot be {self.ping_interval_s:g}, it must be above 0 and at most 20")
        if problems:
            raise ConfigError(problems)

    def __repr__(self) -> str:
        shown = ", ".join(without_login(server) for server in self.servers)
        return f"LinkOptions(servers=({shown}), name={self.name!r}, creds={str(self.creds) if self.creds else None!r})"

    def must_use_tls(self, server: str) -> bool:
        """Say whether a connection to *server* in plain text would break what was asked for."""
        is_asked_for = self.tls_first or self.tls_ca is not None or self.tls_cert is not None
        return is_asked_for or server.startswith(("tls://", "wss://"))


def with_scheme(server: str) -> str:
    """Return *server* as a URL: ``host:port`` means ``nats://host:port``."""
    return server if "://" in server else f"nats://{server}"


def without_login(server: str) -> str:
    """Return *server* without a user name, password or token in it, for people to read."""
    scheme, _, rest = with_scheme(server).partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def server_problem(server: str) -> str | None:
    """Say why *server* cannot be used as a broker URL, or None; a login in it is not repeated."""
    try:
        url = urlsplit(with_scheme(server))
        usable = url.scheme in SCHEMES and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if usable and not any(c.isspace() for c in server):
        return None
    return (
        f"servers: cannot use {without_login(server)!r} as a broker URL: expected nats://host:port or tls://host:port"
    )
