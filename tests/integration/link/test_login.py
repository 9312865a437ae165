"""Being let in and thrown out: rotated, expired and malformed credentials, and TLS."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import nkeys
import pytest
from nats.aio.msg import Msg

from tests.parts.broker import Broker
from tests.parts.identities import Identities
from tests.parts.tls import make_certificates
from weft.errors import BrokerDeniedError, BrokerUnreachableError, ConfigError
from weft.link import Link, LinkOptions, LinkState

pytestmark = pytest.mark.integration
PATIENCE_S = 20.0
REFUSED = re.compile("authentication error")


def fast(options: LinkOptions) -> Link:
    """A link that hardly waits between its attempts."""
    return Link(options, jitter=lambda: 0.05)


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


async def test_guest_thrown_out_returns_with_the_credentials_now_on_disk(tmp_path: Path) -> None:
    """When its credentials expire, a link reads the file again and goes on, subscriptions and all."""
    identities, creds = Identities(), tmp_path / "guest.creds"
    received: asyncio.Queue[bytes] = asyncio.Queue()
    thrown_out = asyncio.Event()

    async def keep(msg: Msg) -> None:
        received.put_nowait(msg.data)

    async with asyncio.timeout(PATIENCE_S), Broker(tmp_path / "broker", config=identities.config()) as broker:
        creds.write_text(identities.credentials(lifetime_s=2))
        async with fast(LinkOptions(servers=(broker.url,), creds=creds)) as link:
            await link.subscribe("weft.live.vm-1", keep)
            creds.write_text(identities.credentials())
            link.on_disconnected(thrown_out.set)
            await thrown_out.wait()
            assert "no longer accepts these credentials" in (link.problem or "")
            await link.wait_connected(PATIENCE_S)
            await link.publish("weft.live.vm-1", b"back")
            assert await received.get() == b"back"


async def test_refused_guest_keeps_trying_until_its_credentials_are_good(tmp_path: Path) -> None:
    """Credentials of a foreign operator are a refusal, said as such, and end when the file is replaced."""
    identities, creds = Identities(), tmp_path / "guest.creds"
    creds.write_text(Identities().credentials())
    async with asyncio.timeout(PATIENCE_S), Broker(tmp_path / "broker", config=identities.config()) as broker:
        link = fast(LinkOptions(servers=(broker.url,), creds=creds))
        link.start()
        try:
            await broker.logged(REFUSED)
            with pytest.raises(BrokerDeniedError, match="refuses these credentials"):
                await link.wait_connected(1.0)
            creds.write_text(identities.credentials())
            await link.wait_connected(PATIENCE_S)
        finally:
            await link.close()


async def test_malformed_credentials_are_a_problem_until_mended(tmp_path: Path) -> None:
    """A file without a JWT neither spins nor ends the link; mending it connects."""
    identities, creds = Identities(), tmp_path / "guest.creds"
    creds.write_text("not yet written\n")
    async with asyncio.timeout(PATIENCE_S), Broker(tmp_path / "broker", config=identities.config()) as broker:
        link = fast(LinkOptions(servers=(broker.url,), creds=creds))
        with pytest.raises(ConfigError, match="no NATS user JWT"):
            await link.connect()
        link.start()
        try:
            with pytest.raises(ConfigError, match="no NATS user JWT"):
                await link.wait_connected(0.2)
            creds.write_text(identities.credentials())
            await link.wait_connected(PATIENCE_S)
            assert link.problem is None
        finally:
            await link.close()


async def test_changed_password_throws_out_and_is_said(tmp_path: Path) -> None:
    """After a reload that changes the password, the link names the refusal and no secret."""
    config = "authorization {{ user: vm, password: {} }}"
    async with asyncio.timeout(PATIENCE_S), Broker(tmp_path / "broker", config=config.format("first")) as broker:
        thrown_out = asyncio.Event()
        async with fast(LinkOptions(servers=(broker.url,), user="vm", password="first")) as link:
            link.on_disconnected(thrown_out.set)
            broker.reload(config.format("second"))
            await thrown_out.wait()
            await broker.logged(REFUSED)
            with pytest.raises(BrokerDeniedError) as caught:
                await link.wait_connected(1.0)
            assert "first" not in str(caught.value)
            broker.reload(config.format("first"))
            await link.wait_connected(PATIENCE_S)


@pytest.mark.parametrize("how", ["user", "token", "url"])
async def test_simple_logins_work(tmp_path: Path, how: str) -> None:
    """User and password, a token, and a login in the URL are all accepted."""
    config = "authorization { token: t0ken }" if how == "token" else "authorization { user: u, password: p }"
    async with Broker(tmp_path / "broker", config=config) as broker:
        options = {
            "user": LinkOptions(servers=(broker.url,), user="u", password="p"),
            "token": LinkOptions(servers=(broker.url,), token="t0ken"),
            "url": LinkOptions(servers=(broker.url.replace("//", "//u:p@"),)),
        }[how]
        async with Link(options) as link:
            assert link.state is LinkState.CONNECTED
        with pytest.raises(BrokerDeniedError):
            await Link(LinkOptions(servers=(broker.url,))).connect()


async def test_nkey_user_is_let_in(tmp_path: Path) -> None:
    """A bare nkey needs no JWT."""
    pair = nkeys.from_seed(bytearray(nkeys.encode_seed(b"k" * 32, nkeys.PREFIX_BYTE_USER)))
    config = f"authorization {{ users: [{{ nkey: {pair.public_key.decode()} }}] }}"
    async with Broker(tmp_path / "broker", config=config) as broker:
        link = Link(LinkOptions(servers=(broker.url,), nkey_seed=pair.seed.decode()))
        async with link:
            assert link.state is LinkState.CONNECTED
    with pytest.raises(ConfigError, match="nkey_seed"):
        await Link(LinkOptions(nkey_seed="SUNOTASEED")).connect()


async def test_trusted_certificate_connects(tmp_path: Path) -> None:
    """With the authority's certificate the connection is made, over TLS."""
    made = make_certificates(tmp_path / "tls")
    async with Broker(tmp_path / "broker", config=made.config()) as broker:
        link = Link(LinkOptions(servers=(broker.url,), tls_ca=made.authority))
        async with link:
            assert link.state is LinkState.CONNECTED


