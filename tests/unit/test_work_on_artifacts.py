"""Work on the artifacts of a staging: their order, its ends, and its record."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.errors import (
    ArchiveCorrupt,
    Cancelled,
    ClientGone,
    LockLost,
    ShuttingDown,
    SourceFailed,
    StagingApiError,
    StoreAbsent,
    Unavailable,
    WrongStore,
)
from staging_api.sources.model import SourceObject
from staging_api.sources.url import parse
from staging_api.staging import engine, work
from staging_api.staging.cached_objects import KnownContent
from staging_api.staging.model import CachedObject, StagingRequest
from staging_api.staging.work import FOR_CLIENT, FOR_WORKER, Work, WorkMode
from tests.statements import patch_statement

NAMES = ("a", "b", "c")
URL = parse("https://archive.example/R17")


class Bed:
    """Staging whose artifacts can fail, be absent or be postponed; records the operations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.errors: dict[str, StagingApiError] = {}
        self.lacking: set[str] = set()
        self.put_off: set[str] = set()
        self.missing: set[str] = set()
        self.identity: Exception | None = None
        self.ends = False
        self.done: list[Any] = []
        self.attempts: list[int] = []
        self.blobs: dict[str, int] = {}
        self.cached: CachedObject | None = None
        self.helpers = threading.Semaphore(0)
        self.objects: dict[str, list[str]] = {}
        self.during: Callable[[str], None] = lambda _name: None
        self.failed: Callable[[], None] = lambda: None
        self.cancelled = False
        monkeypatch.setattr(work, "Attempt", self._attempt)
        monkeypatch.setattr(work, "guarded", lambda *_: nullcontext())
        patch_statement(monkeypatch, "mark_cancelled", self._mark_cancelled)
        monkeypatch.setattr(engine, "fetch", self._fetch)
        patch_statement(monkeypatch, "find", lambda _c, staging_id: staging_id)
        patch_statement(monkeypatch, "to_do", self._to_do)
        patch_statement(monkeypatch, "blobs_of", lambda _c, _sha256: self.blobs)
        patch_statement(monkeypatch, "cached_object", lambda _c, *_: self.cached)

    def work(self, mode: WorkMode = FOR_WORKER) -> Work:
        parts: dict[str, Any] = dict.fromkeys(Work.__dataclass_fields__)
        parts |= {
            "database": SimpleNamespace(connect=nullcontext),
            "upload": SimpleNamespace(
                lacks=self._lacks,
                awaited=self._awaited,
                names_for=lambda each: self.objects.get(each.name, [each.name]),
                listed=None,
            ),
            "witnesses": SimpleNamespace(
                source=SimpleNamespace(url=URL.canonical, names=None, open=None, close=None)
            ),
            "staging_id": "s",
            "request": StagingRequest(URL, tuple(map(self._kind, NAMES))),
            "holds": {"archive": SimpleNamespace(lease=SimpleNamespace(id="lease"))},
            "upkeep": SimpleNamespace(identity=SimpleNamespace(check=self._check_identity)),
            "packs": SimpleNamespace(below=lambda _database: 0),
            "mode": mode,
            "shutdown": SimpleNamespace(check_begun=self._check_begun),
            "stop_signals": SimpleNamespace(check=self._check),
            "helpers": self.helpers,
        }
        return Work(**parts)

    def _kind(self, name: str) -> ArtifactKind:
        patterns = map(Pattern, self.objects.get(name, [name]))
        return ArtifactKind(name, "build", "foreground", tuple(map(Choice, patterns)))

    def _mark_cancelled(self, _conn: object, archive_url: str, staging_id: str) -> None:
        self.done.append(("cancelled", archive_url, staging_id))

    def _check(self) -> None:
        if self.cancelled:
            raise Cancelled("x")

    def staged(self) -> list[str]:
        """Return the recorded artifacts, in order."""
        return [each[1] for each in self.done if each[0] == "record"]

    def _to_do(self, _conn: object, staging: str, names: list[str], phase: str) -> list[Any]:
        self.done.append(("to do", staging, *names, phase))
        return [SimpleNamespace(id=n, name=n, lock_kind="archive", archive_url="u") for n in names]

    def _lacks(self, each: ArtifactKind) -> bool:
        if each.name in self.errors and not self.errors[each.name].retryable:
            raise self.errors[each.name]
        return each.name in self.lacking

    def _awaited(self, each: ArtifactKind, _held: object, *, patient: bool) -> bool:
        self.done.append(("awaited", each.name, patient))
        return each.name not in self.put_off

    def _check_identity(self) -> None:
        if self.identity:
            raise self.identity

    def _check_begun(self) -> None:
        if self.ends:
            raise ShuttingDown("ends")

    def _attempt(self, *given: Any) -> Any:
        artifact = given[3]
        self.attempts.append(given[5])

        @contextmanager
        def failure_recorded() -> Iterator[None]:
            try:
                yield
            except StagingApiError:
                self.done.append(("failed", artifact.name))
                self.failed()
                raise

        def record(fetched: object, done: int, *_: object) -> None:
            self.done.append(("record", artifact.name, fetched, done))

        return SimpleNamespace(
            failure_recorded=failure_recorded,
            begin=lambda: self.done.append(("begin", artifact.name)),
            progress_writer=lambda _tracker: lambda *_: None,
            record=record,
        )

    def _fetch(self, each: ArtifactKind, *given: Any, **_: object) -> str | None:
        hooks = given[3]
        self.during(each.name)
        hooks.check()
        if each.name in self.errors:
            raise self.errors[each.name]
        hooks.progress(5, 5)
        return None if each.name in self.missing else f"fetched {each.name}"


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Bed:
    return Bed(monkeypatch)


