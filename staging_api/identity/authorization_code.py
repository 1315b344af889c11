"""Sign-in at an OpenID provider by authorization code with PKCE (RFC 6749, RFC 7636).

1. `start`: the browser goes to the provider with a challenge and a nonce. A signed
   cookie keeps the verifier and the nonce for ten minutes.
2. The provider redirects the browser back with a code.
3. `finish`: this process exchanges the code and the verifier for an ID token, and checks the
   token like any other; its audience must be our client id, its nonce the one in the cookie.

What if the process dies? The process keeps no state: another one finishes the sign-in.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from staging_api.errors import Unauthenticated
from staging_api.identity.calls import SharedCalls
from staging_api.identity.model import Principal
from staging_api.identity.oidc import OidcCheck
from staging_api.identity.outage import OutageCause, cannot_check
from staging_api.identity.provider import Provider
from staging_api.small_files import read_small_file

STARTED_SECONDS = 600.0
_OK = 200


@dataclass(frozen=True)
class BegunSignIn:
    """A sign-in that was begun: the URL for the browser, and the content of its cookie."""

    location: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class AuthorizationCode:
    """Sign-in at one provider.

    Attributes:
        client_id: our id at the provider; the audience of its ID tokens.
        secret_file: file with the client's secret; None: PKCE alone.
        scopes: scopes to request, separated by spaces.
        check: checks ID tokens.
    """

    provider: Provider
    client_id: str
    secret_file: Path | None
    scopes: str
    check: OidcCheck
    calls: SharedCalls

    def start(self, redirect_uri: str) -> BegunSignIn:
        """Begin a sign-in that redirects back to `redirect_uri`.

        Raises:
            IdentityUnavailable: the provider's discovery document cannot be fetched.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        where = self._endpoint("authorization_endpoint")
        mark = "&" if "?" in where else "?"
        return BegunSignIn(f"{where}{mark}{urlencode(query)}", state, nonce, verifier)

    def finish(self, code: str, redirect_uri: str, *, nonce: str, verifier: str) -> Principal:
        """Return the principal that signed in.

        Raises:
            Unauthenticated: the code or its token is not valid.
            IdentityUnavailable: the check is not possible at the moment.
        """
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self.client_id,
            "code_verifier": verifier,
        }
        answer = self._exchanged(fields)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated("the identity provider gave no ID token")
        principal = self.check.check(token)
        # The signature has been checked, so the claims are the provider's.
        if _claims(token).get("nonce") != nonce:
            raise Unauthenticated("the token was made for another sign-in")
        return principal

    def _exchanged(self, fields: Mapping[str, str]) -> Mapping[str, Any]:
        url = self._endpoint("token_endpoint")
        if self.secret_file is not None:
            try:
                fields = {**fields, "client_secret": read_small_file(self.secret_file).strip()}
            except OSError as error:
                raise cannot_check(
                    OutageCause.FILE, f"the client's secret cannot be read: {error.strerror}"
                ) from None
        answer: Mapping[str, Any]
        status, answer = self._called(fields["code"], lambda: self.provider.post(url, fields))
        if status != _OK:
            raise Unauthenticated("the identity provider does not accept this sign-in: begin anew")
        return answer

    def _endpoint(self, name: str) -> str:
        document = self._called("discovery", self.provider.discovery)
        return self.provider.checked_endpoint(document, name)

    def _called(self, key: str, call: Callable[[], Any]) -> Any:
        return self.calls.wait_for(f"sign-in {hashlib.sha256(key.encode()).hexdigest()}", call)


def _claims(token: str) -> Mapping[str, Any]:
    body = token.split(".")[1]
    claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims
