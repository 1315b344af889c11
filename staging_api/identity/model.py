"""The words of identity: roles, an identity, and the ways to find one in a request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from staging_api.errors import Unauthenticated

_MAX_NAME_LENGTH = 200


class Role(StrEnum):
    """What a caller may be; which routes each may call is told in ``http/permissions.py``."""

    VIEWER = "viewer"
    STAGER = "stager"
    PUBLISHER = "publisher"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@dataclass(frozen=True)
class Identity:
    """Who calls: the `name` goes into every row as ``caller``."""

    name: str
    roles: frozenset[Role]


#: The value of a request's header, by its name; None if it was not sent.
Header = Callable[[str], str | None]
#: Who sent a request with these headers; None: no credential was sent. A credential that does not
#: hold raises `Unauthenticated`; one that cannot be checked just now, `Unavailable`.
Identify = Callable[[Header], Identity | None]
#: What is known of a caller, by name: the claims of a token, the headers of a middleware.
Claims = Mapping[str, Any]

#: Names of the service's own: no credential may claim them.
RESERVED_NAMES = frozenset({"anonymous", "worker"})


def valid_name(name: object) -> str:
    """A name that is fit for every row and log line.

    Raises:
        Unauthenticated: it is empty, too long, not printable or the service's own.
    """
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= _MAX_NAME_LENGTH
        or not name.isprintable()
        or name in RESERVED_NAMES
    ):
        raise Unauthenticated("the credential names nobody that can be a caller here")
    return name
