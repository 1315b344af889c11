"""Asking an OpenID provider for its keys, by its discovery document or straight away."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from staging_api.errors import Invalid, Unavailable

_MAX_BYTES = 1 << 20
_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_OK = 200


@dataclass(frozen=True)
class Provider:
    """Where the keys are.

    Attributes:
        issuer: the provider's name, and base of its discovery document.
        jwks_url: the keys themselves; empty: told by the discovery document.
        ca_file: who may vouch for the provider's certificate; None: whoever the system trusts.
        token_file: a token that the provider wants to see, such as a service account's own.
    """

    issuer: str
    jwks_url: str = ""
    ca_file: Path | None = None
    token_file: Path | None = None

    def fetcher(self) -> Callable[[], Mapping[str, Any]]:
        """What gets the document of keys.

        Raises:
            Invalid: an address is not https, and not of this machine either.
        """
        _check_url("STAGING_OIDC_ISSUER", self.issuer)
        if self.jwks_url:
            _check_url("STAGING_OIDC_JWKS_URL", self.jwks_url)
        pool = urllib3.PoolManager(
            retries=False,
            timeout=urllib3.Timeout(total=_SECONDS),
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(self.ca_file) if self.ca_file else None,
        )
        return lambda: self._get(pool, self.jwks_url or self._discover(pool))

    def _discover(self, pool: urllib3.PoolManager) -> str:
        found = self._get(pool, self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise Unavailable("the discovery document is another issuer's")
        url = found.get("jwks_uri")
        if not isinstance(url, str) or not _is_safe(url):
            raise Unavailable("the discovery document names no https address of keys")
        return url

    def _get(self, pool: urllib3.PoolManager, url: str) -> Mapping[str, Any]:
        headers = {"Accept": "application/json"}
        try:
            if self.token_file is not None:
                # Read each time: Kubernetes replaces it about every hour.
                headers["Authorization"] = f"Bearer {self.token_file.read_text().strip()}"
            with pool.request(
                "GET", url, headers=headers, redirect=False, preload_content=False
            ) as answer:
                if answer.status != _OK:
                    raise Unavailable(f"the identity provider answered {answer.status}")
                document = json.loads(answer.read(_MAX_BYTES))
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            raise Unavailable("the identity provider does not answer") from None
        if not isinstance(document, dict):
            raise Unavailable("the identity provider answered something else than JSON")
        return document


def _check_url(setting: str, url: str) -> None:
    if not _is_safe(url):
        raise Invalid.field(setting, f"{url!r} must be an https URL")


def _is_safe(url: str) -> bool:
    """Keys must come over a connection that nobody can change, or from this machine."""
    parsed = urllib3.util.parse_url(url)
    return parsed.scheme == "https" or (parsed.scheme == "http" and parsed.host in _LOOPBACK)
