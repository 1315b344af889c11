"""Tokens of an OpenID provider: which hold, and what happens when keys rotate or it is away."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from staging_api.errors import Invalid, Unauthenticated, Unavailable
from staging_api.identity.jwks import KeyCache
from staging_api.identity.model import Role
from staging_api.identity.oidc import OidcCheck
from staging_api.identity.provider import Provider
from staging_api.identity.rules import RoleRules
from tests.issuer import AUDIENCE, Issuer, issuing, new_key


@dataclass
class Clock:
    """A monotonic clock that goes as far as it is told."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def oidc(issuer: Issuer, clock: Clock) -> OidcCheck:
    return OidcCheck(
        issuer=issuer.url,
        audience=AUDIENCE,
        name_claim="sub",
        rules=RoleRules.parse("stager:groups=ci"),
        keys=KeyCache(Provider(issuer.url).fetcher(), clock),
    )


def test_a_token_that_holds_names_its_caller_and_roles(issuer: Issuer, oidc: OidcCheck):
    found = oidc.check(issuer.token(groups=["ci"]))
    assert (found.name, found.roles) == ("alice", frozenset({Role.STAGER}))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": int(time.time()) - 120}, "expired"),
        ({"exp": None}, "exp"),
        ({"aud": "another-service"}, "aud"),
        ({"aud": None}, "aud"),
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"nbf": int(time.time()) + 600}, "does not hold|not valid"),
        ({"sub": None}, "names nobody"),
        ({"sub": "worker"}, "names nobody"),
    ],
)
def test_a_claim_that_does_not_hold_is_refused(issuer: Issuer, oidc: OidcCheck, claims, why):
    with pytest.raises(Unauthenticated, match=why):
        oidc.check(issuer.token(**claims))


def test_a_signature_by_a_stranger_is_refused(issuer: Issuer, oidc: OidcCheck):
    with pytest.raises(Unauthenticated, match="does not have"):
        oidc.check(issuer.token(key=new_key()))


def test_a_signature_by_a_stranger_under_a_known_key_id_is_refused(issuer: Issuer, oidc: OidcCheck):
    body, signature = issuer.token().rsplit(".", 1)
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    with pytest.raises(Unauthenticated, match="signature"):
        oidc.check(f"{body}.{flipped}")


def test_a_token_without_signature_is_refused(issuer: Issuer, oidc: OidcCheck):
    kid = issuer.keys[-1].kid
    claims = issuer.token().split(".")[1]
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": kid}).encode())
    with pytest.raises(Unauthenticated):
        oidc.check(f"{header.rstrip(b'=').decode()}.{claims}.")


def test_the_public_key_is_no_shared_secret(issuer: Issuer, oidc: OidcCheck):
    """The known attack: sign with HS256, and the provider's public key as the secret."""
    key = issuer.keys[-1]
    assert isinstance(key, RSAKey | ECKey)
    public = key.as_pem(private=False)
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "eve", "exp": int(time.time()) + 60}
    secret = OctKey.import_key(base64.b64encode(public).decode())
    forged = jwt.encode({"alg": "HS256", "kid": issuer.keys[-1].kid}, claims, secret)
    with pytest.raises(Unauthenticated):
        oidc.check(forged)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "....", "e30.e30.e30", "é.b.c"])
def test_what_is_no_token_is_refused(oidc: OidcCheck, text: str):
    with pytest.raises(Unauthenticated):
        oidc.check(text)


def test_keys_are_fetched_once_for_many_tokens(issuer: Issuer, oidc: OidcCheck):
    for _ in range(5):
        oidc.check(issuer.token())
    assert issuer.asked.count("/keys") == 1


def test_a_rotated_key_is_found_by_the_next_token(issuer: Issuer, oidc: OidcCheck, clock: Clock):
    before = issuer.token()
    oidc.check(before)
    issuer.rotate()
    clock.seconds += 11
    assert oidc.check(issuer.token()).name == "alice"
    with pytest.raises(Unauthenticated):
        oidc.check(before)


def test_invented_key_ids_do_not_make_us_ask_each_time(issuer: Issuer, oidc: OidcCheck):
    oidc.check(issuer.token())
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            oidc.check(issuer.token(key=new_key()))
    assert issuer.asked.count("/keys") == 1


def test_while_the_provider_is_away_its_keys_stay_good(
    issuer: Issuer, oidc: OidcCheck, clock: Clock
):
    oidc.check(issuer.token())
    issuer.away = True
    clock.seconds += 3600
    assert oidc.check(issuer.token()).name == "alice"


def test_a_provider_that_never_answered_is_not_the_callers_fault(issuer: Issuer, oidc: OidcCheck):
    issuer.away = True
    with pytest.raises(Unavailable):
        oidc.check(issuer.token())


def test_keys_that_could_not_be_renewed_for_a_day_are_trusted_no_more(
    issuer: Issuer, oidc: OidcCheck, clock: Clock
):
    oidc.check(issuer.token())
    issuer.away = True
    clock.seconds += 25 * 3600
    with pytest.raises(Unavailable):
        oidc.check(issuer.token())


def test_a_discovery_document_of_another_issuer_is_not_believed(issuer: Issuer):
    asked = issuer.url.replace("127.0.0.1", "localhost")
    with pytest.raises(Unavailable, match="another issuer"):
        Provider(asked).fetcher()()


@pytest.mark.parametrize("url", ["http://issuer.example", "ftp://issuer.example", "issuer"])
def test_keys_are_not_fetched_over_a_line_that_anybody_can_change(url: str):
    with pytest.raises(Invalid, match="STAGING_OIDC_ISSUER"):
        Provider(url).fetcher()
