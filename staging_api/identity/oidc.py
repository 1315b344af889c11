"""OpenID Connect: signed tokens of an identity provider, including Kubernetes service accounts."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import Key
from joserfc.jwt import JWTClaimsRegistry

from staging_api.errors import Unauthenticated
from staging_api.identity.jwks import KeyCache
from staging_api.identity.model import Principal, valid_name
from staging_api.identity.recent import RecentValues
from staging_api.identity.rules import RoleRules

#: Signatures by a private key only. "none" and the HS family would let callers sign for themselves.
ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
_SIGNED = jws.JWSRegistry(algorithms=ALGORITHMS)
# Tolerated difference between the clocks of provider and pods.
_LEEWAY_SECONDS = 30
# Time for which a refused token is not checked again.
_JUNK_SECONDS = 5.0
_MOST_JUNK = 1000


@dataclass(frozen=True)
class OidcCheck:
    """Checks tokens of one issuer with our audience.

    Attributes:
        audience: value that the token's ``aud`` must contain: this service.
        name_claim: the claim that becomes the caller's name.
    """

    issuer: str
    audience: str
    name_claim: str
    rules: RoleRules
    keys: KeyCache
    _junk: RecentValues[str] = field(
        default_factory=lambda: RecentValues(_JUNK_SECONDS, _MOST_JUNK)
    )

    def check(self, token: str) -> Principal:
        """Return the identity of a token.

        Raises:
            Unauthenticated: the signature, issuer, audience or time is not valid; the message says
                which.
            IdentityUnavailable: the keys of the provider cannot be fetched.
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
        return Principal(valid_name(claims.get(self.name_claim)), self.rules.roles(claims))

    def _claims(self, token: str, came_at: float) -> dict[str, Any]:
        try:
            claims = json.loads(self._payload(token, came_at))
            if not isinstance(claims, dict):
                raise Unauthenticated("the token's claims are no object")
            self._registry().validate(claims)
        except ExpiredTokenError:
            raise Unauthenticated("the token has expired") from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise Unauthenticated(f"the token's claim does not hold: {error.claim}") from None
        except (JoseError, ValueError, TypeError, RecursionError):
            # The library's message may quote the token.
            raise Unauthenticated("the token is malformed or its signature does not hold") from None
        return claims

    def _payload(self, token: str, came_at: float) -> bytes:
        signed = jws.extract_compact(token.encode())
        header = signed.headers()
        # Before any call: check that the algorithm is allowed, and no critical header is unknown.
        _SIGNED.check_header(header)
        _SIGNED.get_alg(header["alg"])
        key_id = header.get("kid")
        keys = self.keys.find(key_id)
        # If no key fits, the issuer may have a new key with the same id, or without an id.
        if not _verifies(signed, keys):
            keys = self.keys.find_since(came_at, key_id) if keys else ()
            if not keys:
                raise Unauthenticated(
                    "the token is signed with a key that its issuer does not have"
                )
            if not _verifies(signed, keys):
                raise Unauthenticated("the token's signature does not hold")
        return signed.payload

    def _registry(self) -> JWTClaimsRegistry:
        return JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            exp={"essential": True},
        )


def _verifies(signed: jws.CompactSignature, keys: Sequence[Key]) -> bool:
    """Return whether one of the keys made the signature; a key of another type did not."""
    for key in keys:
        with suppress(JoseError, ValueError, TypeError):
            if jws.validate_compact(signed, key, registry=_SIGNED):
                return True
    return False
