"""Credentials where they would travel: fields that are shown, and clients, servers and drivers that repeat them."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import time
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from agent.credentials import CredentialResolver
from agent.drivers.base import Failure, MountCommand, MountContext
from agent.drivers.rclone import RcloneDriver
from agent.mounts.places import OUTPUT_NAME
from controlplane.assign import parse_secret
from controlplane.edits import check_publishable
from controlplane.records import RemoteRecord
from controlplane.remotes import check_remote
from tests.attack.conftest import CountProbes
from tests.parts.engine_rig import EngineRig, SlateBlock, SlateDriver, engine_rig, slate
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from weft.errors import ConfigError, DecodeError, DeniedError, ErrorCode, MountError
from weft.obscure import obscure
from weft.wire.ids import ShareId
from weft.wire.redact import redact_text
from weft.wire.share import ShareMount, parse_share, redacted_share, share_to_builtins

SECRET = 'tide/Ebb & "5+5=10" é%'
"""With what every encoding spells in its own way."""
REFERENCE = "credential:share.key"

CUBEFS = {"volume": "v", "masters": ["m:17010"], "owner": "o"}


def share_of(backend: str, **block: Any) -> ShareMount:
    return parse_share({"id": "evil", "backend": backend, "mount_point": "/mnt/evil", backend: block})


def s3(**config: Any) -> ShareMount:
    return share_of("rclone", type="s3", path="bucket", config=config)


@pytest.fixture
def resolver(tmp_path: Path) -> CredentialResolver:
    (tmp_path / "share.key").write_text(f"{SECRET}\n")
    (tmp_path / "nats.creds").write_text(SECRET)
    return CredentialResolver(environ={}, directories=(tmp_path,))


def nested(*path: str) -> dict[str, Any]:
    """Build a map with a reference at *path*."""
    head, *rest = path
    return {head: nested(*rest) if rest else REFERENCE}


PUBLIC: list[tuple[str, dict[str, Any]]] = [
    ("rclone.path", {"type": "s3", "path": REFERENCE}),
    ("rclone.type", {"type": REFERENCE}),
    *((f"rclone.options.{name}", {"type": "s3", "options": {name: REFERENCE}}) for name in (
        "user-agent", "vfs-cache-mode", "bind", "password", "token", "rc-pass", "log-file", "config", "volname",
    )),
    *((f"rclone.config.{name}", {"type": "s3", "config": {name: REFERENCE}}) for name in (
        "endpoint", "region", "provider", "host", "user", "username", "url", "auth_url", "token_url", "account",
        "remote", "upstreams", "type", "description", "location_constraint", "acl", "env_auth", "profile", "drive_id",
        "root_folder_id", "shared_credentials_file", "key_file", "known_hosts_file", "ssh", "bearer_token_command",
        "port", "domain", "namenode", "made_up_option", "PASS", "Secret_Access_Key", "pass2",
    )),
    *((f"rclone.remotes.disk.{name}", {"type": "alias", "remotes": {"disk": {"type": "sftp", name: REFERENCE}}})
      for name in ("host", "user", "remote", "url", "endpoint", "made_up_option")),
    ("rclone.remotes.disk.type", {"type": "alias", "remotes": {"disk": {"type": REFERENCE}}}),
]  # fmt: skip
OTHER_PUBLIC: list[tuple[str, str, dict[str, Any]]] = [
    *(("rclone", field, block) for field, block in PUBLIC),
    ("cubefs", "cubefs.volume", CUBEFS | {"volume": REFERENCE}),
    ("cubefs", "cubefs.owner", CUBEFS | {"owner": REFERENCE}),
    ("cubefs", "cubefs.subdir", CUBEFS | {"subdir": REFERENCE}),
    *(("cubefs", f"cubefs.options.{name}", CUBEFS | {"options": {name: REFERENCE}}) for name in (
        "logLevel", "ticketHost", "certFile", "bcacheDir", "ebsEndpoint", "made_up",
    )),
    ("nfs", "nfs.server", {"server": REFERENCE, "export": "/x"}),
    ("nfs", "nfs.options", {"server": "h", "export": "/x", "options": REFERENCE}),
    ("virtiofs", "virtiofs.tag", {"tag": REFERENCE}),
    ("virtio9p", "virtio9p.tag", {"tag": REFERENCE}),
]  # fmt: skip


@pytest.mark.parametrize(("backend", "field", "block"), OTHER_PUBLIC, ids=[field for _, field, _ in OTHER_PUBLIC])
def test_a_field_that_is_shown_takes_no_credential(
    backend: str, field: str, block: dict[str, Any], resolver: CredentialResolver, count_probes: CountProbes
) -> None:
    """The guest refuses the share and names the field; so does the publisher, before anything is stored."""
    share = share_of(backend, **block)
    with pytest.raises(MountError) as caught:
        resolver.resolve(share)
    assert caught.value.code is ErrorCode.BAD_SPEC
    assert caught.value.is_permanent
    assert f"a credential in {field} of share 'evil'" in caught.value.message
    assert resolver.values() == ()  # the file was not even read
    with pytest.raises(DecodeError, match="cannot use a credential in"):
        check_publishable(share)
    count_probes("credentials refused in public fields")


@pytest.mark.parametrize(
    ("backend", "block"),
    [
        pytest.param("cubefs", CUBEFS | {"masters": [REFERENCE]}, id="a master"),
        pytest.param("nfs", {"server": "h", "export": REFERENCE}, id="an export"),
        pytest.param("bind", {"source": REFERENCE}, id="a source"),
        pytest.param("rclone", {"type": "s3", "remotes": {REFERENCE: {"type": "s3", "pass": "x"}}, "config": {
            REFERENCE: "x"}, "path": REFERENCE}, id="a name"),
    ],
)  # fmt: skip
def test_what_cannot_be_such_a_text_is_refused_too(
    backend: str, block: dict[str, Any], resolver: CredentialResolver
) -> None:
    """At decoding, or when it is resolved."""
    with pytest.raises((DecodeError, MountError)):
        resolver.resolve(share_of(backend, **block))
    assert resolver.values() == ()


@pytest.mark.parametrize("path", [("mount_point",), ("umask",), ("backend",), ("id",), ("action",), ("expires_at",)])
def test_a_field_of_the_share_itself_takes_none(path: tuple[str, ...]) -> None:
    """Their own types refuse it."""
    with pytest.raises(DecodeError):
        parse_share(share_to_builtins(s3()) | nested(*path))


def test_an_unknown_field_is_left_alone(resolver: CredentialResolver) -> None:
    """Nobody reads it here, and a newer publisher may mean something by it."""
    share = parse_share(share_to_builtins(s3()) | {"novel": REFERENCE} | {"nfs": {"server": "h", "export": "/x"}})
    assert resolver.resolve(share) is share
    share = share_of("rclone", type="s3", novel={"pass": REFERENCE})
    assert resolver.resolve(share) is share


NOT_REFERENCES = [
    "Credential:share.key", "CREDENTIAL:share.key", " credential:share.key", "x credential:share.key",
    "http://credential:share.key@host", "credentials:share.key", "credential", "credential=share.key",
    "{credential:share.key}",
    "credential\uff1ashare.key", "\uff43redential:share.key", "%63redential:share.key", "env:HOME", "file:/etc/shadow",
    "@/etc/shadow",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_REFERENCES)
@pytest.mark.parametrize("name", ["secret_access_key", "endpoint"])
def test_what_only_looks_like_a_reference_stays_as_it_is(
    name: str, text: str, resolver: CredentialResolver, count_probes: CountProbes
) -> None:
    """There is one spelling, and it is the whole text."""
    share = s3(**{name: text})
    assert resolver.resolve(share) is share
    count_probes("texts that are no references")


@pytest.mark.parametrize(
    "name",
    [
        "nats.creds", "nats", "", "share", "share.", "Share.key", "SHARE.key", "share.../nats.creds", "share./x",
        "share.a/b", "../nats.creds", "share.key/../nats.creds", "/etc/shadow", "share.key\0", "share.key\x00.x",
        "share.é",
        "share.-x", "share..x", "share. key", "share.key ", "share." + "k" * 200, "operator.creds", "xshare.key",
        "share\\.key",
        "share.key%00", "~/.ssh/id", "share.*", "credential:share.key", "share.key,share.key",
    ],
)  # fmt: skip
def test_only_credentials_meant_for_shares_are_read(
    name: str, resolver: CredentialResolver, count_probes: CountProbes
) -> None:
    """The guest has other secrets, such as the key with which it speaks to the broker."""
    try:
        share = s3(secret_access_key=f"credential:{name}")
    except DecodeError:
        count_probes("names of credentials refused")
        return
    with pytest.raises(DeniedError):
        resolver.resolve(share)
    assert resolver.values() == ()
    with pytest.raises(DecodeError, match="may be used"):
        check_publishable(share)
    count_probes("names of credentials refused")


SECRET_PLACES: list[tuple[str, dict[str, Any], Callable[[ShareMount], Any]]] = [
    ("rclone", {"type": "s3", "config": {"secret_access_key": REFERENCE}},
     lambda share: share.block.config["secret_access_key"]),  # type: ignore[attr-defined]
    ("rclone", {"type": "crypt", "config": {"remote": "b:x"}, "remotes": {"b": {"type": "b2", "key": REFERENCE}}},
     lambda share: share.block.remotes["b"]["key"]),  # type: ignore[attr-defined]
    ("cubefs", CUBEFS | {"secret_key": REFERENCE}, lambda share: share.block.secret_key),  # type: ignore[attr-defined]
    ("cubefs", CUBEFS | {"options": {"clientKey": REFERENCE}},
     lambda share: share.block.options["clientKey"]),  # type: ignore[attr-defined]
]  # fmt: skip


@pytest.mark.parametrize(("backend", "block", "value"), SECRET_PLACES)
def test_a_secret_field_takes_one_and_shows_nothing(
    backend: str, block: dict[str, Any], value: Callable[[ShareMount], Any], resolver: CredentialResolver
) -> None:
    """It is resolved for the driver, and neither a repr nor what operators see has it."""
    share = share_of(backend, **block)
    check_publishable(share)
    resolved = resolver.resolve(share)
    assert value(resolved) == SECRET
    assert SECRET not in f"{resolved!r} {redacted_share(resolved)}"
    assert resolver.values() == (SECRET,)


@pytest.mark.parametrize("field", ["rclone.config.endpoint", "rclone.config.made_up", "rclone.remotes.a.host"])
def test_the_command_line_refuses_a_credential_where_none_is_resolved(field: str) -> None:
    """Before a share is made of it."""
    with pytest.raises(ConfigError, match="only where nothing but a secret stands"):
        parse_secret(f"{field}=credential:share.key")


@pytest.mark.parametrize("field", ["endpoint", "made_up", "user"])
def test_a_remote_takes_none_there_either(field: str) -> None:
    """Every share that names the remote would be refused by its guests."""
    with pytest.raises(DecodeError, match="of remote 'lake'"):
        check_remote("lake", RemoteRecord(backend="rclone", block={"type": "s3", "config": {field: REFERENCE}}))
    check_remote("lake", RemoteRecord(backend="rclone", block={"type": "s3", "config": {"token": REFERENCE}}))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\n\n", "empty", id="only line breaks"),
        pytest.param(b"\xff\xfe\x00", "not text", id="not text"),
        pytest.param(b"first-half\nsecond-half", "line break", id="two lines"),
    ],
)
def test_a_value_that_cannot_be_used_is_not_repeated(content: bytes, words: str, tmp_path: Path) -> None:
    """The share fails with a sentence, not with a traceback."""
    (tmp_path / "share.key").write_bytes(content)
    with pytest.raises(MountError, match=words) as caught:
        CredentialResolver(environ={}, directories=(tmp_path,)).resolve(s3(secret_access_key=REFERENCE))
    assert caught.value.code is ErrorCode.AUTH
    assert "half" not in f"{caught.value} {caught.value.__cause__} {caught.value.detail}"


# --- what is repeated -------------------------------------------------------------------------------------------------

PEM = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA0123\nzyxwvutsrqponm98765\n-----END KEY-----"
DOCUMENT = json.dumps({"access_token": "ya29.a0AfH6SMB", "expiry": "2026", "more": [{"refresh_token": "1//0gLu"}]})


def basic(user: str, secret: str) -> str:
    return base64.b64encode(f"{user}:{secret}".encode()).decode()


SPELLINGS: list[tuple[str, Callable[[str], str]]] = [
    ("as it is", str),
    ("in a sentence", lambda s: f"wrong key {s}."),
    ("in quotes", lambda s: f"'{s}'"),
    ("percent-encoded", lambda s: quote(s, safe="")),
    ("percent-encoded, slashes kept", quote),
    ("percent-encoded, in small letters", lambda s: re.sub("%..", lambda code: code[0].lower(), quote(s, safe=""))),
    ("as a form", quote_plus),
    ("as Go's userinfo", lambda s: quote(s, safe="$&+,;=")),
    ("in a query", lambda s: f"https://h/?key={quote_plus(s)}&x=1"),
    ("as JSON", json.dumps),
    ("as JSON in UTF-8", lambda s: json.dumps(s, ensure_ascii=False)),
    ("as Go's JSON", lambda s: json.dumps(s, ensure_ascii=False).replace("&", "\\u0026")),
    ("as a repr", repr),
    ("as HTML", html.escape),
    ("as HTML with numbers", lambda s: html.escape(s).replace("&quot;", "&#34;")),
    ("base64", lambda s: base64.b64encode(s.encode()).decode()),
    ("base64 for URLs", lambda s: base64.urlsafe_b64encode(s.encode()).decode()),
    ("basic authentication", lambda s: f"Authorization: Basic {basic('u', s)}"),
    ("basic authentication, a longer user", lambda s: f"Authorization: Basic {basic('us', s)}"),
    ("basic authentication, a longer user still", lambda s: f"Authorization: Basic {basic('use', s)}"),
    ("hex", lambda s: s.encode().hex()),
    ("hex in capitals", lambda s: s.encode().hex().upper()),
    ("twice", lambda s: s + s),
    ("in a URL", lambda s: f"http://u:{quote(s, safe='')}@h/"),
]  # fmt: skip
SECRETS = [
    SECRET,
    "hunter2hunter2",
    "a b",
    "ké",
    "+/=",
    "x" * 300,
    "pass",
    "%2F%2f",
    "0000",
    "$(id)",
    "\\n\\t",
    "[a-z]+.*",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(("how", "spell"), SPELLINGS, ids=[how for how, _ in SPELLINGS])
def test_a_secret_is_taken_out_however_it_is_spelled(
    how: str, spell: Callable[[str], str], secret: str, count_probes: CountProbes
) -> None:
    """What is left neither holds the spelling nor can be turned back."""
    spelled = spell(secret)
    shown = redact_text(f"before {spelled} after", [], certain=[secret])
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    if len(secret) < 4 and spelled != secret:
        count_probes("spellings of short secrets, of which only whole words are taken out")
        return
    assert spelled not in shown
    assert secret not in shown
    assert "***" in shown
    count_probes("spellings of secrets taken out")


@pytest.mark.parametrize(
    ("secret", "printed"),
    [
        pytest.param(PEM, "cannot parse MIIEpAIBAAKCAQEA0123 in line 2", id="one line of a key"),
        pytest.param(PEM.replace("\n", "\\n"), "bad zyxwvutsrqponm98765", id="one line of a key on one line"),
        pytest.param(PEM, "\r\n".join(PEM.split("\n")), id="a key with other line ends"),
        pytest.param(DOCUMENT, "401: ya29.a0AfH6SMB is stale", id="one value of a document"),
        pytest.param(DOCUMENT, 'refresh "1//0gLu" failed', id="a value further inside"),
        pytest.param("[" * 100_000, "x" * 200_000, id="a document without end"),
    ],
)
def test_a_part_of_a_secret_is_one(secret: str, printed: str) -> None:
    """Clients quote the line or the value that they stumbled over."""
    shown = redact_text(printed, [secret])
    for part in ("MIIEpAIBAAKCAQEA0123", "zyxwvutsrqponm98765", "ya29.a0AfH6SMB"):
        assert part not in shown


@pytest.mark.parametrize(
    ("secrets", "printed"),
    [
        pytest.param(["\\" * 60 + "x"], "\\" * 16_000, id="backslashes"),
        pytest.param(['"' * 60 + "x"], '\\"' * 8_000, id="quotes"),
        pytest.param(["%25" * 60 + "x"], "%25" * 5_000, id="percent signs"),
        pytest.param(["&amp;" * 60 + "x"], "&amp;" * 3_000, id="ampersands"),
        pytest.param([f"value-{number:06}-{number * 7:09}" for number in range(5_000)], "value-" * 2_500, id="many"),
        pytest.param(["+/=" * 20_000], "+/=" * 5_000, id="long"),
    ],
)
def test_no_secret_makes_an_agent_think_for_long(secrets: list[str], printed: str) -> None:
    """A publisher writes them, and a server prints what it likes."""
    begun = time.process_time()
    assert redact_text(printed, secrets, certain=secrets[:1]) == printed
    assert time.process_time() - begun < 3


def test_short_values_are_taken_out_where_they_stand_alone() -> None:
    """A credential may be short; a word that merely holds its letters stays readable."""
    assert redact_text("key abc of abcd, (abc) abc", [], certain=["abc"]) == "key *** of abcd, (***) ***"
    assert redact_text("exit code 2 of 3", ["2"]) == "exit code 2 of 3"


# --- a whole engine ---------------------------------------------------------------------------------------------------


class TellingDriver(SlateDriver):
    """A driver that repeats the secret it was told, in one of the ways in which a driver can."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def build(self, context: MountContext) -> MountCommand:
        secret = secret_of(context.share)
        match self.how:
            case "build":
                raise MountError(f"cannot mount with {secret}", detail=f"tried {quote(secret, safe='')}")
            case "bug":
                raise ValueError(f"no such key: {secret}")
            case "caused":
                raise MountError("cannot mount") from KeyError(secret)
        return super().build(context)

    async def check(self, context: MountContext, *, deadline_s: float) -> None:
        if self.how == "check":
            secret = secret_of(context.share)
            raise MountError("cannot mount", code=ErrorCode.AUTH, detail=f"server said {json.dumps(secret)}")

    def classify(self, context: MountContext, failure: Failure) -> MountError:
        return MountError(f"cannot mount: {secret_of(context.share)}", detail=failure.output)

    def can_apply_live(self, old: ShareMount, new: ShareMount) -> bool:
        return True

    async def refresh(self, context: MountContext, *, deadline_s: float) -> None:
        raise MountError("cannot refresh", detail=f"token {secret_of(context.share)} is stale")

    async def apply_live(self, old: ShareMount, context: MountContext, *, deadline_s: float) -> None:
        raise MountError(f"cannot change {secret_of(old)} to {secret_of(context.share)}")


