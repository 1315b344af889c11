"""Keystone's middleware, with our own calls and our own interpretation of the responses.

The middleware also reports "invalid" when Keystone did not answer, answered with an error, or
refused this service's own credential. So this module examines each call: only Keystone's own "there
is no such token" refuses the caller. Every other failure is `IdentityUnavailable`; meanwhile a
token that was valid recently stays valid.

What if the process dies? All state is in memory only.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from keystoneauth1 import access
from keystonemiddleware import auth_token
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from staging_api.call_deadline import obey
from staging_api.errors import Unauthenticated
from staging_api.identity.calls import SharedCalls, always, provider_calls
from staging_api.identity.outage import IdentityOutage, OutageCause, cannot_check
from staging_api.identity.recent import RecentValues

#: Lifetime of Keystone's cached answers, the same as in the original middleware.
_FRESH_SECONDS = 60.0
#: Time for which a valid token stays valid while Keystone is down; it may have been revoked since.
_STALE_SECONDS = 900.0
_JUNK_SECONDS = 5.0
_MOST_TOKENS = 10_000
_LONGEST_TOKEN = 16 << 10
_NOT_FOUND = 404
# Redirects that the library below follows: not 300, with which Keystone lists its versions.
_REDIRECTS = range(301, 400)

Answer = Mapping[str, Any]


@dataclass
class Tokens:
    """Cache of Keystone's answers about tokens, by their hashes."""

    calls: SharedCalls
    good: RecentValues[Answer] = field(
        default_factory=lambda: RecentValues(_STALE_SECONDS, _MOST_TOKENS)
    )
    junk: RecentValues[bool] = field(
        default_factory=lambda: RecentValues(_JUNK_SECONDS, _MOST_TOKENS)
    )

    def find(self, key: str, fetch: Callable[[], Answer]) -> Answer:
        """Return Keystone's description of the token, cached or fetched.

        Raises:
            InvalidToken: Keystone does not know the token.
            IdentityUnavailable: the check is not possible at the moment.
        """
        if self.junk.get(key):
            raise auth_token.InvalidToken("refused a moment ago")
        fresh = self.good.get(key, _FRESH_SECONDS)
        if fresh is not None:
            return fresh
        was_good = self.good.get(key) is not None
        try:
            # A token that was valid is not a guess, so the limit of refusals by address does not
            # apply.
            with provider_calls(always) if was_good else nullcontext():
                found = self.calls.wait_for(key, fetch)
        except auth_token.InvalidToken:
            self.good.remove(key)
            self.junk.put(key, True)
            raise
        except IdentityOutage:
            stale = self.good.get(key)
            if stale is None:
                raise
            return stale
        self.good.put(key, found)
        return found


class Middleware(auth_token.AuthProtocol):  # type: ignore[misc]
    """Calls Keystone by `SharedCalls`, and distinguishes "invalid" from "cannot be checked"."""

    def __init__(
        self,
        app: Callable[..., Any],
        conf: Mapping[str, Any],
        tokens: Tokens,
        read: Callable[[Mapping[str, Any]], object],
    ) -> None:
        """Wrap `app`.

        Args:
            app: called after the check, whatever its result.
            conf: configuration of the middleware.
            tokens: the cache of answers.
            read: parses an answer as the application will; raises if it is malformed.
        """
        self._tokens = tokens
        self._read = read
        super().__init__(app, conf)
        for scheme in ("http://", "https://"):
            self._session.session.mount(scheme, _LimitedAdapter())

    @property
    def address(self) -> str | None:
        """Keystone's address for callers, if configured; the original class would call Keystone."""
        address: str | None = self._www_authenticate_uri
        return address

    def fetch_token(self, token: str, **options: Any) -> Answer:
        """Return Keystone's description of a token; called by the middleware.

        Raises:
            InvalidToken: Keystone does not know the token.
            IdentityUnavailable: the check is not possible at the moment; the middleware passes the
                error on.
        """
        if len(token) > _LONGEST_TOKEN or not (token.isascii() and token.isprintable()):
            raise auth_token.InvalidToken("not a token of Keystone")
        key = hashlib.sha256(f"{token} {sorted(options.items())}".encode()).hexdigest()
        return self._tokens.find(key, lambda: self._fetch(token, options))

    def _fetch(self, token: str, options: Mapping[str, Any]) -> Answer:
        try:
            found: dict[str, Any] = super().fetch_token(token, **options)
        except auth_token.InvalidToken as error:
            if not _is_answer_no(error.__context__):
                raise _cannot_check(error.__context__ or error) from None
            raise
        except Exception as error:  # noqa: BLE001 - of any library; none is the caller's fault
            raise _cannot_check(error) from None
        try:
            # Parsed here, because later uses of the answer must not fail if it is malformed.
            access.create(body=found, auth_token=token).will_expire_soon(stale_duration=0)
            self._read(found["token"])
        except Unauthenticated:
            return found
        except Exception:  # noqa: BLE001 - the shapes of wrong answers are many
            raise cannot_check(
                OutageCause.MALFORMED, "Keystone answered something else than a token"
            ) from None
        return found


class _LimitedAdapter(HTTPAdapter):
    """HTTP adapter with a deadline that follows redirects to the same host only.

    After a redirect the library sends all headers, including the tokens of service and caller.
    """

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        """Send a request.

        Raises:
            IdentityUnavailable: the response is a redirect to another host, or to plain HTTP.
        """
        answer = super().send(request, *arguments, **options)
        if answer.status_code in _REDIRECTS and not _stays(
            request.url or "", answer.headers.get("Location", "")
        ):
            answer.close()
            raise cannot_check(OutageCause.REFUSED, "Keystone sends us to another host")
        return answer

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        obey(self.poolmanager)


def _stays(url: str, location: str) -> bool:
    """Return whether a redirect of `url` stays on the same host, and does not downgrade https."""
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
    except ValueError:
        return False
    return here.hostname == there.hostname and there.scheme in {"https", here.scheme}


def _is_answer_no(cause: object) -> bool:
    """Return whether Keystone itself, not a proxy, answered that there is no such token."""
    response = getattr(cause, "response", None)
    if getattr(cause, "http_status", None) != _NOT_FOUND or response is None:
        return False
    try:
        return isinstance(response.json().get("error"), dict)
    except (ValueError, AttributeError):
        return False


def _cannot_check(cause: BaseException) -> IdentityOutage:
    if isinstance(cause, IdentityOutage):
        return cause
    status = getattr(cause, "http_status", None)
    if isinstance(status, int):
        return cannot_check(OutageCause.REFUSED, f"Keystone answered {status}")
    kind = type(cause).__name__
    if "Timeout" in kind:
        return cannot_check(OutageCause.TIMEOUT, "Keystone does not answer in time")
    if "Connect" in kind or "SSL" in kind or "Discovery" in kind:
        return cannot_check(OutageCause.UNREACHABLE, "Keystone does not answer")
    # Our own credential was refused, or the response to it was malformed.
    return cannot_check(OutageCause.REFUSED, f"Keystone did not check the token ({kind})")
