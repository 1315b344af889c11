"""Tokens of an OpenID provider: valid and invalid ones, key rotation, and provider outages."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from staging_api.errors import IdentityUnavailable, Invalid, Unauthenticated, Unavailable
from staging_api.identity import outage
from staging_api.identity.calls import SharedCalls
from staging_api.identity.jwks import KeyCache
from staging_api.identity.model import Principal, Role
from staging_api.identity.oidc import OidcCheck
from staging_api.identity.provider import Provider
from staging_api.identity.recent import RecentValues
from staging_api.identity.rules import RoleRules
from tests.issuer import AUDIENCE, Issuer, issuing, new_key


@dataclass
class Clock:
    """A monotonic clock that tests advance."""

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
        # One day: the token is made when tests are collected, and must be valid until they run.
        ({"nbf": int(time.time()) + 86_400}, "does not hold|not valid"),
        ({"sub": None}, "is not allowed for a caller"),
        ({"sub": "worker"}, "is not allowed for a caller"),
    ],
)
def test_a_claim_that_does_not_hold_is_refused(issuer: Issuer, oidc: OidcCheck, claims, why):
    with pytest.raises(Unauthenticated, match=why):
        oidc.check(issuer.token(**claims))


def test_a_signature_by_an_unknown_key_is_refused(issuer: Issuer, oidc: OidcCheck):
    with pytest.raises(Unauthenticated, match="does not have"):
        oidc.check(issuer.token(key=new_key()))


def test_a_signature_by_an_unknown_key_under_a_known_id_is_refused(issuer: Issuer, oidc: OidcCheck):
    body, signature = issuer.token().rsplit(".", 1)
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    with pytest.raises(Unauthenticated, match="signature"):
        oidc.check(f"{body}.{flipped}")


def test_a_refused_token_that_comes_again_costs_no_call(
    issuer: Issuer, oidc: OidcCheck, clock: Clock
):
    """Otherwise one token, sent repeatedly, would use up everyone's key look-ups."""
    oidc = replace(oidc, _junk=RecentValues(5.0, 10, clock))
    assert oidc.check(issuer.token())
    body, signature = issuer.token().rsplit(".", 1)
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    asked = []
    for seconds in (1, 1, 4, 0.5):
        clock.seconds += seconds
        with pytest.raises(Unauthenticated, match="the token's signature does not hold"):
            oidc.check(f"{body}.{flipped}")
        asked.append(issuer.asked.count("/keys"))
    assert asked == [2, 2, 2, 3]


@pytest.mark.parametrize(
    "header",
    [{"alg": "none"}, {"alg": "HS256"}, {"alg": "RS256", "crit": ["unheard-of"], "unheard-of": 1}],
)
def test_a_signature_that_cannot_be_relied_on_is_refused_without_a_call(
    issuer: Issuer, oidc: OidcCheck, header: dict[str, object]
):
    claims = issuer.token().split(".")[1]
    named = json.dumps({**header, "kid": issuer.keys[-1].kid}).encode()
    encoded = base64.urlsafe_b64encode(named).rstrip(b"=").decode()
    with pytest.raises(Unauthenticated, match="malformed or its signature"):
        oidc.check(f"{encoded}.{claims}.AAAA")
    assert issuer.asked == []


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
def test_malformed_tokens_are_refused(oidc: OidcCheck, text: str):
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


def test_a_new_key_is_503_while_the_issuer_is_unreachable(
    issuer: Issuer, oidc: OidcCheck, clock: Clock
):
    before = issuer.token()
    oidc.check(before)
    clock.seconds += 30
    issuer.away = True
    issuer.rotate()
    with pytest.raises(IdentityUnavailable):
        oidc.check(issuer.token())
    assert oidc.check(before).name == "alice"
    issuer.away = False
    assert eventually_checked(oidc, issuer.token()).name == "alice"


