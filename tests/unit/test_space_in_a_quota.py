"""Quota: reservations only where there is one; evictions after a reduction."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import Invalid, NoSpace
from staging_api.locks.model import ARCHIVE, IMAGES, SYMBOLS
from staging_api.sources.url import parse
from staging_api.staging import eviction, quota
from staging_api.staging.eviction import Eviction
from staging_api.staging.model import StagingRequest
from staging_api.staging.packs import Packs
from staging_api.staging.quota import Quota
from staging_api.staging.repository.space_rows import EvictableArtifact
from tests.statements import patch_statement

HELD: Any = SimpleNamespace(lease=SimpleNamespace(scope="gs://mine", id="lease"))


class Space:
    """Store with a quota and this many used bytes; reservations lack what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used = 50
        self.lacking: list[int] = [0]
        self.done: list[Any] = []
        monkeypatch.setattr(quota, "guarded", lambda *_: nullcontext())
        monkeypatch.setattr(eviction, "prune", lambda _, **given: self.done.append(given))
        monkeypatch.setattr(eviction, "plan", self._plan)
        monkeypatch.setattr(eviction, "evict", self._evict)
        for name in ("reserve", "reserve_upload"):
            patch_statement(monkeypatch, name, self._reserve)
        patch_statement(
            monkeypatch, "release_upload", lambda _c, upload: self.done.append(f"release {upload}")
        )

    def of(self, quota_bytes: int) -> Quota:
        upkeep: Any = SimpleNamespace(
            terms=SimpleNamespace(quota_bytes=quota_bytes, evictable_seconds=7.0),
            database=SimpleNamespace(connect=nullcontext, begin=nullcontext),
            space=lambda: SimpleNamespace(used=self.used, reserved=30),
            collect=self._collect,
        )
        return Quota(upkeep)

    def _reserve(self, _conn: object, owner: str, *given: Any) -> int:
        self.done.append((owner, *given))
        return self.lacking.pop(0)

    def _collect(self, *, busy_too: bool = False) -> int:
        self.done.append("collect busy ones" if busy_too else "collect")
        return 0

    def _plan(self, _db: object, need: int, _idle: float, sparing: str, **_: object) -> Eviction:
        self.done.append(("plan", need, sparing))
        found = [EvictableArtifact(name, "gs://x", "archive", name, 10) for name in "12"]
        return Eviction(tuple(found), 20)

    def _evict(self, _upkeep: object, found: EvictableArtifact, *given: Any) -> bool:
        self.done.append(("evict", found.id, *given))
        return True


_LACKING = r"^50 .* 21 more than STAGING_QUOTA_BYTES \(100\) leaves: 50 are used, and 30 reserved"


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Space:
    return Space(monkeypatch)


def test_without_a_quota_everything_is_granted_and_nothing_written(space: Space) -> None:
    free = space.of(0)
    free.reserve("a", HELD, 1 << 50)
    free.reserve_upload("u", 1 << 50)
    assert free.reserve_more("a", HELD, 5)
    assert free.reserve_more_for_upload("u", 5)
    free.release_upload("u")
    free.keep()
    assert space.done == []


@pytest.mark.parametrize(("lacking", "granted"), [(0, True), (1, False)])
def test_more_is_reserved_if_it_is_there_and_nothing_is_freed_for_it(
    space: Space, lacking: int, granted: bool
) -> None:
    space.lacking = [lacking, lacking]
    assert space.of(100).reserve_more("a", HELD, 5) is granted
    assert space.of(100).reserve_more_for_upload("u", 6) is granted
    assert space.done == [("a", HELD.lease, 5, 100), ("u", 6, 100, 900.0)]


def test_an_upload_is_released_by_its_id(space: Space) -> None:
    space.of(100).release_upload("u")
    assert space.done == ["release u"]


@pytest.mark.parametrize(("quota_bytes", "pruned"), [(1, True), (49, True), (50, False)])
def test_a_lowered_quota_is_kept(space: Space, quota_bytes: int, pruned: bool) -> None:
    space.of(quota_bytes).keep()
    assert space.done == ([{"keep_bytes": quota_bytes}] if pruned else [])


def test_space_is_freed_for_an_artifact_and_nothing_of_its_own_archive(space: Space) -> None:
    checks: list[int] = []
    space.lacking = [8, 0]
    space.of(100).reserve("a", HELD, 100, lambda: checks.append(len(space.done)))
    reserved = ("a", HELD.lease, 100, 100)
    assert space.done == [
        *(reserved, "collect", ("plan", 8, "gs://mine")),
        *(("evict", "1", "space", 7.0), ("evict", "2", "space", 7.0), "collect", reserved),
    ]
    # Checked before each eviction: a cancelled request evicts nothing more.
    assert checks == [3, 4]


def test_nothing_is_evicted_if_it_would_not_be_enough(space: Space) -> None:
    space.lacking = [21]
    with pytest.raises(NoSpace, match=_LACKING) as refused:
        space.of(100).reserve("a", HELD, 50)
    assert refused.value.retryable
    assert [each for each in space.done if each[0] == "evict"] == []
    space.lacking = [20, 0]
    space.of(100).reserve("a", HELD, 50)
    assert [each[1] for each in space.done if each[0] == "evict"] == ["1", "2"]


def test_more_than_the_whole_quota_never_fits(space: Space) -> None:
    with pytest.raises(NoSpace) as refused:
        space.of(100).reserve("a", HELD, 101)
    assert (refused.value.retryable, space.done) == (False, [])


@pytest.mark.parametrize(
    ("written", "is_new", "below"),
    [("auto", True, 65536), ("auto", False, 0), ("yes", False, 65536), ("no", True, 0)],
)
def test_members_below_64_kibibytes_go_into_packs_where_all_can_read_them(
    monkeypatch: pytest.MonkeyPatch, written: Any, is_new: bool, below: int
) -> None:
    patch_statement(monkeypatch, "packs_are_written", lambda _c: is_new)
    database: Any = SimpleNamespace(connect=nullcontext)
    assert Packs(written).below(database) == below
    assert Packs(written, 9).below(database) == min(below, 9)


def test_a_request_takes_the_locks_of_its_groups_in_one_order() -> None:
    def kinds(*groups: str) -> Any:
        return [SimpleNamespace(name=group, group=group) for group in groups]

    url = parse("https://x/R17")
    asked = StagingRequest(url, kinds("symbols", "other", "images", "build"))
    assert asked.lock_kinds == [ARCHIVE, IMAGES, SYMBOLS]
    assert StagingRequest(url, kinds("symbols")).lock_kinds == [SYMBOLS]
    asked.check_can_be_left()
    with pytest.raises(Invalid, match="archive_url: has a credential"):
        secret = parse("https://x/R17?sig=1", ("sig",))
        StagingRequest(secret, kinds("build")).check_can_be_left()