async def test_untrusted_certificate_does_not_hang(tmp_path: Path) -> None:
    """A broker signed by somebody else is named as such, at once."""
    made, other = make_certificates(tmp_path / "tls"), make_certificates(tmp_path / "other")
    async with asyncio.timeout(PATIENCE_S), Broker(tmp_path / "broker", config=made.config()) as broker:
        for options in (
            LinkOptions(servers=(broker.url,), tls_ca=other.authority),
            LinkOptions(servers=(broker.url.replace("nats://", "tls://"),)),
            LinkOptions(servers=(broker.url,)),
        ):
            with pytest.raises(BrokerUnreachableError, match="certificate is not trusted"):
                await Link(options).connect()


async def test_failing_attempts_leave_no_socket_behind(tmp_path: Path) -> None:
    """A guest that is refused for days does not run out of file descriptors."""
    made, other = make_certificates(tmp_path / "tls"), make_certificates(tmp_path / "other")
    async with asyncio.timeout(PATIENCE_S), Broker(tmp_path / "broker", config=made.config()) as broker:
        link = Link(LinkOptions(servers=(broker.url,), tls_ca=other.authority))
        before = open_files()
        for _ in range(5):
            with pytest.raises(BrokerUnreachableError):
                await link.connect()
        assert open_files() <= before + 1


async def test_missing_tls_file_is_a_configuration_error(tmp_path: Path) -> None:
    """The file is named, and no connection tried."""
    with pytest.raises(ConfigError, match=r"tls_ca: cannot use .*none\.pem: no such file"):
        await Link(LinkOptions(tls_ca=tmp_path / "none.pem")).connect()


async def test_password_is_not_sent_in_plain_text_where_tls_was_asked_for() -> None:
    """A server that does not offer TLS, such as somebody in between, learns nothing."""
    heard = bytearray()
    gone = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","max_payload":1048576,"auth_required":true}\r\n')
        heard.extend(await reader.read())
        writer.close()
        gone.set()

    async with asyncio.timeout(PATIENCE_S), await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        options = LinkOptions(servers=(f"tls://127.0.0.1:{port}",), user="teacher", password="hunter2")
        with pytest.raises(BrokerUnreachableError, match="does not offer TLS"):
            await Link(options).connect()
        await gone.wait()
    assert heard == b""
