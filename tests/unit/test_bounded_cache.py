"""Bounded cache: limits of entries and bytes, with eviction of the least recently used."""

from staging_api.bounded_cache import BoundedCache


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2, 100)
    cache.put("a", 1, 1)
    cache.put("b", 2, 1)
    assert cache.get("a") == 1
    cache.put("c", 3, 1)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert (len(cache), cache.size_bytes) == (2, 2)


def test_bytes_are_limited_and_counted_anew_when_a_value_is_replaced() -> None:
    cache: BoundedCache[str, int] = BoundedCache(10, 100)
    cache.put("a", 1, 60)
    cache.put("a", 2, 50)
    cache.put("b", 3, 50)
    assert (cache.get("a"), cache.get("b"), cache.size_bytes) == (2, 3, 100)
    cache.put("c", 4, 1)
    assert [cache.get(key) for key in "abc"] == [None, 3, 4]
    assert cache.size_bytes == 51


def test_what_is_larger_than_all_is_not_kept_and_what_was_there_is_forgotten() -> None:
    cache: BoundedCache[str, int] = BoundedCache(10, 100)
    cache.put("a", 1, 10)
    cache.put("b", 2, 10)
    cache.put("a", 3, 101)
    assert (cache.get("a"), cache.get("b"), cache.size_bytes) == (None, 2, 10)


def test_a_value_of_no_size_takes_no_bytes() -> None:
    cache: BoundedCache[str, int] = BoundedCache(10, 0)
    cache.put("a", 1)
    assert (cache.get("a"), cache.size_bytes) == (1, 0)
