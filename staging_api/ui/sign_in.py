"""Sign-in and sign-out: by a pasted token, or at an OpenID provider.

The token itself is not stored: the browser gets a signed cookie (`identity.sessions`). Failed
attempts count against their address, like refused requests of the API.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import falcon

from staging_api.errors import Forbidden, Invalid, StagingApiError, Unauthenticated
from staging_api.http.limits import Refusals
from staging_api.http.origins import is_loopback
from staging_api.http.problems import advise, status_of
from staging_api.identity.bearer import is_token
from staging_api.identity.calls import provider_calls
from staging_api.identity.model import Principal
from staging_api.identity.sessions import (
    COOKIE,
    LOOPBACK_COOKIE,
    SESSION_SECONDS,
    Sessions,
    cookie_of,
)
from staging_api.identity.tokens import hash_token
from staging_api.logs import bind_log_context
from staging_api.ui.answering import check_same_origin, form_of, go_to, is_own_page, send_page
from staging_api.ui.dependencies import UiDependencies, UiResource
from staging_api.ui.problem import problem_of
from staging_api.ui.rendering import render
from staging_api.ui.screen import Screen, ScreenContent
from staging_api.ui.shell import send_whole, server_of

PATH = "/ui/sign-in"
_STARTED_COOKIE = "staging-sign-in"
_MOST_TOKEN = 8192


class SignIn:
    """``/ui/sign-in``: the form and its submission."""

    answers_head = True

    def __init__(self, deps: UiDependencies, screens: Sequence[Screen], refusals: Refusals) -> None:
        """Show `screens` in the navigation; count failed attempts in `refusals`."""
        self._deps, self._screens = deps, screens
        self._refusals = refusals

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the form, or the signed-in caller."""
        self.send(req, resp, req.get_param("next", default="/"))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Sign in by a token, or sign out.

        Raises:
            TooManyRequests: too many attempts from this address failed.
        """
        check_same_origin(req)
        form = form_of(req)
        if form.get("action") == "sign_out":
            # Both cookies, because the session may have begun at the other kind of address.
            for name in (COOKIE, LOOPBACK_COOKIE):
                _set(req, resp, name, "", 0)
            go_to(resp, PATH)
            return
        back = form.get("next", "/")
        try:
            principal = self._principal(req, form.get("token", ""))
            remember(req, resp, self._sessions(), principal, hash_token(form["token"]))
        except (Unauthenticated, Invalid, Forbidden) as error:
            self._refusals.count(req.context.client_address)
            self.send(req, resp, back, error)
            return
        go_to(resp, back if is_own_page(back) else "/")

    def send(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        back: str,
        error: StagingApiError | None = None,
    ) -> None:
        """Show the form, with an error if there is one."""
        sessions = self._deps.sessions
        signed_in = None
        with suppress(StagingApiError):
            signed_in = sessions and sessions.principal(req.env)
        if signed_in:
            # The form requires no role, so the caller was not identified yet: without this, the
            # navigation would show every screen as forbidden.
            req.context.caller = signed_in.name
            req.context.roles = signed_in.roles | self._deps.api.anonymous.roles
        names = {
            "next": back if is_own_page(back) else "/",
            "signed_in": signed_in,
            "by_provider": self._deps.code is not None,
            "hours": SESSION_SECONDS // 3600,
        }
        status, problem = 200, None
        if error is not None:
            status, problem = status_of(error), problem_of(error, req.context.request_id)
            advise(resp, error)
            # With this header, browsers would open their own dialog in front of the form.
            resp.delete_header("WWW-Authenticate")
        shown = ScreenContent("sign_in.html", "Sign in", names, status, live=False)
        send_whole(self._deps, req, resp, self._screens, shown, problem=problem)

    def _principal(self, req: falcon.Request, token: str) -> Principal:
        if not is_token(token) or len(token) > _MOST_TOKEN:
            raise Invalid.field("token", "is none: paste all of it, and nothing else")
        header = "HTTP_X_AUTH_TOKEN" if self._deps.auth == "keystone" else "HTTP_AUTHORIZATION"
        value = token if self._deps.auth == "keystone" else f"Bearer {token}"
        # Ignore the browser's own credentials: the token must be sufficient by itself.
        bare = {k: v for k, v in req.env.items() if k not in _CREDENTIALS}
        with provider_calls(self._refusals.under_limit_of(req.context.client_address)):
            found = self._deps.api.authenticator.identify({**bare, header: value})
        if found is None:
            raise Unauthenticated("this service knows no sign-in")
        return found

    def _sessions(self) -> Sessions:
        if self._deps.sessions is None:
            raise Forbidden("this service has no sign-in: every caller may do everything")
        return self._deps.sessions


class SignInStart(UiResource):
    """``/ui/sign-in/start``: redirects to the OpenID provider."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Redirect; a signed cookie stores the values that the callback must repeat."""
        from staging_api.identity.authorization_code import STARTED_SECONDS

        code, sessions = _provider_of(self._deps)
        back = req.get_param("next", default="/")
        started = code.start(_redirect_uri(self._deps, req))
        content = {
            "state": started.state,
            "nonce": started.nonce,
            "verifier": started.verifier,
            "next": back if is_own_page(back) else "/",
        }
        value = sessions.signer.sign("sign-in", content, STARTED_SECONDS)
        # Lax, because the callback comes from the provider's site.
        _set(req, resp, _STARTED_COOKIE, value, STARTED_SECONDS, same_site="Lax")
        go_to(resp, started.location)


