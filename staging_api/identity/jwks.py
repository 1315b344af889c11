"""Public keys of an OpenID provider: fetched on demand, cached, replaced when they rotate.

A cached key is used at once; an old key set is refreshed in the background. An unknown key id is
looked up in a document requested *after* the token arrived: an older document cannot prove that the
key does not exist. Concurrent look-ups share one fetch; fetches have a budget, so that invented key
ids do not cause a call to the provider each time; and unknown key ids are cached for a short time.

Ids are optional, and keys of two types may share an id (RFC 7517, section 4.5). So several keys may
have signed a token, and each is tried.

While the provider is down, cached keys stay valid for `_STALE_SECONDS`. A token that cannot be
checked then causes `IdentityUnavailable`, never a refusal: the provider has never answered, its
response is not a set of keys, or a key is new and cannot be looked up.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from staging_api.identity.calls import SharedCalls
from staging_api.identity.outage import OutageCause, cannot_check
from staging_api.identity.recent import RecentValues

log = logging.getLogger(__name__)

_FRESH_SECONDS = 600.0
_STALE_SECONDS = 24 * 3600.0
# Time for which an unknown key id is cached.
_ABSENT_SECONDS = 5.0
_MOST_ABSENT = 1000
# Size of a burst of fetches; after it, one fetch a second.
_BUDGET = 100.0
_BUDGET_PER_SECOND = 1.0
# Number of keys that are tried for a token without a key id; a provider has two or three.
_MOST_TRIED = 20
#: Never "oct": a public document cannot hold a shared secret.
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})


@dataclass(frozen=True)
class _KeySet:
    """The result of one fetch; `unusable` are the ids of keys that cannot be parsed."""

    keys: Mapping[str | None, Sequence[Key]]
    unusable: frozenset[str | None]
    requested_at: float

    def of(self, key_id: str | None) -> Sequence[Key]:
        """Return the keys that may sign with this id; the id of token or key may be missing."""
        if key_id is None:
            return [key for keys in self.keys.values() for key in keys][:_MOST_TRIED]
        return self.keys.get(key_id) or self.keys.get(None, ())[:_MOST_TRIED]


_NO_KEYS = _KeySet({}, frozenset(), float("-inf"))


class KeyCache:
    """The provider's public keys, by key id; thread-safe."""

    def __init__(
        self,
        fetch: Callable[[], Mapping[str, Any]],
        now: Callable[[], float] = time.monotonic,
        calls: SharedCalls | None = None,
    ) -> None:
        """Create an empty cache: the provider may be down while this process starts.

        Args:
            fetch: returns the provider's key document, or raises `IdentityUnavailable`.
            now: a clock in seconds that never goes back.
            calls: runs the fetches.
        """
        self._fetch = fetch
        self._now = now
        self._calls = calls or SharedCalls()
        self._set = _NO_KEYS
        self._absent: RecentValues[bool] = RecentValues(_ABSENT_SECONDS, _MOST_ABSENT, now)
        self._left, self._counted_at = _BUDGET, now()
        self._counting = threading.Lock()

    def find(self, key_id: str | None) -> Sequence[Key]:
        """Return the keys that may have signed a token with this id; empty if there is none.

        Raises:
            IdentityUnavailable: the look-up of the key is not possible at the moment.
        """
        came_at = self._now()
        age = came_at - self._set.requested_at
        found = self._set.of(key_id)
        if found and age <= _STALE_SECONDS:
            if age > _FRESH_SECONDS:
                self._calls.begin("keys", self._refresh)
            return found
        if key_id is not None and self._absent.get(key_id):
            return ()
        return self.find_since(came_at, key_id)

    def find_since(self, came_at: float, key_id: str | None) -> Sequence[Key]:
        """Return the keys as the provider had them at `came_at` or later; empty if none.

        Raises:
            IdentityUnavailable: see `find`.
        """
        # At most two rounds: a running fetch may have begun earlier, the next one has not.
        while self._set.requested_at < came_at:
            self._calls.wait_for("keys", self._refresh)
        known = self._set
        found = known.of(key_id)
        if not found and (key_id in known.unusable or None in known.unusable):
            raise cannot_check(
                OutageCause.MALFORMED, "the identity provider's key of this token cannot be read"
            )
        if not found and key_id is not None:
            self._absent.put(key_id, True)
        return found

    def now(self) -> float:
        """Return the time by the clock of `find_since`."""
        return self._now()

    def _refresh(self) -> None:
        self._spend()
        requested_at = self._now()
        self._set = _read(self._fetch(), requested_at)

    def _spend(self) -> None:
        with self._counting:
            now = self._now()
            earned = (now - self._counted_at) * _BUDGET_PER_SECOND
            self._left, self._counted_at = min(_BUDGET, self._left + earned), now
            if self._left < 1:
                raise cannot_check(OutageCause.BUSY, "too many look-ups of unknown keys", 1)
            self._left -= 1


def _read(document: Mapping[str, Any], requested_at: float) -> _KeySet:
    """Return the keys that can verify signatures; others are ignored (RFC 7517, section 5)."""
    keys: dict[str | None, list[Key]] = {}
    unusable: set[str | None] = set()
    listed = document.get("keys")
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, dict) or not _is_for_signatures(entry):
            continue
        key_id = entry.get("kid") if isinstance(entry.get("kid"), str) else None
        try:
            key = JWKRegistry.import_key(entry)
            key.get_op_key("verify")  # parses the numbers, which the import defers
        except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
            log.warning("key %s of the identity provider is not usable", key_id)
            unusable.add(key_id)
        else:
            keys.setdefault(key_id, []).append(key)
    if not keys:
        raise cannot_check(
            OutageCause.MALFORMED, "the identity provider has no key that verifies signatures"
        )
    return _KeySet(keys, frozenset(unusable), requested_at)


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops")
    return (
        str(entry.get("kty")) in _KEY_TYPES
        and entry.get("use", "sig") == "sig"
        and (not isinstance(operations, list) or "verify" in operations)
    )
