"""Small model of the lock, in every order of its events."""

import pytest

from tests.lock_model import Rules, search


@pytest.mark.parametrize("rules", [Rules(), Rules(sync_replication=True)])
def test_no_order_of_events_breaks_the_lock(rules: Rules) -> None:
    worlds, wrong = search(2, rules)
    assert wrong is None
    assert worlds > 1_000


@pytest.mark.parametrize(
    "rules",
    [
        Rules(fence_has_timeline=False),
        Rules(renewal_checks_expiry=False),
        Rules(writes_are_guarded=False),
    ],
)
def test_the_search_finds_each_known_fault(rules: Rules) -> None:
    assert search(2, rules)[1] is not None
