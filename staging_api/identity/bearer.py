"""``Authorization: Bearer ...`` (RFC 6750): the form of all credentials that are one text."""

import re
from collections.abc import Callable

from staging_api.errors import Unauthenticated
from staging_api.identity.model import Header, Identify, Identity

_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)


def bearer(check: Callable[[str], Identity]) -> Identify:
    """Identify by what `check` says of the bearer token."""

    def identify(header: Header) -> Identity | None:
        given = header("Authorization")
        if given is None:
            return None
        found = _BEARER.fullmatch(given.strip())
        if found is None:
            raise Unauthenticated("the Authorization header must be `Bearer <token>`")
        return check(found[1])

    return identify