def test_each_artifact_is_awaited_begun_fetched_and_recorded(bed: Bed) -> None:
    bed.missing = {"b"}
    assert bed.work().foreground() is None
    assert bed.done == [
        ("to do", "s", *NAMES, "foreground"),
        *(("awaited", "a", False), ("begin", "a"), ("record", "a", "fetched a", 5)),
        *(("awaited", "b", False), ("begin", "b"), ("record", "b", None, 5)),
        *(("awaited", "c", False), ("begin", "c"), ("record", "c", "fetched c", 5)),
    ]


def test_background_artifacts_are_brought_unless_they_are_postponed(bed: Bed) -> None:
    bed.work().background()
    assert bed.done[0] == ("to do", "s", *NAMES, "background")
    assert bed.staged() == ["a", "b", "c"]
    bed.done.clear()
    postponed = iter([False, False, True])
    bed.work().background(lambda: next(postponed))
    assert bed.staged() == ["a", "b"]


def test_what_was_put_off_is_not_begun(bed: Bed) -> None:
    bed.put_off = {"b"}
    bed.work().foreground()
    assert bed.staged() == ["a", "c"]
    assert ("begin", "b") not in bed.done


def test_what_is_uploaded_comes_before_what_is_not(bed: Bed) -> None:
    bed.lacking = {"a"}
    bed.work().foreground()
    assert bed.staged() == ["b", "c", "a"]
    # If the list cannot be read, each artifact reports this itself.
    bed.done.clear()
    bed.errors = {"b": ArchiveCorrupt("no list")}
    bed.work().foreground()
    assert bed.staged() == ["a", "c"]


def test_one_that_fails_does_not_keep_the_others_and_the_first_error_is_the_result(
    bed: Bed,
) -> None:
    bed.errors = {"a": SourceFailed("first"), "b": SourceFailed("second")}
    assert bed.work().foreground() is bed.errors["a"]
    assert bed.staged() == ["c"]
    bed.work().background()
    assert bed.staged() == ["c", "c"]
    assert [each for each in bed.done if each[0] == "failed"] == [
        ("failed", "a"),
        ("failed", "b"),
    ] * 2