def test_a_key_that_rotates_a_moment_after_a_fetch_is_found(
    issuer: Issuer, oidc: OidcCheck, clock: Clock
):
    """Keys fetched before the token arrived prove nothing about its key."""
    for _ in range(10):
        oidc.check(issuer.token())
        clock.seconds += 0.001
        issuer.rotate()
    assert oidc.check(issuer.token()).name == "alice"


@pytest.mark.parametrize("key_id", ["1", None])
def test_a_new_key_under_the_same_id_is_found(
    issuer: Issuer, oidc: OidcCheck, clock: Clock, key_id: str | None
):
    def sign() -> str:
        issuer.keys = [ECKey.generate_key("P-256", {"kid": key_id} if key_id else {})]
        return issuer.token()

    before = sign()
    oidc.check(before)
    clock.seconds += 1
    assert oidc.check(sign()).name == "alice"
    clock.seconds += 10
    with pytest.raises(Unauthenticated):
        oidc.check(before)


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "keys",
        {"keys": None},
        {"keys": {}},
        {"keys": "x"},
        {"keys": [1, None, "x", []]},
        {"keys": [{"kty": ["EC"]}, {"kid": {}}]},
        {"keys": [{"kty": "RSA", "kid": "x", "n": 5, "e": []}]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]},
    ],
)
def test_a_malformed_set_of_keys_is_503_and_keeps_the_keys_of_before(
    issuer: Issuer, oidc: OidcCheck, clock: Clock, document: object
):
    before = issuer.token()
    issuer.says = document
    with pytest.raises(IdentityUnavailable):
        oidc.check(before)
    issuer.says = None
    oidc.check(before)
    issuer.says = document
    clock.seconds += 3600
    assert oidc.check(before).name == "alice"
    with pytest.raises(IdentityUnavailable):
        oidc.check(issuer.token(key=new_key()))


def test_a_key_of_the_issuer_that_cannot_be_read_is_503(issuer: Issuer, oidc: OidcCheck):
    other = new_key()
    broken = {**other.as_dict(private=False), "x": "AAAA"}
    issuer.says = {"keys": [issuer.keys[-1].as_dict(private=False), broken]}
    assert oidc.check(issuer.token()).name == "alice"
    with pytest.raises(IdentityUnavailable):
        oidc.check(issuer.token(key=other))
    with pytest.raises(Unauthenticated):
        oidc.check(issuer.token(key=new_key()))


def rsa(key_id: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "kid": key_id})


def signed_by(issuer: Issuer, key: Key, algorithm: str, **header: str) -> str:
    """Return a token of the issuer, signed with this key, with only the given header fields."""
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600}
    return jwt.encode({"alg": algorithm, **header}, claims, key, algorithms=[algorithm])


def test_each_key_without_an_id_is_tried(issuer: Issuer, oidc: OidcCheck):
    """During a rotation an issuer may have two keys, and tokens that do not say which one."""
    issuer.keys = [ECKey.generate_key("P-256"), ECKey.generate_key("P-256")]
    for key in issuer.keys:
        assert oidc.check(signed_by(issuer, key, "ES256")).name == "alice"
        assert oidc.check(signed_by(issuer, key, "ES256", kid="some")).name == "alice"
    for header in ({}, {"kid": "some"}):
        with pytest.raises(Unauthenticated, match="signature does not hold"):
            oidc.check(signed_by(issuer, ECKey.generate_key("P-256"), "ES256", **header))


def test_a_token_without_an_id_is_tried_with_keys_that_have_one(issuer: Issuer, oidc: OidcCheck):
    issuer.keys = [new_key(), rsa("r"), new_key()]
    assert oidc.check(signed_by(issuer, issuer.keys[0], "ES256")).name == "alice"
    assert oidc.check(signed_by(issuer, issuer.keys[1], "PS256")).name == "alice"
    with pytest.raises(Unauthenticated):
        oidc.check(signed_by(issuer, new_key(), "ES256"))


