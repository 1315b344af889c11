"""The keys of an OpenID provider: fetched when needed, kept for a while, replaced when they rotate.

A key that is known serves at once, and is fetched anew in the background when it is old. One that
is not known is looked for in a document that was asked for *after* the token came: an older one
cannot prove that the key does not exist. All who look share one fetch, fetches have a budget (a
caller who invents key ids must not make us call the provider each time), and key ids that were not
found are remembered for a moment.

While the provider is away the keys of before stay good, as long as `_STALE_SECONDS`. Whatever is
not known then, is `IdentityUnavailable`, never that the caller is refused: the provider never
answered, or what it said is no set of keys, or a key is new and cannot be looked for.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from staging_api.identity.calls import SharedCalls
from staging_api.identity.outage import Cause, cannot_check
from staging_api.identity.recent import Recent

log = logging.getLogger(__name__)

_FRESH_SECONDS = 600.0
_STALE_SECONDS = 24 * 3600.0
# So long a key id is remembered that was not found.
_ABSENT_SECONDS = 5.0
_MOST_ABSENT = 1000
# So many fetches may follow each other at once, and one a second after that.
_BUDGET = 100.0
_BUDGET_PER_SECOND = 1.0
#: Never "oct": a public document cannot hold a shared secret.
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})


@dataclass(frozen=True)
class _KeySet:
    """What one fetch brought; `unusable` are ids of keys that are there and cannot be read."""

    keys: Mapping[str | None, Key]
    unusable: frozenset[str]
    asked_at: float


_NO_KEYS = _KeySet({}, frozenset(), float("-inf"))


class KeyCache:
    """The provider's public keys, by key id; used by many threads."""

    def __init__(
        self,
        fetch: Callable[[], Mapping[str, Any]],
        now: Callable[[], float] = time.monotonic,
        calls: SharedCalls | None = None,
    ) -> None:
        """Fetch nothing yet: the provider may be away while this process starts.

        Args:
            fetch: gets the provider's key document, or raises `IdentityUnavailable`.
            now: a clock in seconds that never goes back.
            calls: what the fetches are made by.
        """
        self._fetch = fetch
        self._now = now
        self._calls = calls or SharedCalls()
        self._set = _NO_KEYS
        self._absent: Recent[bool] = Recent(_ABSENT_SECONDS, _MOST_ABSENT, now)
        self._left, self._counted_at = _BUDGET, now()
        self._counting = threading.Lock()

    def find(self, key_id: str | None) -> Key | None:
        """The key of this id, or the only key if the token names none; None if there is no such.

        Raises:
            IdentityUnavailable: whether there is such a key cannot be found out just now.
        """
        came_at = self._now()
        age = came_at - self._set.asked_at
        found = self._pick(key_id)
        if found is not None and age <= _STALE_SECONDS:
            if age > _FRESH_SECONDS:
                self._calls.begin("keys", self._refresh)
            return found
        if key_id is not None and self._absent.get(key_id):
            return None
        return self.find_since(came_at, key_id)

    def find_since(self, came_at: float, key_id: str | None) -> Key | None:
        """The key as the provider had it at `came_at` or later; None if there is no such.

        Raises:
            IdentityUnavailable: as `find`.
        """
        # A fetch that runs already began before; its answer may be too old.
        for _ in range(2):
            if self._set.asked_at >= came_at:
                break
            self._calls.ask("keys", self._refresh)
        found = self._pick(key_id)
        if found is None and key_id is not None:
            if key_id in self._set.unusable:
                raise cannot_check(
                    Cause.MALFORMED, "the identity provider's key of this token cannot be read"
                )
            self._absent.put(key_id, True)
        return found

    def now(self) -> float:
        """The time by the clock of `find_since`."""
        return self._now()

    def _pick(self, key_id: str | None) -> Key | None:
        keys = self._set.keys
        if key_id is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(key_id)

    def _refresh(self) -> None:
        self._spend()
        asked_at = self._now()
        self._set = _read(self._fetch(), asked_at)

    def _spend(self) -> None:
        with self._counting:
            now = self._now()
            earned = (now - self._counted_at) * _BUDGET_PER_SECOND
            self._left, self._counted_at = min(_BUDGET, self._left + earned), now
            if self._left < 1:
                raise cannot_check(Cause.BUSY, "too many unknown keys were asked for", 1)
            self._left -= 1


def _read(document: Mapping[str, Any], asked_at: float) -> _KeySet:
    """The keys that can verify signatures; what is not understood is passed over (RFC 7517)."""
    keys: dict[str | None, Key] = {}
    unusable = set()
    listed = document.get("keys")
    for told in listed if isinstance(listed, list) else []:
        if not isinstance(told, dict):
            continue
        key_id = told.get("kid") if isinstance(told.get("kid"), str) else None
        if str(told.get("kty")) not in _KEY_TYPES or told.get("use", "sig") != "sig":
            continue
        try:
            key = JWKRegistry.import_key(told)
            key.get_op_key("verify")  # reads the numbers, which importing puts off
            keys[key_id] = key
        except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
            log.warning("key %s of the identity provider is not usable", key_id)
            unusable.add(key_id or "")
    if not keys:
        raise cannot_check(
            Cause.MALFORMED, "the identity provider has no key that verifies signatures"
        )
    return _KeySet(keys, frozenset(unusable - set(keys)), asked_at)
