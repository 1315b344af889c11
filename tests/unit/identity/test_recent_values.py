"""Cache of recent values: their lifetime and their number."""

from dataclasses import dataclass

from staging_api.identity.recent import RecentValues


@dataclass
class Clock:
    """Clock that the test moves."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_value_is_kept_for_its_lifetime_and_not_longer():
    clock = Clock()
    values: RecentValues[int] = RecentValues(10, 5, clock)
    values.put("a", 1)
    clock.seconds += 4
    values.put("b", 2)
    clock.seconds += 6
    assert (values.get("a"), values.get("b"), values.get("c")) == (1, 2, None)
    clock.seconds += 0.1
    assert (values.get("a"), values.get("b")) == (None, 2)


def test_who_asks_for_newer_values_gets_no_older_one():
    clock = Clock()
    values: RecentValues[int] = RecentValues(10, 5, clock)
    values.put("a", 1)
    clock.seconds += 3
    assert (values.get("a", within=3), values.get("a", within=2)) == (1, None)
    # Longer than its lifetime, too.
    clock.seconds += 10
    assert (values.get("a", within=20), values.get("a")) == (1, None)


def test_of_too_many_values_the_one_that_was_put_first_goes():
    values: RecentValues[int] = RecentValues(10, 2, Clock())
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        values.put(key, value)
    assert [values.get(key) for key in "abc"] == [3, None, 4]


def test_one_value_is_removed_and_no_other():
    values: RecentValues[int] = RecentValues(10, 5, Clock())
    values.put("a", 1)
    values.put("b", 2)
    values.remove("a")
    values.remove("never there")
    assert (values.get("a"), values.get("b")) == (None, 2)
