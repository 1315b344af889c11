"""OpenID Connect: signed tokens of an identity provider, Kubernetes service accounts included."""

from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import Key

from staging_api.errors import Unauthenticated
from staging_api.identity.jwks import KeyCache
from staging_api.identity.model import Identity, valid_name
from staging_api.identity.rules import RoleRules

#: Signatures by a private key only. "none" and the HS family would let a caller sign for himself.
ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
# How far the clocks of provider and pods may differ.
_LEEWAY_SECONDS = 30


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

    def check(self, token: str) -> Identity:
        """Whose token it is.

        Raises:
            Unauthenticated: the signature, issuer, audience or time does not hold; says which.
            Unavailable: the keys of the provider cannot be had.
        """
        try:
            claims = jwt.decode(token, self._key, algorithms=ALGORITHMS).claims
            self._registry().validate(claims)
        except ExpiredTokenError:
            raise Unauthenticated("the token has expired") from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise Unauthenticated(f"the token's claim does not hold: {error.claim}") from None
        except (JoseError, ValueError, TypeError):
            # The library's words may quote the token.
            raise Unauthenticated("the token is malformed or its signature does not hold") from None
        return Identity(valid_name(claims.get(self.name_claim)), self.rules.roles(claims))

    def _key(self, token: Any) -> Key:
        key_id = token.headers().get("kid")
        found = self.keys.find(key_id if isinstance(key_id, str) else None)
        if found is None:
            raise Unauthenticated("the token is signed with a key that its issuer does not have")
        return found

    def _registry(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            exp={"essential": True},
        )
