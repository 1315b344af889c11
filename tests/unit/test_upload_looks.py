"""Waiting for an upload: which requests wait, for what, and when they look at the archive."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.clients import ALWAYS_CONNECTED, Client
from staging_api.errors import Unavailable, UploadWaitOver
from staging_api.sources.model import Names
from staging_api.sources.url import parse
from staging_api.staging import uploads
from staging_api.staging.model import StagingRequest
from staging_api.staging.uploads import UploadProgress, UploadTerms
from tests.statements import patch_statement

URL = parse("https://x/R17")


def kind(name: str = "a", *, optional: bool = False) -> ArtifactKind:
    choices = (Choice(Pattern(name)),)
    return ArtifactKind(name, "build", "foreground", choices, optional=optional)


class Upload:
    """Archive during its upload, with its polls; records the actions on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there: set[str] = set()
        self.coming: list[set[str]] = []
        self.has_manifest = False
        self.is_absent = False
        self.listed: list[str] | None = None
        self.left = 100.0
        self.mine = True
        self.polled: list[str] | None = None
        self.next_in = 7.0
        self.has_slot = True
        self.now = 1000.0
        self.done: list[Any] = []
        self.waits: list[bool] = []
        monkeypatch.setattr(uploads, "ArchiveNames", self._archive)
        monkeypatch.setattr(uploads, "guarded", lambda *_: nullcontext())
        monkeypatch.setattr(uploads, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
        for name, does in {
            "begin_upload_wait": self._begin,
            "end_upload_wait": lambda _c, staging_id: self.done.append(f"end {staging_id}"),
            "put_off": lambda _c, _url, name, pause: self.done.append(("put off", name, pause)),
            "claim_poll": self._claim,
            "note_poll": lambda _c, _url, found: self.done.append(("noted", found)),
            "newest_poll": lambda *_: SimpleNamespace(
                names=self.polled, next_in_seconds=self.next_in
            ),
        }.items():
            patch_statement(monkeypatch, name, does)
        monkeypatch.setattr(UploadProgress, "_pass", self._pass)

    def progress(self, wait: float | None = None, most: float = 600.0) -> UploadProgress:
        database: Any = SimpleNamespace(connect=nullcontext)
        nothing: Any = None
        watch: Any = SimpleNamespace(waiter_slot=lambda: nullcontext(self.has_slot))
        return UploadProgress(
            *(database, nothing, StagingRequest(URL, (), wait), "s", UploadTerms(most)),
            shutdown=nothing,
            watch=watch,
            aside=self._aside,
        )

    def comes(self, *, patient: bool = True, wait: float | None = None) -> bool:
        nothing: Any = None
        return self.progress(wait).awaited(kind(), nothing, patient=patient)

    @contextmanager
    def _aside(self) -> Iterator[Client]:
        self.done.append("aside")
        yield ALWAYS_CONNECTED
        self.done.append("back")

    def _archive(self, *_: object, waits: bool) -> Any:
        self.waits.append(waits)
        return SimpleNamespace(
            find=lambda each: [each.name] if each.name in self.there else [],
            archive_is_absent=self.is_absent,
            has_manifest=lambda: self.has_manifest,
            look_again=self._look_again,
            forget_absent=lambda: self.done.append("forget absent"),
            take=lambda names: self.done.append(("take", names)),
            listed=self.listed,
        )

    def _look_again(self) -> Names:
        self.done.append("look")
        if self.coming:
            self.there = self.coming.pop(0)
        return Names(sorted(self.there))

    def _begin(self, _conn: object, staging_id: str, name: str, seconds: float) -> float:
        self.done.append(("begin", staging_id, name, seconds))
        return self.left

    def _claim(self, _conn: object, _url: str, pause: float) -> bool:
        self.done.append(("claim", pause))
        return self.mine

    def _pass(self, until: float, *_: object) -> None:
        self.done.append(("pass", until - self.now))
        self.now = until


@pytest.fixture
def upload(monkeypatch: pytest.MonkeyPatch) -> Upload:
    return Upload(monkeypatch)


BEGUN = ("begin", "s", "a", 600.0)
#: Actions of a request's own look, if nothing is there.
LOOKED: list[Any] = [("claim", 10.0), "forget absent", "look", ("noted", []), "forget absent"]


def test_sixteen_requests_may_wait_at_once_in_each_process() -> None:
    slots, others = UploadTerms().waiter_slots, UploadTerms().waiter_slots
    assert [slots.acquire(blocking=False) for _ in range(17)] == [True] * 16 + [False]
    assert others.acquire(blocking=False)


def test_names_are_found_for_a_wait_if_there_may_be_one(upload: Upload) -> None:
    for most in (0.0, 0.5, 600.0):
        upload.progress(most=most)
    assert upload.waits == [False, True, True]


def test_what_is_optional_or_there_is_not_lacking(upload: Upload) -> None:
    upload.there = {"b"}
    progress = upload.progress()
    kinds = (kind("a"), kind("b"), kind("a", optional=True), kind("b", optional=True))
    assert [progress.lacks(each) for each in kinds] == [True, False, False, False]


def test_an_object_that_exists_is_not_waited_for(upload: Upload) -> None:
    upload.there = {"a"}
    assert upload.comes()
    assert upload.comes(patient=False)
    assert upload.done == []


@pytest.mark.parametrize("patient", [True, False])
def test_what_cannot_come_is_not_waited_for(upload: Upload, patient: bool) -> None:
    assert upload.comes(patient=patient, wait=0.0)
    upload.is_absent = True
    assert upload.comes(patient=patient)
    assert upload.done == []
    upload.is_absent, upload.has_manifest = False, True
    # The object may have been written since the names were listed.
    assert upload.comes(patient=patient)
    assert upload.done == ["look"]


@pytest.mark.parametrize(("wait", "allowed"), [(None, 600.0), (0.5, 0.5), (601.0, 600.0)])
def test_a_request_waits_no_longer_than_it_says_and_may(
    upload: Upload, wait: float | None, allowed: float
) -> None:
    upload.coming = [{"a"}]
    assert upload.comes(wait=wait)
    assert upload.done[0] == ("begin", "s", "a", allowed)


def test_a_request_waits_without_its_slot_of_work_until_it_comes(upload: Upload) -> None:
    upload.coming = [set(), {"a"}]
    assert upload.comes()
    assert upload.done == [
        *(BEGUN, "aside", *LOOKED, ("pass", 7.0)),
        *(("claim", 10.0), "forget absent", "look", ("noted", ["a"]), "forget absent"),
        *("back", "end s"),
    ]


def test_a_wait_ends_when_the_manifest_says_that_it_does_not_come(upload: Upload) -> None:
    progress = upload.progress()

    def finds_manifest() -> bool:
        return ("noted", []) in upload.done

    progress._archive.has_manifest = finds_manifest  # type: ignore[method-assign]
    nothing: Any = None
    came = progress.awaited(kind(), nothing, patient=True)
    assert came
    assert upload.done == [BEGUN, "aside", *LOOKED, "look", "back", "end s"]


def test_what_does_not_come_in_time_is_an_error_after_a_last_look(upload: Upload) -> None:
    upload.left = 10.0
    with pytest.raises(UploadWaitOver, match="a did not come within 600 s"):
        upload.comes()
    looks = [*LOOKED, ("pass", 7.0), *LOOKED, ("pass", 3.0), *LOOKED]
    assert upload.done == [BEGUN, "aside", *looks, "end s"]


def test_a_request_without_a_waiter_slot_is_refused_until_the_next_look(upload: Upload) -> None:
    upload.has_slot = False
    with pytest.raises(Unavailable) as refused:
        upload.comes()
    assert (refused.value.retry_after_seconds, upload.done) == (10.0, [BEGUN])


@pytest.mark.parametrize(("left", "pause"), [(100.0, 10.0), (0.5, 0.5)])
def test_a_worker_puts_it_off_to_the_next_look(upload: Upload, left: float, pause: float) -> None:
    upload.left = left
    assert not upload.comes(patient=False)
    assert upload.done == [BEGUN, *LOOKED, ("put off", "a", pause)]


def test_a_worker_goes_on_with_what_came_since(upload: Upload) -> None:
    upload.coming, upload.left = [{"a"}], 0.0
    assert upload.comes(patient=False)
    assert upload.done[-1] == "end s"


@pytest.mark.parametrize("left", [0.0, -1.0])
def test_a_worker_gives_up_when_the_time_is_over(upload: Upload, left: float) -> None:
    upload.left = left
    with pytest.raises(UploadWaitOver):
        upload.comes(patient=False)
    assert upload.done == [BEGUN, *LOOKED, "end s"]


def test_who_does_not_poll_reads_what_another_polled(upload: Upload) -> None:
    upload.mine, upload.polled, upload.next_in = False, ["a"], -2.0
    assert upload.progress()._shared_look() == 0.0
    assert upload.done == [("claim", 10.0), ("take", ["a"])]


def test_if_another_found_no_list_each_looks_for_its_own_names(upload: Upload) -> None:
    upload.mine, upload.polled = False, []
    assert upload.progress()._shared_look() == 7.0
    assert upload.done == [("claim", 10.0), ("take", []), "forget absent"]
    upload.done.clear()
    upload.polled = None
    upload.progress()._shared_look()
    assert upload.done == [("claim", 10.0), "forget absent"]
