"""Read the credential of a request from ``Authorization`` (RFC 6750, RFC 7617).

``Bearer <token>`` is the usual form. ``Basic`` is for clients that support nothing else, such as
apt with its ``auth.conf``: the token is the password, the user name is ignored. ``X-Auth-Token``,
which OpenStack clients send, holds the token alone; it is used if there is no ``Authorization``.
"""

import base64
import binascii
import re
from collections.abc import Callable

from staging_api.errors import Unauthenticated
from staging_api.identity.model import Environ, Identify, Principal

#: Challenge of a refusal. Basic first: some clients look at the first scheme only.
CHALLENGE = 'Basic realm="staging_api", Bearer'

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_FORM = re.compile(r"(Bearer|Basic) +([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)


def bearer(check: Callable[[str], Principal]) -> Identify:
    """Return an `Identify` that extracts the token and has `check` identify the caller."""

    def identify(environ: Environ) -> Principal | None:
        token = authorization_token(environ)
        if token is None:
            token = environ.get("HTTP_X_AUTH_TOKEN")
            if token is None:
                return None
            token = token.strip()
            if not is_token(token):
                raise Unauthenticated("the X-Auth-Token header must be a token")
        return check(token)

    return identify


def authorization_token(environ: Environ) -> str | None:
    """Return the token in ``Authorization``; None: there is no such header.

    Raises:
        Unauthenticated: the header has another form.
    """
    given = environ.get("HTTP_AUTHORIZATION")
    if given is None:
        return None
    found = _FORM.fullmatch(given.strip())
    if found is None:
        raise Unauthenticated("the Authorization header must be `Bearer <token>`")
    return _password(found[2]) if found[1].lower() == "basic" else found[2]


def is_token(text: str) -> bool:
    """Return whether the text can be sent as a token (RFC 6750: b64token)."""
    return _TOKEN.fullmatch(text) is not None


def _password(encoded: str) -> str:
    try:
        _, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("the Basic credential is not base64 of `user:token`") from None
    if not colon:
        raise Unauthenticated("the Basic credential must be `user:token`")
    return password
