"""The keys of an OpenID provider: fetched when needed, kept for a while, replaced when they rotate.

A key that is known serves at once, and is fetched anew in the background when it is old. One that
is not known is looked for in a document that was asked for *after* the token came: an older one
cannot prove that the key does not exist. All who look share one fetch, fetches have a budget (a
caller who invents key ids must not make us call the provider each time), and key ids that were not
found are remembered for a moment.

Ids are optional, and keys of two types may share one (RFC 7517, section 4.5). So several keys can
be the one that signed a token, and each is tried.

While the provider is away the keys of before stay good, as long as `_STALE_SECONDS`. Whatever is
not known then, is `IdentityUnavailable`, never that the caller is refused: the provider never
answered, or what it said is no set of keys, or a key is new and cannot be looked for.
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
# So many keys are tried for a token that does not say which it is; a provider has two or three.
_MOST_TRIED = 20
#: Never "oct": a public document cannot hold a shared secret.
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})


@dataclass(frozen=True)
class _KeySet:
    """What one fetch brought; `unusable` are ids of keys that are there and cannot be read."""

    keys: Mapping[str | None, Sequence[Key]]
    unusable: frozenset[str | None]
    asked_at: float

    def of(self, key_id: str | None) -> Sequence[Key]:
        """The keys that may have signed a token with this id: of the same, or one or both none."""
        if key_id is None:
            return [key for keys in self.keys.values() for key in keys][:_MOST_TRIED]
        return self.keys.get(key_id) or self.keys.get(None, ())[:_MOST_TRIED]


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

    def find(self, key_id: str | None) -> Sequence[Key]:
        """The keys that a token with this id may be signed with; none: the provider has no such.

        Raises:
            IdentityUnavailable: whether there is such a key cannot be found out just now.
        """
        came_at = self._now()
        age = came_at - self._set.asked_at
        found = self._set.of(key_id)
        if found and age <= _STALE_SECONDS:
            if age > _FRESH_SECONDS:
                self._calls.begin("keys", self._refresh)
            return found
        if key_id is not None and self._absent.get(key_id):
            return ()
        return self.find_since(came_at, key_id)

    def find_since(self, came_at: float, key_id: str | None) -> Sequence[Key]:
        """The keys as the provider had them at `came_at` or later; none: it has no such.

        Raises:
            IdentityUnavailable: as `find`.
        """
        # A fetch that runs already began before; its answer may be too old.
        for _ in range(2):
            if self._set.asked_at >= came_at:
                break
            self._calls.ask("keys", self._refresh)
        known = self._set
        found = known.of(key_id)
        if not found and (key_id in known.unusable or None in known.unusable):
            raise cannot_check(
                Cause.MALFORMED, "the identity provider's key of this token cannot be read"
            )
        if not found and key_id is not None:
            self._absent.put(key_id, True)
        return found

    def now(self) -> float:
        """The time by the clock of `find_since`."""
        return self._now()

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
    keys: dict[str | None, list[Key]] = {}
    unusable: set[str | None] = set()
    listed = document.get("keys")
    for told in listed if isinstance(listed, list) else []:
        if not isinstance(told, dict) or not _is_for_signatures(told):
            continue
        key_id = told.get("kid") if isinstance(told.get("kid"), str) else None
        try:
            key = JWKRegistry.import_key(told)
            key.get_op_key("verify")  # reads the numbers, which importing puts off
        except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
            log.warning("key %s of the identity provider is not usable", key_id)
            unusable.add(key_id)
        else:
            keys.setdefault(key_id, []).append(key)
    if not keys:
        raise cannot_check(
            Cause.MALFORMED, "the identity provider has no key that verifies signatures"
        )
    return _KeySet(keys, frozenset(unusable), asked_at)


def _is_for_signatures(told: Mapping[str, Any]) -> bool:
    operations = told.get("key_ops")
    return (
        str(told.get("kty")) in _KEY_TYPES
        and told.get("use", "sig") == "sig"
        and (not isinstance(operations, list) or "verify" in operations)
    )
