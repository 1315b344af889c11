"""Sign-in with a provider: redirect address, code exchange, and use of the response."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from staging_api.errors import Unauthenticated
from staging_api.identity.authorization_code import AuthorizationCode
from staging_api.identity.calls import SharedCalls
from staging_api.identity.model import Principal, Role
from staging_api.identity.outage import IdentityOutage, OutageCause
from staging_api.identity.provider import Provider

WAY_BACK = "https://service.example/ui/sign-in/callback"
ALICE = Principal("alice", frozenset({Role.VIEWER}))


@dataclass(frozen=True)
class Noting(Provider):
    """Provider that records requests, and answers as configured."""

    sent: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    answer: tuple[int, Mapping[str, Any]] = (400, {})
    authorization: str = "https://issuer.example/authorize"

    def discovery(self) -> Mapping[str, Any]:
        return {
            "authorization_endpoint": self.authorization,
            "token_endpoint": "https://issuer.example/token",
        }

    def post(self, url: str, fields: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        self.sent.append((url, dict(fields)))
        return self.answer


def way_over(provider: Provider, secret_file: Path | None = None) -> AuthorizationCode:
    nothing: Any = None
    return AuthorizationCode(provider, "pages", secret_file, "openid", nothing, SharedCalls(60))


def finish(provider: Provider, secret_file: Path | None = None) -> None:
    way = way_over(provider, secret_file)
    way.finish("the-code", WAY_BACK, nonce="n", verifier="v")


@pytest.mark.parametrize("known", [{}, {"tenant": "lab"}])
def test_a_browser_is_led_to_the_provider_with_what_the_way_back_is_recognized_by(
    known: Mapping[str, str],
) -> None:
    """The authorization address of a provider may have a query of its own."""
    own = f"?{urlencode(known)}" if known else ""
    address = f"https://issuer.example/authorize{own}"
    begun = way_over(Noting("https://issuer.example", authorization=address)).start(WAY_BACK)
    where, _, query = begun.location.partition("?")
    assert where == "https://issuer.example/authorize"
    challenge = hashlib.sha256(begun.verifier.encode()).digest()
    assert dict(parse_qsl(query, strict_parsing=True)) == {
        **known,
        "response_type": "code",
        "client_id": "pages",
        "redirect_uri": WAY_BACK,
        "scope": "openid",
        "state": begun.state,
        "nonce": begun.nonce,
        "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    assert len({begun.state, begun.nonce, begun.verifier}) == 3


@pytest.mark.parametrize("with_secret", [False, True])
def test_a_code_is_sent_with_what_proves_that_we_asked_for_it(
    tmp_path: Path, *, with_secret: bool
) -> None:
    file, provider = tmp_path / "secret", Noting("https://issuer.example")
    file.write_text("hunter22\n")
    with pytest.raises(Unauthenticated, match="begin anew"):
        finish(provider, file if with_secret else None)
    fields = {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": WAY_BACK,
        "client_id": "pages",
        "code_verifier": "v",
    }
    secret = {"client_secret": "hunter22"} if with_secret else {}
    assert provider.sent == [("https://issuer.example/token", {**fields, **secret})]


def test_a_secret_that_cannot_be_read_is_no_fault_of_who_signs_in(tmp_path: Path) -> None:
    provider = Noting("https://issuer.example")
    with pytest.raises(IdentityOutage, match="No such file or directory") as refused:
        finish(provider, tmp_path / "none")
    assert refused.value.cause is OutageCause.FILE
    assert provider.sent == []


@pytest.mark.parametrize("answer", [{}, {"id_token": None}, {"access_token": "t"}])
def test_an_answer_without_an_id_token_signs_nobody_in(answer: Mapping[str, Any]) -> None:
    with pytest.raises(Unauthenticated, match="gave no ID token"):
        finish(Noting("https://issuer.example", answer=(200, answer)))


class Trusting:
    """Verifier that accepts each token as a valid token of alice."""

    def check(self, _token: str) -> Principal:
        return ALICE


def test_a_token_counts_for_the_sign_in_whose_nonce_it_has_however_long_it_is() -> None:
    trusting: Any = Trusting()
    for length in range(20):
        claims = json.dumps({"nonce": "n", "name": "x" * length}).encode()
        token = f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"
        provider = Noting("https://issuer.example", answer=(200, {"id_token": token}))
        way = replace(way_over(provider), check=trusting)
        assert way.finish("the-code", WAY_BACK, nonce="n", verifier="v") == ALICE
        with pytest.raises(Unauthenticated, match="another sign-in"):
            way.finish("the-code", WAY_BACK, nonce="another", verifier="v")
