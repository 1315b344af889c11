"""Data model of screens: the view of a request, the content, and the actions.

A screen is a function that calls the services and returns the content for its template. A row of
`routes.SCREENS` assigns it a path. The roles of a page and of each of its actions are those of an
API call, so the table in `http.routes` is the only definition of permissions.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from staging_api.changes.model import Topic
from staging_api.http.permissions import Roles
from staging_api.http.routes import ALLOWED
from staging_api.identity.model import Role
from staging_api.locks.hold import RequestOrigin
from staging_api.ui.copies import Copies
from staging_api.ui.dependencies import UiDependencies

_API = "/api/v1.0"


def roles_of(call: str) -> Roles:
    """Return the roles that may make an API call, such as ``DELETE /locks/{lock_id}``.

    Raises:
        KeyError: the API has no such call.
    """
    method, _, path = call.partition(" ")
    return ALLOWED[path if path in ALLOWED else f"{_API}{path}"][method]


def needs_of(call: str, roles: Roles) -> str:
    """Describe the roles that a caller with `roles` lacks for a call; empty: none."""
    allowed = roles_of(call)
    return "" if not allowed or allowed & roles else "needs " + " or ".join(sorted(allowed))


@dataclass(frozen=True)
class View:
    """A request as the input of a screen.

    Attributes:
        path: path of the page, percent-encoded as it was sent.
        query: parameters; for a repeated one the last value.
        params: parameters in the path.
        origin: the caller of an action.
        now: the time by the clock of the database, as in all rows.
        once: a new idempotency key for each page; empty when a page is refreshed.
    """

    path: str
    query: Mapping[str, str]
    params: Mapping[str, Any]
    origin: RequestOrigin
    roles: frozenset[Role]
    now: datetime
    once: str = ""

    def needs(self, call: str) -> str:
        """Return the title of a disabled button: the roles that the caller lacks."""
        return needs_of(call, self.roles)

    def after(self, name: str) -> str | None:
        """Return the row after which the page of a list begins; None: it begins with the first."""
        return self.query.get(f"{name}_after") or None

    def here(self, **changes: str | None) -> str:
        """Return the address of this page with other parameters; None removes one."""
        query = {k: v for k, v in {**self.query, **changes}.items() if v}
        # The message about a finished action is shown only once.
        query.pop("done", None)
        return f"{self.path}?{urlencode(query)}" if query else self.path


@dataclass(frozen=True)
class ScreenContent:
    """The content of a screen.

    Attributes:
        template: a file in ``templates``; it extends ``layout``.
        title: begins with the most important words, because tabs show only the beginning.
        mood: ``ok``, ``busy``, ``warn`` or ``bad``: the dot in the tab.
        copies: the same content for programs.
        live: whether the page refreshes its live parts.
        goes_to: the page to redirect to; None: show this one.
    """

    template: str
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    mood: str = "ok"
    copies: Copies | None = None
    live: bool = True
    goes_to: str | None = None


@dataclass(frozen=True)
class ActionDone:
    """A finished action, with the address that shows its result."""

    location: str


Form = Mapping[str, str]
Show = Callable[[UiDependencies, View], ScreenContent]
#: Runs the action; an action that changes nothing may return a screen with its result.
Run = Callable[[UiDependencies, View, Form], ActionDone | ScreenContent]


@dataclass(frozen=True)
class ScreenAction:
    """An action of a screen, by POST of a form to its page.

    Attributes:
        call: the equivalent API call, whose roles may run the action.
        said: a sentence for the page that `ActionDone` leads to.
    """

    call: str
    run: Run
    said: str


@dataclass(frozen=True)
class Screen:
    """A row in the table of screens.

    Attributes:
        path: path template of Falcon.
        call: the API call whose roles may see the page; None: all callers may.
        label: label in the navigation; empty: the screen is not in the navigation.
        key: keyboard shortcut after ``g``.
        actions: actions by the value of the form's field ``action``.
        topics: topics of `changes` that the screen shows; empty: its parts are never live.
    """

    path: str
    show: Show
    call: str | None
    label: str = ""
    key: str = ""
    actions: Mapping[str, ScreenAction] = field(default_factory=dict)
    topics: AbstractSet[Topic] = frozenset()

    @property
    def roles(self) -> Mapping[str, Roles]:
        """The roles by method, for the permissions of the application."""
        seen = roles_of(self.call) if self.call else frozenset[Role]()
        methods = {"GET": seen, "HEAD": seen}
        if self.actions:
            # A caller who may run any of the actions may send a form; each action checks its own
            # roles.
            calls = [roles_of(action.call) for action in self.actions.values()]
            methods["POST"] = frozenset().union(*calls)
        return methods
