"""Sessions of browsers: a signed cookie, which holds no credential.

The cookie has the caller's name and an expiry time. With tokens it also has the digest of the
token's entry, so removing a token from the file ends its sessions at the next request, and its
roles are those in the file. With the other kinds of authentication it has the roles of the sign-in,
for `SESSION_SECONDS`. Cookies are accepted for pages, and to read staged files: the API reads no
cookies, and a browser sends them only to this site, so no page of another site can use them.

The signing key is in the database, for all processes; deleting its row ends all sessions.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from staging_api.db.engine import Database
from staging_api.db.session_rows import session_key
from staging_api.errors import StagingApiError, Unauthenticated
from staging_api.identity.model import Authenticator, Environ, Principal, Role

SESSION_SECONDS = 12 * 3600
#: Browsers accept a cookie with this prefix only over https, from this host, for all its paths.
COOKIE = "__Host-staging"
#: Prefix on a loopback address without TLS.
LOOPBACK_COOKIE = "staging-session"
_KEY_KEPT_SECONDS = 60.0


def stored_key(database: Database) -> bytes:
    """Return the signing key that all processes of this database share."""
    with database.begin() as conn:
        return session_key(conn, secrets.token_bytes(32))


class Signer:
    """Signs small documents that browsers send back; each for one purpose, with an expiry time."""

    def __init__(
        self,
        find_key: Callable[[], bytes],
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sign with the key that `find_key` returns, read again after a minute."""
        self._find_key = find_key
        self._now = now
        self._clock = clock
        self._key = b""
        self._key_found_at = float("-inf")

    def sign(self, purpose: str, content: Mapping[str, Any], seconds: float) -> str:
        """Return a text that `read` accepts for `seconds`."""
        payload = json.dumps({**content, "until": int(self._now() + seconds)}).encode()
        return f"{_text(payload)}.{_text(self._mac(purpose, payload))}"

    def read(self, purpose: str, signed: str) -> Mapping[str, Any] | None:
        """Return the content of a signed text; None: it has another purpose, or has expired."""
        body, _, mac = signed.partition(".")
        try:
            payload, given = _bytes(body), _bytes(mac)
        except (ValueError, binascii.Error):
            return None
        if not hmac.compare_digest(given, self._mac(purpose, payload)):
            return None
        content: Mapping[str, Any] = json.loads(payload)
        return content if content["until"] > self._now() else None

    def _mac(self, purpose: str, payload: bytes) -> bytes:
        if self._clock() - self._key_found_at > _KEY_KEPT_SECONDS:
            try:
                self._key = self._find_key()
            except StagingApiError:
                # The database cannot be reached: callers who are signed in still get their pages.
                if not self._key:
                    raise
            self._key_found_at = self._clock()
        return hmac.new(self._key, f"{purpose}\n".encode() + payload, hashlib.sha256).digest()


@dataclass(frozen=True)
class Sessions:
    """The sessions of one way to authenticate, whose name is `kind`."""

    kind: str
    signer: Signer
    recall: Callable[[str], Principal] | None

    def begin(self, principal: Principal, reference: str = "") -> str:
        """Return the value of the cookie for a caller who signed in.

        Args:
            reference: digest of the credential, for `recall`.
        """
        content = {
            "kind": self.kind,
            "name": principal.name,
            "roles": sorted(principal.roles),
            "reference": reference,
        }
        return self.signer.sign("session", content, SESSION_SECONDS)

    def principal(self, environ: Environ) -> Principal | None:
        """Return the caller of the session; None: there is no session, or it has ended."""
        for name in (COOKIE, LOOPBACK_COOKIE):
            value = cookie_of(environ, name)
            content = self.signer.read("session", value) if value else None
            if content is not None and content["kind"] == self.kind:
                return self._principal(content)
        return None

    def _principal(self, content: Mapping[str, Any]) -> Principal | None:
        if self.recall is None:
            return Principal(content["name"], frozenset(map(Role, content["roles"])))
        try:
            return self.recall(content["reference"])
        except Unauthenticated:
            return None


def for_pages(authenticator: Authenticator, sessions: Sessions) -> Authenticator:
    """Return an authenticator that also accepts a session, but only for pages and downloads.

    A credential in a header takes precedence, for example that of an authenticating proxy or a
    program.
    """

    def identify(environ: Environ) -> Principal | None:
        known = authenticator.identify(environ)
        if known is None and takes_cookies(environ):
            return sessions.principal(environ)
        return known

    return replace(authenticator, identify=identify)


def takes_cookies(environ: Environ) -> bool:
    """Return whether the request is for a page or download, where cookies are accepted."""
    path = str(environ.get("PATH_INFO", ""))
    if path in {"/", "/ui"} or path.startswith("/ui/"):
        return True
    return path.startswith("/static/") and environ.get("REQUEST_METHOD") in {"GET", "HEAD"}


def cookie_of(environ: Environ, name: str) -> str | None:
    """Return a cookie's value; of two with this name the first, which is the more specific.

    Cookies of other programs at this address are skipped: the standard library drops all cookies if
    one has an unusual name or value, such as a JSON document.
    """
    for each in str(environ.get("HTTP_COOKIE", "")).split(";"):
        found, _, value = each.strip().partition("=")
        if found == name:
            return value
    return None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