def secret_of(share: ShareMount) -> str:
    block = share.block
    assert isinstance(block, SlateBlock)
    return block.secret


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "share.key").write_text(SECRET)
    async with engine_rig(tmp_path) as made:
        made.credentials = CredentialResolver(environ={}, directories=(tmp_path / "credentials",))
        yield made


GONE = parse_share({"id": "evil", "action": "unmount"})


def told_by(exc: BaseException) -> str:
    """Everything that a log or a status could take of *exc*, with what it comes from."""
    return "".join(traceback.format_exception(exc)) + f"{exc} {exc!r} {exc.args} {getattr(exc, 'detail', '')}"


@pytest.mark.integration
@pytest.mark.parametrize("reference", [REFERENCE, SECRET], ids=["a credential", "a secret in the spec"])
@pytest.mark.parametrize("how", ["build", "bug", "caused", "check", "classify"])
async def test_a_failure_tells_no_secret(how: str, reference: str, rig: EngineRig, count_probes: CountProbes) -> None:
    """Whoever wrote its text: the engine has the last word."""
    rig.driver = TellingDriver(how)
    async with rig.engine() as engine:
        share = slate("evil", rig.root / "a", mode="exit", secret=reference)
        for ask in (engine.check, engine.apply):
            if ask == engine.check and how == "classify":
                continue
            with pytest.raises((MountError, ValueError)) as caught:
                await ask(share)
            told = told_by(caught.value)
            assert [form for form in (SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1]) if form in told] == []
            assert "***" in told
            count_probes("failures of an engine without a secret in them")


