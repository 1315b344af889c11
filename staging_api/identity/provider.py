"""Fetch an OpenID provider's keys, through its discovery document or directly."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from staging_api.call_deadline import obey
from staging_api.errors import Invalid
from staging_api.identity.bearer import is_token
from staging_api.identity.outage import OutageCause, cannot_check
from staging_api.small_files import read_small_file

_MAX_BYTES = 1 << 20
# Limit between two bytes; the whole call has a deadline, see `identity.calls`.
_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_OK = 200
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Provider:
    """Addresses and credentials of a provider.

    Attributes:
        issuer: name of the provider, and base URL of its discovery document.
        jwks_url: URL of the keys; empty: the discovery document has it.
        ca_file: certificate authorities for the provider; None: the system's.
        token_file: file with a token that the provider requires, such as a service account's own.
            The token is sent to the issuer's own origin only.
    """

    issuer: str
    jwks_url: str = ""
    ca_file: Path | None = None
    token_file: Path | None = None

    def fetcher(self) -> Callable[[], Mapping[str, Any]]:
        """Return the function that fetches the document of keys.

        Raises:
            Invalid: an address is neither https nor loopback, or the file of authorities is
                missing.
        """
        _check_url("STAGING_OIDC_ISSUER", self.issuer)
        if self.jwks_url:
            _check_url("STAGING_OIDC_JWKS_URL", self.jwks_url)
        if self.ca_file is not None and not self.ca_file.is_file():
            raise Invalid.field("STAGING_OIDC_CA_FILE", f"{self.ca_file} is not a file")
        return lambda: self._get(self.jwks_url or self._discover())

    def discovery(self) -> Mapping[str, Any]:
        """Fetch the provider's discovery document.

        Raises:
            IdentityUnavailable: the document cannot be fetched, or names another issuer.
        """
        found = self._get(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        # OpenID Connect Discovery, 4.3: else the keys of another provider could be accepted.
        if found.get("issuer") != self.issuer:
            raise cannot_check(OutageCause.MALFORMED, "the discovery document is another issuer's")
        return found

    def checked_endpoint(self, document: Mapping[str, Any], name: str) -> str:
        """Return an address of a discovery document.

        Raises:
            IdentityUnavailable: the address is missing, or its connection is not protected.
        """
        url = document.get(name)
        if not isinstance(url, str) or not _is_safe(url):
            raise cannot_check(
                OutageCause.MALFORMED, f"the discovery document names no https {name}"
            )
        return url

    def post(self, url: str, fields: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Send a form, and return the status and the document of the response.

        Raises:
            IdentityUnavailable: there is no response, or it is not a document.
        """
        return self._sent(
            "POST", url, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(fields)
        )

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        return obey(
            urllib3.PoolManager(
                retries=False,
                timeout=urllib3.Timeout(connect=_SECONDS, read=_SECONDS),
                cert_reqs="CERT_REQUIRED",
                ca_certs=str(self.ca_file) if self.ca_file else None,
            )
        )

    def _discover(self) -> str:
        url = self.discovery().get("jwks_uri")
        if not isinstance(url, str) or not _is_safe(url):
            raise cannot_check(
                OutageCause.MALFORMED, "the discovery document names no https address of keys"
            )
        return url

    def _get(self, url: str) -> Mapping[str, Any]:
        status, document = self._sent("GET", url, self._credential(url))
        if status != _OK:
            raise cannot_check(OutageCause.REFUSED, f"the identity provider answered {status}")
        return document

    def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """Return status and document of a response; without success, an empty document."""
        try:
            given = {"Accept": "application/json", **headers}
            with self._pool.request(
                method, url, headers=given, body=body, redirect=False, preload_content=False
            ) as answer:
                if answer.status != _OK:
                    return answer.status, {}
                document = json.loads(_body(answer))
        except urllib3.exceptions.TimeoutError:
            raise cannot_check(
                OutageCause.TIMEOUT, "the identity provider does not answer"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError):
            raise cannot_check(
                OutageCause.UNREACHABLE, "the identity provider does not answer"
            ) from None
        except (ValueError, RecursionError):
            raise cannot_check(
                OutageCause.MALFORMED, "the identity provider answered something else than JSON"
            ) from None
        if not isinstance(document, dict):
            raise cannot_check(
                OutageCause.MALFORMED,
                "the identity provider answered something else than an object",
            )
        return _OK, document

    def _credential(self, url: str) -> Mapping[str, str]:
        """Return our token as a header, for the issuer's origin only: no other host may get it."""
        if self.token_file is None or _origin(url) != _origin(self.issuer):
            return {}
        # Read each time: Kubernetes replaces it about every hour.
        try:
            token = read_small_file(self.token_file).strip()
        except OSError as error:
            raise cannot_check(
                OutageCause.FILE, f"our own token cannot be read: {error.strerror}"
            ) from None
        if not is_token(token):
            raise cannot_check(OutageCause.FILE, "the file of our own token holds something else")
        return {"Authorization": f"Bearer {token}"}


def _body(answer: urllib3.BaseHTTPResponse) -> bytes:
    body = answer.read(_MAX_BYTES + 1)
    if len(body) > _MAX_BYTES:
        raise cannot_check(
            OutageCause.MALFORMED, f"the identity provider answered more than {_MAX_BYTES} bytes"
        )
    return body


def _check_url(setting: str, url: str) -> None:
    if not _is_safe(url):
        raise Invalid.field(setting, f"{url!r} must be an https URL")


def _is_safe(url: str) -> bool:
    """Return whether the connection protects the keys from changes: https, or loopback."""
    try:
        parsed = urllib3.util.parse_url(url)
    except (urllib3.exceptions.HTTPError, ValueError):
        return False
    return bool(parsed.host) and (
        parsed.scheme == "https" or (parsed.scheme == "http" and parsed.host in _LOOPBACK)
    )


def _origin(url: str) -> tuple[str | None, str | None, int | None]:
    parsed = urllib3.util.parse_url(url)
    return parsed.scheme, parsed.host, parsed.port or _PORTS.get(parsed.scheme or "")
