"""Keys and tokens: stated once, said the same for ever, and silent about secrets."""

from __future__ import annotations

import base64

import nkeys
import pytest

from controlplane.auth.jwt import Key, KeyKind, build_token, claims_of

ISSUER = Key.generate(KeyKind.ACCOUNT)
USER = Key.generate(KeyKind.USER)


def token(name: str = "vm-1", *, expires_at_s: int | None = None) -> str:
    return build_token(
        {"type": "user"}, name=name, subject=USER.public, issuer=ISSUER, issued_at_s=7, expires_at_s=expires_at_s
    )


def test_the_same_statement_is_the_same_text() -> None:
    """Nothing in a token is random, so writing a configuration again changes no byte."""
    assert token() == token()
    assert claims_of(token())["jti"] != claims_of(token("vm-2"))["jti"]


def test_a_token_says_who_about_whom_and_until_when() -> None:
    """The names are those that brokers read."""
    said = claims_of(token(expires_at_s=9))
    assert (said["iss"], said["sub"], said["name"], said["iat"], said["exp"]) == (
        ISSUER.public, USER.public, "vm-1", 7, 9,
    )  # fmt: skip
    assert said["nats"] == {"type": "user", "version": 2}
    assert "exp" not in claims_of(token())


def test_the_signature_is_the_issuers() -> None:
    """Whoever knows the issuer's public key can check it."""
    unsigned, _, signature = token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    assert nkeys.from_seed(bytearray(ISSUER.seed.encode())).verify(unsigned.encode(), raw)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_key_survives_its_seed(kind: KeyKind) -> None:
    """What is written can be read, and begins with the letter of its kind."""
    key = Key.generate(kind)
    assert Key.from_seed(key.seed + "\n", kind).public == key.public
    assert key.public.startswith(kind.value)


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param("", id="nothing"),
        pytest.param("SUNOTASEED", id="not a seed"),
        pytest.param(USER.seed, id="of another kind"),
        pytest.param(ISSUER.seed[:30] + ("A" if ISSUER.seed[30] != "A" else "B") + ISSUER.seed[31:], id="damaged"),
        pytest.param(ISSUER.public, id="a public key"),
    ],
)
def test_a_wrong_seed_is_refused_without_repeating_it(seed: str) -> None:
    """The sentence names the kind, never the text."""
    with pytest.raises(ValueError, match="not the seed of a NATS account key") as caught:
        Key.from_seed(seed, KeyKind.ACCOUNT)
    assert not seed or seed not in str(caught.value)


def test_a_key_does_not_show_its_seed() -> None:
    """Neither repr nor str."""
    assert USER.seed not in f"{USER!r} {USER}"
