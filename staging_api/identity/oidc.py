"""OpenID Connect: signed tokens of an identity provider, Kubernetes service accounts included."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    JoseError,
    MissingClaimError,
)
from joserfc.jwk import Key

from staging_api.errors import Unauthenticated
from staging_api.identity.jwks import KeyCache
from staging_api.identity.model import Identity, valid_name
from staging_api.identity.recent import Recent
from staging_api.identity.rules import RoleRules

#: Signatures by a private key only. "none" and the HS family would let a caller sign for himself.
ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
# How far the clocks of provider and pods may differ.
_LEEWAY_SECONDS = 30
# A token that does not hold is not checked again for a moment.
_JUNK_SECONDS = 5.0
_MOST_JUNK = 1000


@dataclass(frozen=True)
class OidcCheck:
    """Checks tokens of one issuer that are meant for us.

    Attributes:
        audience: what the token's ``aud`` must name: this service.
        name_claim: the claim that becomes the caller.
    """

    issuer: str
    audience: str
    name_claim: str
    rules: RoleRules
    keys: KeyCache
    _junk: Recent[str] = field(default_factory=lambda: Recent(_JUNK_SECONDS, _MOST_JUNK))

    def check(self, token: str) -> Identity:
        """Whose token it is.

        Raises:
            Unauthenticated: the signature, issuer, audience or time does not hold; says which.
            IdentityUnavailable: the keys of the provider cannot be had.
        """
        came_at = self.keys.now()
        digest = hashlib.sha256(token.encode()).hexdigest()
        if (known := self._junk.get(digest)) is not None:
            raise Unauthenticated(known)
        try:
            claims = self._claims(token, came_at)
        except Unauthenticated as error:
            self._junk.put(digest, error.detail)
            raise
        return Identity(valid_name(claims.get(self.name_claim)), self.rules.roles(claims))

    def _claims(self, token: str, came_at: float) -> dict[str, Any]:
        try:
            claims = self._decoded(token, came_at)
            self._registry().validate(claims)
        except ExpiredTokenError:
            raise Unauthenticated("the token has expired") from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise Unauthenticated(f"the token's claim does not hold: {error.claim}") from None
        except (JoseError, ValueError, TypeError):
            # The library's words may quote the token.
            raise Unauthenticated("the token is malformed or its signature does not hold") from None
        return claims

    def _decoded(self, token: str, came_at: float) -> dict[str, Any]:
        try:
            return jwt.decode(token, self._key, algorithms=ALGORITHMS).claims
        except BadSignatureError:
            # The issuer may have a new key under the same id, or under none.
            def newest(unverified: Any) -> Key:
                return self._found(self.keys.find_since(came_at, _key_id(unverified)))

            return jwt.decode(token, newest, algorithms=ALGORITHMS).claims

    def _key(self, token: Any) -> Key:
        return self._found(self.keys.find(_key_id(token)))

    def _found(self, key: Key | None) -> Key:
        if key is None:
            raise Unauthenticated("the token is signed with a key that its issuer does not have")
        return key

    def _registry(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            exp={"essential": True},
        )


def _key_id(token: Any) -> str | None:
    key_id = token.headers().get("kid")
    return key_id if isinstance(key_id, str) else None
