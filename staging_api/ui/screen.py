"""What a screen is made of: who asks, what it shows, what may be done there.

A screen is a function that asks the services and returns what its template shows. A row of
`routes.SCREENS` gives it a path. The roles of a page and of each of its actions are those of a call
of the API, so the table of `http.routes` stays the only one that says who may do what.
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
    """Return the roles that may make a call of the API, such as ``DELETE /locks/{lock_id}``.

    Raises:
        KeyError: the API has no such call.
    """
    method, _, path = call.partition(" ")
    return ALLOWED[path if path in ALLOWED else f"{_API}{path}"][method]


def needs_of(call: str, roles: Roles) -> str:
    """Return which roles a caller with these `roles` lacks for a call; empty: none is lacking."""
    allowed = roles_of(call)
    return "" if not allowed or allowed & roles else "needs " + " or ".join(sorted(allowed))


@dataclass(frozen=True)
class View:
    """A request as screens see it.

    Attributes:
        path: of the page, percent-encoded as it was sent.
        query: parameters; of a repeated one the last.
        params: of the route.
        origin: on whose behalf an action is done.
        now: the time of this process, for ages.
        once: a new Idempotency-Key for each page; empty in the parts of a page sent again.
    """

    path: str
    query: Mapping[str, str]
    params: Mapping[str, Any]
    origin: RequestOrigin
    roles: frozenset[Role]
    now: datetime
    once: str = ""

    def needs(self, call: str) -> str:
        """Return what a disabled button says: the roles of which the caller has none."""
        return needs_of(call, self.roles)

    def after(self, name: str) -> str | None:
        """Return behind which row the page of a list begins; None: with the first."""
        return self.query.get(f"{name}_after") or None

    def here(self, **changes: str | None) -> str:
        """Return the address of this page with other parameters; None removes one."""
        query = {k: v for k, v in {**self.query, **changes}.items() if v}
        # What was done is said once, and not on each page from here.
        query.pop("done", None)
        return f"{self.path}?{urlencode(query)}" if query else self.path


@dataclass(frozen=True)
class ScreenContent:
    """What a screen shows.

    Attributes:
        template: a file of ``templates``; it extends ``layout``.
        title: begins with what matters, as it is read in a row of tabs.
        mood: ``ok``, ``busy``, ``warn`` or ``bad``: the dot in the tab.
        copies: the same view for programs.
        live: whether the page asks for news of its live parts.
        goes_to: the page to lead to instead; None: this one.
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
    """An action that was done: where its result is seen."""

    location: str


Form = Mapping[str, str]
Show = Callable[[UiDependencies, View], ScreenContent]
#: Does it; what changes nothing may show its result at once.
Run = Callable[[UiDependencies, View, Form], ActionDone | ScreenContent]


@dataclass(frozen=True)
class ScreenAction:
    """What can be done on a screen, by POST of a form to its page.

    Attributes:
        call: the call of the API that does the same; its roles may do it.
        said: a sentence for the page that `ActionDone` leads to.
    """

    call: str
    run: Run
    said: str


@dataclass(frozen=True)
class Screen:
    """A row of the table of screens.

    Attributes:
        path: Falcon's template.
        call: the call of the API whose roles may see the page; None: anybody may.
        label: in the navigation; empty: it is not there.
        key: goes there after ``g`` on a keyboard.
        actions: by the value of the form's field ``action``.
        topics: what it shows of `changes`; none: its parts are never live.
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
            # Who may do any of them may send a form; each action then asks for its own roles.
            calls = [roles_of(action.call) for action in self.actions.values()]
            methods["POST"] = frozenset().union(*calls)
        return methods