@pytest.mark.integration
async def test_a_change_of_a_running_client_tells_no_secret(rig: EngineRig) -> None:
    """Neither the old value nor the new one."""
    rig.driver = TellingDriver("live")
    (rig.directory / "credentials" / "share.other").write_text("moonlit-shore")
    async with rig.engine() as engine:
        share = slate("evil", rig.root / "a", secret=REFERENCE)
        await engine.apply(share)
        for change in ({"refresh": 1}, {"slate": {"secret": "credential:share.other"}}):
            changed = parse_share(share_to_builtins(share) | change)
            with pytest.raises(MountError) as caught:
                await engine.apply(changed)
            assert caught.value.keeps_old
            assert SECRET not in told_by(caught.value)
            assert "moonlit" not in told_by(caught.value)
            assert "***" in told_by(caught.value)
        await engine.apply(GONE)


@pytest.mark.integration
async def test_a_client_that_ends_after_a_rotation_tells_neither_value(rig: EngineRig) -> None:
    """It was started with a value that the guest's file does not have any more."""
    async with rig.engine() as engine:
        await engine.apply(slate("evil", rig.root / "a", secret=REFERENCE))
        output = Path(rig.live.mounts[ShareId("evil")].private_dir) / OUTPUT_NAME
        (rig.directory / "credentials" / "share.key").write_text("moonlit-shore")
        output.write_text(f"cannot log in with {SECRET}\nnor with moonlit-shore\n")
        rig.kill_client("evil")
        error = await rig.wait_for_change(lambda told: told is not None)
        assert error is not None
        assert error.detail == "cannot log in with ***\nnor with ***"
        await engine.apply(GONE)


