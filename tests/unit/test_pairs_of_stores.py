"""Common id of a store and its database: comparison, adoption and replacement."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import StoreAbsent, StoreFailed, WrongStore
from staging_api.staging.store_identity import StoreIdentity
from tests.statements import patch_statement


class Pair:
    """A store with a marker, and a database with an id; both keep the first value that they get."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marker: str | None = None
        self.known: str | None = None
        self.first: str | None = None
        self.sample: dict[str, int] = {}
        self.lacking = 0
        self.is_empty = True
        self.is_readable = True
        self.asked: list[Any] = []
        for name, does in {
            "store_id": lambda _c: self.asked.append("id") or self.known,
            "keep_store_id": self._keep,
            "some_blobs": self._sample,
        }.items():
            patch_statement(monkeypatch, name, does)
        database: Any = SimpleNamespace(connect=nullcontext)
        blobs: Any = SimpleNamespace(
            identity=lambda: self.marker if self.is_readable else None,
            identify=self._identify,
            lacks=lambda sample: list(sample)[: self.lacking],
            is_empty=lambda: self.is_empty,
        )
        self.identity = StoreIdentity(database, blobs)

    def has(self, contents: int, lacking: int) -> None:
        self.sample, self.lacking = {str(number): 1 for number in range(contents)}, lacking

    def _keep(self, _conn: object, chosen: str) -> str:
        self.known = self.known or self.first or chosen
        return self.known

    def _identify(self, chosen: str, *, replace: bool = False) -> None:
        if replace or self.marker is None:
            self.marker = chosen

    def _sample(self, _conn: object, start: str, most: int) -> dict[str, int]:
        self.asked.append((len(start), most))
        return self.sample


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Pair:
    return Pair(monkeypatch)


def test_a_new_store_and_a_new_database_get_the_same_id(pair: Pair) -> None:
    pair.identity.check()
    assert pair.marker == pair.known is not None
    # The database's id is read once; the marker each time.
    before, pair.asked = pair.marker, []
    pair.identity.check()
    assert pair.asked == []
    pair.marker = "another"
    with pytest.raises(WrongStore, match=f"the store is another, .* belongs to {before}"):
        pair.identity.check()


def test_a_probe_binds_nothing(pair: Pair) -> None:
    pair.identity.check(adopt=False)
    assert (pair.marker, pair.known) == (None, None)
    pair.known = "ours"
    pair.has(3, lacking=1)
    pair.identity.check(adopt=False)
    assert pair.marker is None
    pair.identity.check()
    assert pair.marker == "ours"


def test_twenty_contents_at_any_place_are_looked_for(pair: Pair) -> None:
    pair.identity.check()
    assert pair.asked == ["id", (64, 20)]


@pytest.mark.parametrize(
    ("known", "contents", "lacking", "is_taken"),
    [
        *((None, 4, 2, True), (None, 4, 3, False), (None, 0, 0, True), (None, 3, 2, False)),
        *(("ours", 4, 1, True), ("ours", 4, 2, False), ("ours", 5, 2, True), ("ours", 0, 0, False)),
    ],
)
@pytest.mark.parametrize("is_empty", [True, False])
def test_a_store_without_a_marker_is_ours_if_it_has_what_the_database_says(
    pair: Pair, known: str | None, contents: int, lacking: int, *, is_taken: bool, is_empty: bool
) -> None:
    pair.known, pair.is_empty = known, is_empty
    pair.has(contents, lacking)
    if is_taken:
        pair.identity.check()
        assert pair.marker == pair.known is not None
        return
    with pytest.raises(StoreAbsent) as refused:
        pair.identity.check()
    assert isinstance(refused.value, WrongStore) is not is_empty
    assert ("the store is empty" in refused.value.detail) is is_empty
    assert (pair.marker, pair.known) == (None, known)


@pytest.mark.parametrize(("is_empty", "contents"), [(False, 1), (True, 0)])
def test_a_store_with_a_marker_is_taken_by_a_new_database_if_it_is_empty_or_has_its_contents(
    pair: Pair, is_empty: bool, contents: int
) -> None:
    pair.marker, pair.is_empty = "theirs", is_empty
    pair.has(contents, lacking=0)
    pair.identity.check()
    assert pair.known == "theirs"


def test_a_store_with_contents_of_another_database_is_not_taken(pair: Pair) -> None:
    pair.marker, pair.is_empty = "theirs", False
    with pytest.raises(WrongStore, match="the store theirs has contents of another database"):
        pair.identity.check()
    assert pair.known is None
    # Without a marker, neither belongs to another partner.
    pair.marker = None
    pair.identity.check()
    assert pair.known == pair.marker is not None


def test_a_marker_that_cannot_be_read_is_tried_again_in_a_second(pair: Pair) -> None:
    pair.is_readable = False
    with pytest.raises(StoreFailed, match="the marker of the store cannot be read") as refused:
        pair.identity.check()
    assert (refused.value.retry_after_seconds, pair.known) == (1, None)


def test_a_second_process_is_compared_with_the_id_of_the_first(pair: Pair) -> None:
    pair.first = "of the first"
    with pytest.raises(WrongStore, match="belongs to of the first"):
        pair.identity.check()


@pytest.mark.parametrize(
    ("known", "marker", "chosen"),
    [("ours", "theirs", "ours"), ("ours", None, "ours"), (None, "theirs", "theirs")],
)
def test_an_operator_binds_a_store_by_the_id_that_is_there(
    pair: Pair, known: str | None, marker: str | None, chosen: str
) -> None:
    pair.known, pair.marker, pair.is_empty = known, marker, False
    assert pair.identity.replace() == chosen
    assert (pair.known, pair.marker) == (chosen, chosen)
    pair.asked.clear()
    pair.identity.check()
    assert pair.asked == []


def test_an_operator_binds_a_store_and_a_database_without_an_id_by_a_new_one(pair: Pair) -> None:
    assert pair.identity.replace() == pair.marker == pair.known is not None
