"""Resource of every screen: GET shows the screen, POST runs one of its actions.

A page sends ``X-Live`` to refresh itself. The response is only its main part, or 304 if nothing but
the time has changed. These responses are cached for a second for all callers with the same roles,
so a screen may depend on the roles of its caller, but on nothing else about the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import falcon

from staging_api.errors import Forbidden, Invalid, StagingApiError, Unavailable
from staging_api.http.auth import origin
from staging_api.http.conditions import not_modified
from staging_api.http.problems import advise, status_of
from staging_api.locks.model import new_id
from staging_api.ui.answering import check_same_origin, form_of, go_to, send_page
from staging_api.ui.assets import build_id
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import etag_of
from staging_api.ui.freshness import Fragment, Fragments
from staging_api.ui.once import done_once
from staging_api.ui.problem import problem_of
from staging_api.ui.rendering import render
from staging_api.ui.screen import (
    ActionDone,
    Form,
    Screen,
    ScreenAction,
    ScreenContent,
    View,
    roles_of,
)
from staging_api.ui.shell import layout_of


@dataclass(eq=False)
class HtmlPage:
    """The resource of one screen.

    Attributes:
        screens: all screens, for the navigation.
        index: the resource that serves programs at the same path; None: there is none.
    """

    answers_head = True

    screen: Screen
    deps: UiDependencies
    screens: Sequence[Screen]
    fragments: Fragments
    index: Any = None

    def serves_program(self, req: falcon.Request) -> bool:
        """Return whether to send a program the API's response; only for the first screen."""
        is_read = req.method in {"GET", "HEAD"}
        return self.index is not None and is_read and not wants_page(req)

    def on_get(self, req: falcon.Request, resp: falcon.Response, **params: Any) -> None:
        """Show the screen, or refresh its live parts."""
        if self.index is not None:
            # One address, two representations: a cache must not send the page to a program.
            resp.set_header("Vary", "Accept")
        if self.serves_program(req):
            self.index.on_get(req, resp, **params)
            return
        view = view_of(self.deps, req, params)
        if req.get_header("X-Live") is not None:
            self._send_news(req, resp, view)
        else:
            # Refreshed parts are shared by callers, so they have no key: it would be used by
            # several forms.
            self._send(req, resp, replace(view, once=new_id()))

    def on_post(self, req: falcon.Request, resp: falcon.Response, **params: Any) -> None:
        """Run the action named in the form; show an error beside the filled-in fields.

        Raises:
            Forbidden: another site sent the form, or the caller lacks a role for this action.
            Invalid: the screen has no such action.
        """
        check_same_origin(req)
        form = form_of(req)
        # For the page of an error that prevents any other page (`error_pages`).
        req.context.form = form
        name = form.get("action", "")
        action = self.screen.actions.get(name)
        if action is None:
            raise Invalid.field("action", "is none of this page")
        _check_role(req, action)
        # A refused form keeps its key: nothing was stored under the key, and the form may be sent
        # again.
        view = replace(view_of(self.deps, req, params), once=form.get("once") or new_id())
        try:
            done = self._done(action, view, form)
        # The page cannot be shown around this error, because the page needs the same database.
        except Unavailable:
            raise
        except StagingApiError as error:
            self._send(req, resp, view, error=error, form=form)
            return
        if isinstance(done, ScreenContent):
            self._send(req, resp, view, done, form=form)
            return
        # Redirect, so that reloading the page does not send the form again.
        mark = "&" if "?" in done.location else "?"
        go_to(resp, f"{done.location}{mark}{urlencode({'done': name})}")

    def _done(self, action: ScreenAction, view: View, form: Form) -> ActionDone | ScreenContent:
        if not form.get("once"):
            return action.run(self.deps, view, form)

        def act() -> ActionDone:
            done = action.run(self.deps, view, form)
            if not isinstance(done, ActionDone):
                raise Invalid.field("once", "is for what changes something, not for a view")
            return done

        return done_once(self.deps.api.locks, view.origin, form, act)

    def _send(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        view: View,
        content: ScreenContent | None = None,
        *,
        error: StagingApiError | None = None,
        form: Form | None = None,
    ) -> None:
        shown = content or self.screen.show(self.deps, view)
        if shown.goes_to is not None:
            go_to(resp, shown.goes_to)
            return
        layout = layout_of(self.deps, req, self.screens, shown, view.now)
        problem = problem_of(error, layout["request_id"]) if error else None
        topics = " ".join(sorted(self.screen.topics))
        names = {**layout, "layout": "base.html", "problem": problem, "form": form or {}}
        if error is not None:
            advise(resp, error)
        status = status_of(error) if error else shown.status
        names |= {"topics": topics, "view": view, "here_again": view.here()}
        send_page(resp, render(shown.template, {**names, **shown.context}), status)

    def _send_news(self, req: falcon.Request, resp: falcon.Response, view: View) -> None:
        key = (view.here(), view.roles)
        found = self.fragments.get(key, lambda: self._fragment(req, view))
        resp.set_header("X-Build", build_id())
        if not not_modified(req, resp, found.etag):
            send_page(resp, found.html)

    def _fragment(self, req: falcon.Request, view: View) -> Fragment:
        shown = self.screen.show(self.deps, view)
        layout = layout_of(self.deps, req, self.screens, shown, view.now)
        names = {**layout, "layout": "live.html", "problem": None, "form": {}, "said": ""}
        html = render(shown.template, {**names, "view": view, **shown.context})
        return Fragment(html, etag_of(html))


def view_of(deps: UiDependencies, req: falcon.Request, params: Any) -> View:
    """Convert the request to the view for screens."""
    query = {name: req.get_param(name, default="") for name in req.params}
    return View(
        path=req.relative_uri.partition("?")[0],
        query=query,
        params=params,
        origin=origin(req),
        roles=req.context.roles,
        now=deps.clock.now(),
    )


def wants_page(req: falcon.Request) -> bool:
    """Return whether the client is a browser, and not a program, which accepts JSON or anything."""
    return req.client_prefers((falcon.MEDIA_JSON, falcon.MEDIA_HTML)) == falcon.MEDIA_HTML


def _check_role(req: falcon.Request, action: ScreenAction) -> None:
    roles = roles_of(action.call)
    if roles and not roles & req.context.roles:
        raise Forbidden(
            f"{req.context.caller} needs the role {' or '.join(sorted(roles))} for this"
        )