def test_keys_of_two_types_may_share_an_id(issuer: Issuer, oidc: OidcCheck):
    """RFC 7517, section 4.5: one key in two forms."""
    elliptic = ECKey.generate_key("P-256", {"kid": "1"})
    issuer.keys = [elliptic, rsa("1")]
    assert oidc.check(signed_by(issuer, elliptic, "ES256", kid="1")).name == "alice"
    assert oidc.check(signed_by(issuer, issuer.keys[1], "RS256", kid="1")).name == "alice"


@pytest.mark.parametrize(
    "facts", [{"use": "enc"}, {"key_ops": ["encrypt", "wrapKey"]}, {"alg": "RS512"}]
)
def test_a_key_that_is_not_for_such_signatures_verifies_none(
    issuer: Issuer, oidc: OidcCheck, facts: dict[str, object]
):
    """The issuer excludes the key from signatures: the token is invalid without a look-up."""
    key = RSAKey.generate_key(2048, {"kid": "r"})
    public = key.as_dict(private=False)
    issuer.says = {"keys": [issuer.keys[0].as_dict(private=False), {**public, **facts}]}
    for header in ({"kid": "r"}, {}):
        with pytest.raises(Unauthenticated):
            oidc.check(signed_by(issuer, key, "RS256", **header))
    assert oidc.check(issuer.token()).name == "alice"


def test_a_shared_secret_that_an_issuer_publishes_signs_nothing(issuer: Issuer, oidc: OidcCheck):
    secret = OctKey.import_key("a secret of thirty-two characters", {"kid": "s"})
    issuer.says = {"keys": [issuer.keys[0].as_dict(private=False), secret.as_dict()]}
    for header in ({"kid": "s"}, {}, {"kid": issuer.keys[0].kid}):
        with pytest.raises(Unauthenticated):
            oidc.check(signed_by(issuer, secret, "HS256", **header))


def test_a_set_of_keys_that_is_too_long_is_503(issuer: Issuer, oidc: OidcCheck):
    issuer.says = {"keys": [issuer.keys[0].as_dict(private=False)], "padding": "x" * (1 << 20)}
    with pytest.raises(IdentityUnavailable, match="more than 1048576 bytes"):
        oidc.check(issuer.token())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_an_issuer_that_moved_is_503_and_not_followed(issuer: Issuer, oidc: OidcCheck, status: int):
    with issuing() as other:
        issuer.moved = (status, f"{other.url}/keys")
        with pytest.raises(IdentityUnavailable, match=f"answered {status}"):
            oidc.check(issuer.token())
        assert other.asked == []


@pytest.mark.parametrize(
    "content", [None, "text/html", "application/octet-stream", "application/jwk-set+json"]
)
def test_keys_are_accepted_with_any_content_type(
    issuer: Issuer, oidc: OidcCheck, content: str | None
):
    issuer.content_type = content
    assert oidc.check(issuer.token()).name == "alice"


@pytest.mark.parametrize(("skew", "holds"), [(-20, True), (-40, False)])
def test_clocks_may_differ_by_half_a_minute(
    issuer: Issuer, oidc: OidcCheck, skew: int, holds: bool
):
    """For issuers whose clock is behind ours or ahead of it."""
    now = int(time.time())
    for claim, seconds in (("exp", now + skew), ("nbf", now - skew), ("iat", now - skew)):
        token = issuer.token(None, **{claim: seconds})
        if holds:
            assert oidc.check(token).name == "alice"
        else:
            with pytest.raises(Unauthenticated):
                oidc.check(token)


@pytest.mark.parametrize("manner", ["drip", "drip head", "hang"])
def test_an_issuer_that_hangs_costs_no_more_than_the_deadline(issuer: Issuer, manner: str):
    """Waiting callers share one request; further callers are refused once enough of them wait."""
    calls = SharedCalls(seconds=0.3, waiters=4)
    keys = KeyCache(Provider(issuer.url).fetcher(), calls=calls)
    issuer.manner = manner
    with ThreadPoolExecutor(24) as strangers:
        found = [strangers.submit(keys.find, f"invented-{n}") for n in range(24)]
        causes = [each.exception() for each in found]
    assert all(isinstance(cause, IdentityUnavailable) for cause in causes)
    assert len(issuer.asked) == 1
    issuer.manner = ""
    for _ in range(100):
        try:
            assert keys.find(issuer.keys[-1].kid)
        except IdentityUnavailable:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("it is not asked again")


