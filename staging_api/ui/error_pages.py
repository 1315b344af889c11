"""Error pages: they show the error inside the shell, and how to go on."""

from collections.abc import Sequence
from dataclasses import replace

import falcon

from staging_api.errors import StagingApiError, Unauthenticated
from staging_api.http.problems import advise, answer
from staging_api.ui.answering import check_same_origin, form_of
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.page import wants_page
from staging_api.ui.problem import problem_of
from staging_api.ui.screen import Form, Screen, ScreenContent
from staging_api.ui.shell import send_whole

_REFUSED = "Nothing was done. Sign in, then send the form as it was filled in."
_SENT = "It is unknown whether it was carried out: check the page before you send it again."


class ErrorPages:
    """Renders errors as pages; needs no database, which may be the cause of the error."""

    def __init__(self, deps: UiDependencies, screens: Sequence[Screen]) -> None:
        """Show `screens` in the navigation."""
        self._deps, self._screens = deps, screens

    def __call__(
        self, req: falcon.Request, resp: falcon.Response, status: int, error: StagingApiError
    ) -> None:
        """Send an error page; or a problem document to a program, at a path that serves both."""
        if not _is_page(req.path) and not wants_page(req):
            answer(req, resp, error)
            return
        advise(resp, error)
        # With Basic, the browser would open its own dialog in front of the page's form.
        if isinstance(error, Unauthenticated):
            resp.set_header("WWW-Authenticate", "Bearer")
        problem = problem_of(error, getattr(req.context, "request_id", ""))
        # A refresh of the page would send the form again, without a button being pressed.
        sent = req.method not in {"GET", "HEAD"}
        if sent and problem.retry_seconds:
            problem = replace(problem, advice=_SENT)
        signs_in = isinstance(error, Unauthenticated)
        form = getattr(req.context, "form", {})
        if signs_in and sent:
            # The session ended while the form was filled in.
            problem = replace(problem, advice=_REFUSED)
            form = _own_form(req)
        names = {
            "sent": sent,
            "form": form,
            "here_again": req.relative_uri,
            "status": status,
            "wrong": problem,
            "signs_in": signs_in,
        }
        title = f"{status} {problem.title}"
        shown = ScreenContent("error.html", title, names, status, mood="bad", live=False)
        send_whole(self._deps, req, resp, self._screens, shown)


def _own_form(req: falcon.Request) -> Form:
    """Return the fields of a form that a page of this service sent; empty if it is none."""
    try:
        check_same_origin(req)
        return form_of(req)
    except StagingApiError:
        return {}


def _is_page(path: str) -> bool:
    """Return whether a path is only for people; ``/`` and ``/static/...`` are for programs, too."""
    return path == "/ui" or path.startswith("/ui/")
