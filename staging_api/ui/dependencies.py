"""What the pages are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from staging_api.changes.service import ChangeFeed
from staging_api.http.app import openapi_of
from staging_api.http.dependencies import AppDependencies
from staging_api.identity.sessions import Sessions

if TYPE_CHECKING:
    from staging_api.identity.authorization_code import AuthorizationCode


@dataclass(frozen=True)
class UiDependencies:
    """The use cases of the API, and what only pages need.

    Attributes:
        api: the use cases, which the screens call as the resources of the API do.
        changes: tells open pages that something changed.
        sessions: of callers who signed in; None: there is no sign-in.
        code: sign-in at an OpenID provider, if it is set up.
        public_url: address of this service for people, without a slash at its end; empty: as the
            browser has it.
    """

    api: AppDependencies
    changes: ChangeFeed
    sessions: Sessions | None = None
    code: "AuthorizationCode | None" = None
    public_url: str = ""

    @property
    def auth(self) -> str:
        """How callers authenticate: a value of STAGING_AUTH."""
        return self.api.auth or "none"

    @cached_property
    def api_document(self) -> Mapping[str, Any]:
        """The OpenAPI document of the API; made once, in half a second."""
        return openapi_of(self.api)


class UiResource:
    """A resource that is no screen, over the use cases of `deps`."""

    def __init__(self, deps: UiDependencies) -> None:
        """Answer by these use cases."""
        self._deps = deps