class SignInCallback:
    """``/ui/sign-in/callback``: the address that the OpenID provider redirects to."""

    def __init__(self, deps: UiDependencies, sign_in: SignIn, refusals: Refusals) -> None:
        """Show errors on the page of `sign_in`."""
        self._deps, self._sign_in, self._refusals = deps, sign_in, refusals

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Exchange the code, and continue by a page of this service.

        A redirect does not work: the browser would treat it as a navigation of the provider's site,
        and would not send cookies restricted to this site.
        """
        code, sessions = _provider_of(self._deps)
        given = cookie_of(req.env, _STARTED_COOKIE)
        content = sessions.signer.read("sign-in", given) if given else None
        back = content["next"] if content else "/"
        try:
            principal = self._finished(req, content, code)
        except (Unauthenticated, Invalid) as error:
            self._refusals.count(req.context.client_address)
            self._sign_in.send(req, resp, back, error)
            return
        remember(req, resp, sessions, principal)
        resp.unset_cookie(_STARTED_COOKIE, path="/")
        send_page(resp, render("onward.html", {"next": back}))

    def _finished(
        self, req: falcon.Request, content: Mapping[str, Any] | None, code: Any
    ) -> Principal:
        # Otherwise another site could sign the browser in with its own code (RFC 6749, 10.12).
        if content is None or req.get_param("state") != content["state"]:
            raise Unauthenticated("this sign-in was not begun here, or too long ago: begin anew")
        if req.get_param("error"):
            raise Unauthenticated("the identity provider refused to sign you in")
        with provider_calls(self._refusals.under_limit_of(req.context.client_address)):
            found: Principal = code.finish(
                req.get_param("code", default=""),
                _redirect_uri(self._deps, req),
                nonce=content["nonce"],
                verifier=content["verifier"],
            )
        return found


def remember(
    req: falcon.Request,
    resp: falcon.Response,
    sessions: Sessions,
    principal: Principal,
    reference: str = "",
) -> None:
    """Start a session of the browser."""
    name = LOOPBACK_COOKIE if _is_plain_loopback(req) else COOKIE
    _set(req, resp, name, sessions.begin(principal, reference), SESSION_SECONDS)
    bind_log_context(caller=principal.name)


def _set(
    req: falcon.Request,
    resp: falcon.Response,
    name: str,
    value: str,
    seconds: float,
    *,
    same_site: str = "Strict",
) -> None:
    resp.set_cookie(
        name,
        value,
        max_age=int(seconds),
        path="/",
        # Browsers drop a `__Host-` cookie that is not secure, and a secure cookie sent without TLS.
        secure=name == COOKIE or not _is_plain_loopback(req),
        http_only=True,
        same_site=same_site,
    )


def _is_plain_loopback(req: falcon.Request) -> bool:
    """Return whether the browser reached us without TLS, at an address of its own machine."""
    return req.forwarded_scheme != "https" and is_loopback(req.host)


def _provider_of(deps: UiDependencies) -> tuple[Any, Sessions]:
    if deps.code is None or deps.sessions is None:
        raise Forbidden("STAGING_OIDC_CLIENT_ID is not set: paste a token instead")
    return deps.code, deps.sessions


def _redirect_uri(deps: UiDependencies, req: falcon.Request) -> str:
    return f"{server_of(deps, req)}{PATH}/callback"


_CREDENTIALS = frozenset({"HTTP_AUTHORIZATION", "HTTP_X_AUTH_TOKEN", "HTTP_COOKIE"})