@pytest.mark.integration
async def test_no_credential_stands_in_a_command_line_or_an_environment(rig: EngineRig, tmp_path: Path) -> None:
    """Of a real client, as everybody in the guest sees it; it has its values from a file that only root reads."""
    rig.more_drivers = {"rclone": RcloneDriver()}
    rig.more_programs = {"rclone": Path(rclone_binary()), "fusermount3": Path("/usr/bin/fusermount3")}
    async with RcloneServer.s3(tmp_path / "s3") as server, rig.engine() as engine:
        (server.root / "bucket").mkdir()
        block = {
            "type": "crypt",
            "config": {"remote": "store:bucket", "password": REFERENCE, "password2": REFERENCE},
            "remotes": {"store": server.config},
        }
        share = {"id": "safe", "backend": "rclone", "mount_point": str(rig.root / "a"), "rclone": block}
        await engine.apply(parse_share(share))
        proc = Path(f"/proc/{rig.pid_of('safe')}")
        shown = proc.joinpath("cmdline").read_bytes() + proc.joinpath("environ").read_bytes()
        private = Path(rig.live.mounts[ShareId("safe")].private_dir)
        config = (private / "rclone.conf").read_text()
        obscured = obscure(SECRET)
        assert obscured in config
        assert [form for form in (SECRET, obscured, quote(SECRET)) if form.encode() in shown] == []
        assert [f"{os.stat(path).st_mode & 0o777:o}" for path in (private, private / "rclone.conf")] == ["700", "600"]
        assert SECRET not in repr(rig.live.mounts)
        await engine.apply(parse_share({"id": "safe", "action": "unmount"}))


@pytest.mark.integration
@pytest.mark.parametrize("name", ["path", "options", "endpoint"])
async def test_no_client_is_started_with_a_credential_in_the_open(name: str, rig: EngineRig) -> None:
    """Neither asked, nor mounted: the share is refused before anything of it reaches another process."""
    rig.more_drivers = {"rclone": RcloneDriver()}
    rig.more_programs = {"rclone": Path("/nonexistent/rclone"), "fusermount3": Path("/usr/bin/fusermount3")}
    block: dict[str, Any] = {"type": "s3", "config": {"endpoint": "http://127.0.0.1:9"}}
    block |= {"path": {"path": REFERENCE}, "options": {"options": {"user-agent": REFERENCE}}}.get(name, {})
    if name == "endpoint":
        block["config"] = {"endpoint": REFERENCE}
    share = parse_share({"id": "evil", "backend": "rclone", "mount_point": str(rig.root / "a"), "rclone": block})
    async with rig.engine() as engine:
        with pytest.raises(MountError, match="cannot use a credential in rclone") as caught:
            await engine.apply(share)
    assert SECRET not in told_by(caught.value)
    assert rig.live.mounts == {}