@pytest.mark.parametrize(
    "error",
    [Cancelled("x"), ClientGone("x"), LockLost("x"), ShuttingDown("x"), StoreAbsent("x")],
    ids=repr,
)
def test_what_every_artifact_needs_ends_the_work(bed: Bed, error: StagingApiError) -> None:
    bed.errors = {"b": error}
    for bring in (bed.work().foreground, bed.work().background):
        with pytest.raises(type(error)):
            bring()
    assert bed.staged() == ["a", "a"]


def test_the_database_is_tried_again_with_the_next_artifact_if_nobody_waits(bed: Bed) -> None:
    bed.errors = {"b": Unavailable("away")}
    with pytest.raises(Unavailable):
        bed.work().foreground()
    bed.work().background()
    assert bed.staged() == ["a", "a", "c"]


class Meeting:
    """Lets an artifact go on once as many are worked on as are expected at once."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)

    def __call__(self, _name: str) -> None:
        self._barrier.wait(timeout=10)


def test_artifacts_of_different_objects_are_staged_side_by_side(bed: Bed) -> None:
    bed.helpers = threading.Semaphore(2)
    bed.during = Meeting(3)
    for bring in (bed.work().foreground, bed.work().background):
        bring()
    assert sorted(bed.staged()) == ["a", "a", "b", "b", "c", "c"]
    # All helpers are free again.
    assert [bed.helpers.acquire(blocking=False) for _ in range(3)] == [True, True, False]


def test_artifacts_with_an_object_in_common_follow_one_another(bed: Bed) -> None:
    bed.helpers = threading.Semaphore(2)
    # The second choice of one is the object of another.
    bed.objects = {"a": ["x", "y"], "b": ["z"], "c": ["y"]}
    meeting = Meeting(2)
    bed.during = lambda name: meeting(name) if name != "c" else None
    bed.work().foreground()
    assert sorted(bed.staged()) == ["a", "b", "c"]
    assert bed.done.index(("begin", "c")) > bed.done.index(("record", "a", "fetched a", 5))


def test_one_that_fails_beside_others_does_not_keep_them(bed: Bed) -> None:
    bed.helpers = threading.Semaphore(2)
    bed.during = Meeting(3)
    bed.errors = {"c": SourceFailed("third"), "b": SourceFailed("second")}
    # The first of the request, whichever of them failed first.
    assert bed.work().foreground() is bed.errors["b"]
    assert bed.staged() == ["a"]


@pytest.mark.parametrize("error", [Unavailable("x"), StoreAbsent("x")], ids=repr)
def test_what_is_worked_on_is_finished_when_the_work_ends_and_no_more_begins(
    bed: Bed, error: StagingApiError
) -> None:
    bed.helpers = threading.Semaphore(1)
    failed, meeting = threading.Event(), Meeting(2)
    bed.errors = {"a": error}

    def during(name: str) -> None:
        meeting(name)
        # "b" goes on once "a" has failed.
        assert name == "a" or failed.wait(timeout=10)

    bed.during = during
    bed.failed = failed.set
    with pytest.raises(type(error)):
        bed.work().foreground()
    assert bed.staged() == ["b"]
    assert ("begin", "c") not in bed.done


def test_a_staging_is_marked_cancelled_once_none_of_its_artifacts_is_worked_on(bed: Bed) -> None:
    bed.helpers = threading.Semaphore(2)
    meeting = Meeting(3)

    def during(name: str) -> None:
        meeting(name)
        bed.cancelled = True

    bed.during = during
    with pytest.raises(Cancelled):
        bed.work().foreground()
    ends = [each[0] for each in bed.done if each[0] in ("failed", "cancelled")]
    assert ends == ["failed", "failed", "failed", "cancelled"]
    assert bed.done[-1] == ("cancelled", URL.canonical, "s")


def test_of_several_errors_the_one_that_leaves_least_to_do_is_raised(bed: Bed) -> None:
    bed.helpers = threading.Semaphore(2)
    meeting = Meeting(3)
    errors = {"a": Unavailable("x"), "b": LockLost("x"), "c": Cancelled("x")}

    def during(name: str) -> None:
        meeting(name)
        raise errors[name]

    bed.during = during
    with pytest.raises(LockLost):
        bed.work().foreground()
    # Without the lock nothing may be written.
    assert not [each for each in bed.done if each[0] == "cancelled"]


def test_what_is_not_uploaded_waits_while_nothing_else_runs(bed: Bed) -> None:
    bed.helpers = threading.Semaphore(2)
    bed.lacking = {"a", "b"}
    running = list[str]()

    def during(name: str) -> None:
        running.append(name)
        assert running == [name]
        running.remove(name)

    bed.during = during
    bed.work(FOR_CLIENT).foreground()
    assert bed.staged() == ["c", "a", "b"]


def test_nothing_is_brought_into_another_store(bed: Bed) -> None:
    bed.identity = WrongStore("another")
    with pytest.raises(WrongStore):
        bed.work().foreground()
    assert bed.done[1:] == [("failed", "a")]


@pytest.mark.parametrize(
    ("mode", "patient", "stops", "attempts"),
    [(FOR_CLIENT, True, False, 1), (FOR_WORKER, False, True, 5)],
)
def test_a_worker_stops_between_artifacts_and_comes_back_and_a_client_waits(
    bed: Bed, mode: WorkMode, patient: bool, stops: bool, attempts: int
) -> None:
    bed.work(mode).foreground()
    assert [each[2] for each in bed.done if each[0] == "awaited"] == [patient] * 3
    assert bed.attempts == [attempts] * 3
    bed.ends = True
    bed.done.clear()
    if stops:
        with pytest.raises(ShuttingDown):
            bed.work(mode).foreground()
    else:
        bed.work(mode).foreground()
    assert bed.staged() == ([] if stops else ["a", "b", "c"])


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"staging_{name}", labels) or 0.0


def test_artifacts_are_counted_with_their_time_and_bytes(bed: Bed) -> None:
    bed.missing = {"b"}

    def all_of_them() -> list[float]:
        return [
            counted("artifacts_total", artifact="a", outcome="staged"),
            counted("artifacts_total", artifact="a", outcome="missing"),
            counted("artifacts_total", artifact="b", outcome="staged"),
            counted("artifacts_total", artifact="b", outcome="missing"),
            counted("artifact_seconds_count", artifact="a"),
            counted("artifact_seconds_count", artifact="b"),
            counted("source_bytes_total", scheme="https"),
        ]

    before = all_of_them()
    bed.work().foreground()
    assert [now - then for now, then in zip(all_of_them(), before, strict=True)] == [
        *(1, 0, 0, 1),
        *(1, 1, 15),
    ]


def found(size: int | None = 5, version: str | None = "v", **given: Any) -> SourceObject:
    return SourceObject("a", "https://x/a", size, version, **given)


def test_the_content_of_an_object_is_known_by_the_digest_that_its_source_declares(
    bed: Bed,
) -> None:
    content_of = bed.work()._content_of
    declared: dict[str, Any] = {"digests": {"sha256": "1" * 64}}
    bed.blobs = {"1" * 64: 7}
    assert content_of(found(**declared)) == KnownContent("1" * 64, "sha256", "sha256")
    assert content_of(found(None, **declared)) == KnownContent("1" * 64, "sha256", "sha256", 7)
    bed.blobs = {}
    assert content_of(found(None, **declared)) == KnownContent("1" * 64, "sha256", "sha256")


def test_the_content_of_an_object_is_known_if_this_version_was_read_before(bed: Bed) -> None:
    content_of = bed.work()._content_of
    assert content_of(found(strong=True)) is None
    bed.cached = CachedObject("https://x/a", "v", 5, "2" * 64, "md5")
    assert content_of(found(strong=True)) == KnownContent("2" * 64, "version", "md5", 5)
    # A weak version, or none, does not prove the content.
    assert content_of(found(strong=False)) is None
    assert content_of(found(version=None, strong=True)) is None
