"""Cached keys of a provider: lifetime, number of keys to try, and frequency of requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from joserfc.jwk import ECKey

from staging_api.identity.jwks import KeyCache
from staging_api.identity.outage import IdentityOutage, OutageCause

HOUR = 3600.0
BUSY = "busy, again in 1 s"


@dataclass
class Issuer:
    """A provider's keys, a clock that the test moves, and the number of fetches."""

    entries: Sequence[Mapping[str, Any]]
    seconds: float = 1000.0
    fetched: list[float] = field(default_factory=list)

    def fetch(self) -> Mapping[str, Any]:
        self.fetched.append(self.seconds)
        return {"keys": self.entries}

    def now(self) -> float:
        return self.seconds

    def cache(self) -> KeyCache:
        return KeyCache(self.fetch, self.now)


def entry(key_id: str | None) -> dict[str, Any]:
    named = {} if key_id is None else {"kid": key_id}
    return {**ECKey.generate_key("P-256", private=False).as_dict(private=False), **named}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer([entry(name) for name in ("one", "two")])


def test_keys_are_believed_for_a_day_without_the_provider_and_no_longer(issuer: Issuer):
    cache = issuer.cache()
    assert [key.kid for key in cache.find("one")] == ["one"]
    issuer.seconds += 600
    assert cache.find("two")
    assert issuer.fetched == [1000.0]
    issuer.entries = []
    issuer.seconds = 1000 + 24 * HOUR
    assert cache.find("one")
    issuer.seconds += 1
    with pytest.raises(IdentityOutage) as error:
        cache.find("one")
    assert error.value.cause is OutageCause.MALFORMED


def test_an_unknown_id_is_looked_up_again_after_five_seconds(issuer: Issuer):
    cache = issuer.cache()
    for seconds in (1000.0, 1005.0, 1005.1, 1010.1, 1010.2):
        issuer.seconds = seconds
        assert cache.find("none") == ()
    assert issuer.fetched == [1000.0, 1005.1, 1010.2]
    # Without an id there is nothing to remember: any key may fit.
    assert {key.kid for key in cache.find(None)} == {"one", "two"}


def test_the_provider_is_asked_a_hundred_times_at_once_and_then_once_a_second(issuer: Issuer):
    cache = issuer.cache()

    def look_up() -> str:
        issuer.seconds += 1e-6
        try:
            cache.find_since(issuer.seconds, "one")
        except IdentityOutage as error:
            return f"{error.cause}, again in {error.retry_after_seconds:g} s"
        return "found"

    assert [look_up() for _ in range(102)] == ["found"] * 100 + [BUSY] * 2
    issuer.seconds += 0.9
    assert look_up() == BUSY
    issuer.seconds += 0.1
    assert [look_up(), look_up()] == ["found", BUSY]
    # The allowance stays at a hundred requests, also after an idle hour.
    issuer.seconds += HOUR
    assert [look_up() for _ in range(102)] == ["found"] * 100 + [BUSY] * 2


@pytest.mark.parametrize("key_id", [None, "one"])
def test_of_keys_that_do_not_say_their_id_twenty_are_tried(key_id: str | None):
    issuer = Issuer([entry(None) for _ in range(22)])
    assert len(issuer.cache().find(key_id)) == 20
