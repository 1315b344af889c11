"""The words of identity: roles, an identity, and the ways to find one in a request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from staging_api.errors import Unauthenticated
from staging_api.identity.names import is_seen, looks_reserved

_MAX_NAME_LENGTH = 200


class Role(StrEnum):
    """What a caller may be; which routes each may call is told in ``http/permissions.py``."""

    VIEWER = "viewer"
    STAGER = "stager"
    PUBLISHER = "publisher"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    DEVICE = "device"


@dataclass(frozen=True)
class Identity:
    """Who calls: the `name` goes into every row as ``caller``."""

    name: str
    roles: frozenset[Role]


#: A request, as WSGI has it (PEP 3333): its headers are ``HTTP_...``.
Environ = Mapping[str, Any]
#: Who sent a request; None: no credential was sent. A credential that does not hold raises
#: `Unauthenticated`; one that cannot be checked just now, `IdentityUnavailable`.
Identify = Callable[[Environ], Identity | None]
#: What is known of a caller, by name: the claims of a token, the headers of a middleware.
Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Authenticator:
    """One way to know callers.

    Attributes:
        identify: finds out who sent a request.
        challenge: what a refusal offers in ``WWW-Authenticate``.
    """

    identify: Identify
    challenge: str = "Bearer"


def valid_name(name: object) -> str:
    """A name that is fit for every row and log line.

    Raises:
        Unauthenticated: it is empty, too long, not printable, or looks like the service's own.
    """
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= _MAX_NAME_LENGTH
        or not is_seen(name)
        or looks_reserved(name)
    ):
        raise Unauthenticated("the credential names nobody that can be a caller here")
    return name
