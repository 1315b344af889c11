"""Dependencies of the pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from staging_api.changes.service import ChangeFeed
from staging_api.http.app import openapi_of
from staging_api.http.dependencies import AppDependencies
from staging_api.identity.sessions import Sessions
from staging_api.ui.clock import DatabaseClock

if TYPE_CHECKING:
    from staging_api.identity.authorization_code import AuthorizationCode


@dataclass(frozen=True)
class UiDependencies:
    """The use cases of the API, and further objects that only pages need.

    Attributes:
        api: the use cases, which the screens call like the resources of the API do.
        changes: notifies open pages of changes.
        sessions: sessions of signed-in callers; None: there is no sign-in.
        code: sign-in at an OpenID provider, if configured.
        public_url: address of this service for people, without a slash at its end; empty: the
            address used by the browser.
    """

    api: AppDependencies
    changes: ChangeFeed
    sessions: Sessions | None = None
    code: "AuthorizationCode | None" = None
    public_url: str = ""

    @property
    def auth(self) -> str:
        """The authentication method: a value of STAGING_AUTH."""
        return self.api.auth or "none"

    @cached_property
    def clock(self) -> DatabaseClock:
        """What ages are counted by."""
        return DatabaseClock(self.api.processes.database_time)

    @cached_property
    def api_document(self) -> Mapping[str, Any]:
        """The OpenAPI document of the API; built once, in half a second."""
        return openapi_of(self.api)


class UiResource:
    """A resource that is not a screen, based on the use cases of `deps`."""

    def __init__(self, deps: UiDependencies) -> None:
        """Use these use cases."""
        self._deps = deps
