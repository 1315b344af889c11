"""The keys of an OpenID provider: fetched when needed, kept for a while, replaced when they rotate.

A key that is not known is looked for once more at the provider, at most every `_PAUSE_SECONDS`: a
caller who invents key ids must not make us call the provider each time. While the provider is away
the keys of before stay good, as long as `_STALE_SECONDS`; a provider that never answered means
`Unavailable`, never that the caller is refused.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from staging_api.errors import Unavailable

log = logging.getLogger(__name__)

_FRESH_SECONDS = 600.0
_STALE_SECONDS = 24 * 3600.0
_PAUSE_SECONDS = 10.0
#: Never "oct": a public document cannot hold a shared secret.
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})


class KeyCache:
    """The provider's public keys, by key id; used by many threads."""

    def __init__(
        self, fetch: Callable[[], Mapping[str, Any]], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Fetch nothing yet: the provider may be away while this process starts.

        Args:
            fetch: gets the provider's key document, or raises `Unavailable`.
            now: a clock in seconds that never goes back.
        """
        self._fetch = fetch
        self._now = now
        self._keys: Mapping[str | None, Key] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = threading.Lock()

    def find(self, key_id: str | None) -> Key | None:
        """The key of this id, or the only key if the token names none; None if there is no such.

        Raises:
            Unavailable: the provider cannot be reached, and no keys of it are known.
        """
        if self._age() > _FRESH_SECONDS:
            self._refresh()
        found = self._pick(key_id)
        if found is None:
            self._refresh()
            found = self._pick(key_id)
        if self._age() > _STALE_SECONDS:
            raise Unavailable("the identity provider does not answer", retry_after_seconds=5)
        return found

    def _age(self) -> float:
        return self._now() - self._fetched_at

    def _pick(self, key_id: str | None) -> Key | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _refresh(self) -> None:
        # Whoever has keys goes on with them while another thread fetches.
        if not self._fetching.acquire(blocking=self._age() > _STALE_SECONDS):
            return
        try:
            if self._now() - self._tried_at >= _PAUSE_SECONDS:
                self._tried_at = self._now()
                self._keys = _read(self._fetch())
                self._fetched_at = self._now()
        except Unavailable as error:
            log.warning("the keys of before are used: %s", error.detail)
        finally:
            self._fetching.release()


def _read(document: Mapping[str, Any]) -> Mapping[str | None, Key]:
    """The keys that can verify signatures; what is not understood is passed over (RFC 7517)."""
    keys: dict[str | None, Key] = {}
    for told in document.get("keys", []):
        if told.get("kty") not in _KEY_TYPES or told.get("use", "sig") != "sig":
            continue
        try:
            keys[told.get("kid")] = JWKRegistry.import_key(told)
        except (JoseError, ValueError, TypeError):
            log.warning("key %s of the identity provider is not usable", told.get("kid"))
    if not keys:
        raise Unavailable("the identity provider has no key that verifies signatures")
    return keys
