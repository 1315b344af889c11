"""Domain types of identity: roles, principals, and functions that identify a principal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from staging_api.errors import Unauthenticated
from staging_api.identity.names import is_seen, looks_reserved

_MAX_NAME_LENGTH = 200


class Role(StrEnum):
    """Role of a caller; ``http/permissions.py`` lists the routes that each role may call."""

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
#: Returns the principal of a request; None: no credential was sent. An invalid credential raises
#: `Unauthenticated`; one that cannot be checked at the moment, `IdentityUnavailable`.
Identify = Callable[[Environ], Principal | None]
#: Facts about a caller, by name: the claims of a token, the headers of a middleware.
Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Authenticator:
    """One way to identify callers.

    Attributes:
        challenge: ``WWW-Authenticate`` of a refusal.
        recall: finds the principal of a credential by its digest, while the credential is valid;
            None: there is no list of credentials.
    """

    identify: Identify
    challenge: str = "Bearer"
    recall: Callable[[str], Principal] | None = None


def valid_name(name: object) -> str:
    """Return a name that is valid in rows and log lines.

    Raises:
        Unauthenticated: the name is empty, too long, not printable, or looks like a reserved name.
    """
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= _MAX_NAME_LENGTH
        or not is_seen(name)
        or looks_reserved(name)
    ):
        raise Unauthenticated("the name in the credential is not allowed for a caller")
    return name
