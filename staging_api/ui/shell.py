"""The shell around every page: navigation, search, signed-in caller, theme, version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import falcon

from staging_api.identity.authenticators import ANONYMOUS
from staging_api.identity.model import Role
from staging_api.ui.answering import send_page
from staging_api.ui.assets import build_id
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.problem import ErrorContent
from staging_api.ui.rendering import render
from staging_api.ui.screen import Screen, ScreenContent, needs_of

THEME_COOKIE = "staging-theme"
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True)
class NavItem:
    """An entry of the navigation; `needs` names the roles that the caller lacks for it."""

    path: str
    label: str
    key: str
    current: bool
    needs: str


def layout_of(
    deps: UiDependencies,
    req: falcon.Request,
    screens: Iterable[Screen],
    shown: ScreenContent,
    now: datetime,
) -> Mapping[str, Any]:
    """Return the names that ``base.html`` needs in addition to those of the screen."""
    # An error page has the same shell, even if the caller is not known.
    roles: frozenset[Role] | None = getattr(req.context, "roles", None)
    server = server_of(deps, req)
    signed = deps.auth != "none"
    return {
        "title": shown.title,
        "mood": shown.mood,
        "live": shown.live,
        "topics": "",
        "now": now,
        "nav": [_item(screen, req.path, roles) for screen in screens if screen.label],
        "caller": getattr(req.context, "caller", ANONYMOUS),
        "knows_caller": roles is not None,
        "auth": deps.auth,
        "roles": sorted(roles or ()),
        "theme": theme_of(req),
        "build": build_id(),
        "server": server,
        "said": _said(screens, req.get_param("done", default="")),
        "copies": shown.copies.forms(server, with_token=signed) if shown.copies else [],
        "request_id": getattr(req.context, "request_id", ""),
        "here": req.relative_uri if req.method == "GET" else "/",
        "search": req.get_param("q", default=""),
    }


def send_whole(
    deps: UiDependencies,
    req: falcon.Request,
    resp: falcon.Response,
    screens: Iterable[Screen],
    shown: ScreenContent,
    *,
    problem: ErrorContent | None = None,
) -> None:
    """Set a page without live parts as the response; `problem` is shown above it."""
    layout = layout_of(deps, req, screens, shown, datetime.now(UTC))
    names = {**layout, "layout": "base.html", "problem": problem, **shown.context}
    send_page(resp, render(shown.template, names), shown.status)


def server_of(deps: UiDependencies, req: falcon.Request) -> str:
    """Return the address of this service for its readers."""
    return deps.public_url or f"{req.forwarded_scheme}://{req.forwarded_host}"


def theme_of(req: falcon.Request) -> str:
    """Return the chosen theme."""
    chosen = req.get_cookie_values(THEME_COOKIE) or [""]
    return chosen[0] if chosen[0] in THEMES else "auto"


def _item(screen: Screen, path: str, roles: frozenset[Role] | None) -> NavItem:
    # For an unknown caller no role is shown as lacking: the screen itself checks.
    needs = needs_of(screen.call, roles) if screen.call and roles is not None else ""
    below = screen.path != "/" and path.startswith(f"{screen.path}/")
    return NavItem(screen.path, screen.label, screen.key, path == screen.path or below, needs)


def _said(screens: Iterable[Screen], done: str) -> str:
    """Return the sentence of an action; an address can only select one of our own sentences."""
    sentences = {name: action.said for screen in screens for name, action in screen.actions.items()}
    return sentences.get(done, "")