def test_known_keys_serve_at_once_while_the_issuer_hangs(issuer: Issuer, clock: Clock):
    keys = KeyCache(Provider(issuer.url).fetcher(), clock, SharedCalls(seconds=30))
    key_id = issuer.keys[-1].kid
    assert keys.find(key_id)
    clock.seconds += 3600
    issuer.manner = "hang"
    assert keys.find(key_id)
    issuer.let_go.set()


def eventually_checked(oidc: OidcCheck, token: str) -> Principal:
    """Retry as long as the token's key is not known."""
    for _ in range(100):
        try:
            return oidc.check(token)
        except IdentityUnavailable:
            time.sleep(0.05)
    raise AssertionError("never known")


def test_too_many_unknown_keys_are_answered_without_the_issuer(issuer: Issuer, clock: Clock):
    keys = KeyCache(Provider(issuer.url).fetcher(), clock)
    answers: list[object] = []
    for number in range(150):
        clock.seconds += 0.001
        try:
            answers.append(keys.find(f"invented-{number}"))
        except IdentityUnavailable:
            answers.append("later")
    assert set(answers) == {(), "later"}
    assert issuer.asked.count("/keys") <= 101
    assert keys.find(issuer.keys[-1].kid)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_our_own_token_goes_to_the_issuers_host_only(
    issuer: Issuer, tmp_path: Path, elsewhere: bool
):
    token = tmp_path / "token"
    token.write_text("of-the-service-account\n")
    with issuing() as other:
        if elsewhere:
            issuer.keys_at = f"{other.url}/keys"
        document = Provider(issuer.url, token_file=token).fetcher()()
    assert document["keys"]
    sent = "Bearer of-the-service-account"
    assert issuer.credentials == ([sent] if elsewhere else [sent, sent])
    assert other.credentials == ([None] if elsewhere else [])


def test_a_configured_address_elsewhere_does_not_get_it_either(issuer: Issuer, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("of-the-service-account")
    with issuing() as other:
        Provider(issuer.url, f"{other.url}/keys", token_file=token).fetcher()()
    assert other.credentials == [None]


@pytest.mark.parametrize("wrong", ["missing", "a folder", "two lines", "not text"])
def test_a_token_of_ours_that_cannot_be_sent_is_503(
    issuer: Issuer, tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
):
    token = tmp_path / "token"
    if wrong == "a folder":
        token.mkdir()
    elif wrong != "missing":
        token.write_bytes(b"a\nb" if wrong == "two lines" else b"\xff")
    outage._logged_at.clear()
    with pytest.raises(IdentityUnavailable, match="our own token"):
        Provider(issuer.url, token_file=token).fetcher()()
    assert "(file)" in caplog.text
    assert issuer.asked == []


@pytest.mark.parametrize("address", ["http://[", "", 7, None, "http://elsewhere.example/keys"])
def test_a_discovery_document_without_a_usable_address_is_503(issuer: Issuer, address: object):
    issuer.keys_at = address
    with pytest.raises(IdentityUnavailable):
        Provider(issuer.url).fetcher()()


def test_a_discovery_document_of_another_issuer_is_not_believed(issuer: Issuer):
    asked = issuer.url.replace("127.0.0.1", "localhost")
    with pytest.raises(Unavailable, match="another issuer"):
        Provider(asked).fetcher()()


@pytest.mark.parametrize("url", ["http://issuer.example", "ftp://issuer.example", "issuer"])
def test_keys_are_not_fetched_over_plain_http(url: str):
    with pytest.raises(Invalid, match="STAGING_OIDC_ISSUER"):
        Provider(url).fetcher()
