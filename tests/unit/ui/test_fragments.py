"""Fragments of pages: made once a second for all readers, with bounded memory."""

from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from staging_api.errors import Unavailable
from staging_api.ui.freshness import Fragment, Fragments


class Looks:
    """Fragments with a stopped clock; each contains the number of its making."""

    def __init__(self) -> None:
        self.now = 100.0
        self.made: list[Hashable] = []
        self.fragments = Fragments(lambda: self.now)

    def at(self, key: Hashable, instead: Callable[[], None] = lambda: None) -> str:
        def make() -> Fragment:
            instead()
            self.made.append(key)
            return Fragment(f"{key} {len(self.made)}", "")

        return self.fragments.get(key, make).html


def test_a_fragment_is_kept_for_a_second_from_when_it_was_made() -> None:
    looks = Looks()

    def slowly() -> None:
        looks.now += 5

    assert looks.at("a", slowly) == "a 1"
    assert looks.at("b") == "b 2"
    looks.now += 1
    assert looks.at("a") == "a 1"
    looks.now += 0.01
    assert looks.at("a") == "a 3"
    assert looks.at("b") == "b 4"
    assert looks.at("a") == "a 3"


def test_one_that_could_not_be_made_is_made_for_the_next() -> None:
    looks = Looks()

    def fails() -> None:
        raise Unavailable("no database")

    with pytest.raises(Unavailable):
        looks.at("a", fails)
    assert looks.at("a") == "a 1"
    looks.now += 2
    with pytest.raises(Unavailable):
        looks.at("a", fails)
    assert looks.at("a") == "a 2"


def test_who_comes_while_one_is_made_waits_for_it_and_for_no_other() -> None:
    looks, begun, go_on = Looks(), Event(), Event()

    def waits() -> None:
        begun.set()
        assert go_on.wait(30)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(looks.at, "a", waits)
        assert begun.wait(30)
        second = pool.submit(looks.at, "a")
        assert looks.at("b") == "b 1"
        assert not first.done()
        assert not second.done()
        go_on.set()
        assert first.result(30) == second.result(30) == "a 2"
    assert looks.made == ["b", "a"]


def test_500_are_kept_and_the_one_that_nobody_looked_at_for_longest_goes_first() -> None:
    looks = Looks()
    for number in range(500):
        looks.at(number)
    assert looks.at(0) == "0 1"
    assert len(looks.made) == 500
    looks.at("one more")
    assert looks.at(0) == "0 1"
    assert looks.at(2) == "2 3"
    assert len(looks.made) == 501
    assert looks.at(1) == "1 502"
