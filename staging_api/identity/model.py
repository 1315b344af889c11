"""The nouns of identity: roles, a principal, and the function that finds it in a request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from staging_api.errors import Unauthenticated
from staging_api.identity.names import is_seen, looks_reserved

_MAX_NAME_LENGTH = 200


class Role(StrEnum):
    """What a caller may be; ``http/permissions.py`` lists the routes that each may call."""

    VIEWER = "viewer"
    STAGER = "stager"
    PUBLISHER = "publisher"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    DEVICE = "device"


@dataclass(frozen=True)
class Principal:
    """A caller; its `name` is stored in every row as ``caller``."""

    name: str
    roles: frozenset[Role]


#: A request in WSGI form (PEP 3333): its headers are ``HTTP_...``.
Environ = Mapping[str, Any]
#: The principal of a request; None: no credential was sent. An invalid credential raises
#: `Unauthenticated`; one that cannot be checked just now, `IdentityUnavailable`.
Identify = Callable[[Environ], Principal | None]
#: Facts about a caller, by name: the claims of a token, the headers of a middleware.
Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Authenticator:
    """One way to identify callers.

    Attributes:
        challenge: the ``WWW-Authenticate`` of a refusal.
        recall: finds the principal of a credential by its digest, as long as that counts; None:
            the way keeps no list of credentials.
    """

    identify: Identify
    challenge: str = "Bearer"
    recall: Callable[[str], Principal] | None = None


def valid_name(name: object) -> str:
    """Return a name that is fit for rows and log lines.

    Raises:
        Unauthenticated: it is empty, too long, not printable, or looks like a reserved one.
    """
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= _MAX_NAME_LENGTH
        or not is_seen(name)
        or looks_reserved(name)
    ):
        raise Unauthenticated("the name in the credential is not allowed for a caller")
    return name
