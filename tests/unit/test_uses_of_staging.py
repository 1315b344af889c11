"""Calls of the staging service by the API and the worker, as far as they need no rows."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api import logs
from staging_api.catalogue.catalogue import Catalogue
from staging_api.errors import Invalid, LockHeld, SourceFailed, SourceNotAllowed, StagingApiError
from staging_api.locks import store as lock_store
from staging_api.sources.allowlist import AllowList
from staging_api.sources.interruptible import Interruptible
from staging_api.sources.url import parse
from staging_api.staging import planning, resuming, service
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.lists import StagingFilter
from staging_api.staging.model import StagedArtifact, StagingRequest
from staging_api.staging.resuming import resume
from staging_api.staging.service import StagingService
from staging_api.staging.work import FOR_CLIENT, FOR_WORKER
from staging_api.vocabulary.staging import ArtifactState
from tests.factories import ORIGIN
from tests.stagings import CATALOGUE
from tests.statements import patch_statement

URL = parse("https://archive.example/board/R17")
ALLOWED = "https://archive.example/, gs://bucket, file:///srv/"


def held(name: str) -> Any:
    return SimpleNamespace(lease=f"lease of {name}")


def artifact(name: str, state: ArtifactState = "pending") -> StagedArtifact:
    empty = dict.fromkeys(StagedArtifact.__dataclass_fields__)
    given = {"id": f"id {name}", "name": name, "state": state, "lock_kind": "archive"}
    return StagedArtifact(**{**empty, **given, "archive_url": URL.canonical})  # type: ignore[arg-type]


class Use:
    """Service whose rows, locks and work are recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[Any] = []
        self.failed: StagingApiError | None = None
        self.begins: StagingApiError | None = None
        self.came: frozenset[str] = frozenset()
        self.left: Any = None
        self.is_held = False
        nothing: Any = None
        database: Any = SimpleNamespace(connect=nullcontext, begin=nullcontext)
        locks: Any = SimpleNamespace(holder="this process", shutdown=None)
        self.service = StagingService(
            *(database, locks, Catalogues(Catalogue.read(CATALOGUE)), AllowList.parse(ALLOWED)),
            *(nothing, nothing),
        )
        self.service.__dict__["late"] = SimpleNamespace(came=self._came)
        self.staging: Any = SimpleNamespace(
            id="s",
            archive_url=URL.canonical,
            lock_kinds=["archive", "symbols"],
            final=False,
            cancel_requested_at=None,
            reference_id="r",
            requested=["payload", "notes"],
            upload_wait_seconds=None,
            artifacts=[],
        )
        for module in (service, resuming):
            monkeypatch.setattr(module, "guarded", self._guarded)
        monkeypatch.setattr(StagingService, "holding", self._holding)
        monkeypatch.setattr(StagingService, "find", lambda _, staging_id: self._find(staging_id))
        monkeypatch.setattr(planning, "nothing_left", lambda *_: self.left)
        for name in ("act_as", "request_cancel", "mark_cancelled", "begin_staging", "settle"):
            patch_statement(monkeypatch, name, self._noting(name))
        patch_statement(monkeypatch, "mark_failed", self._noting("mark_failed"))
        self._monkeypatch = monkeypatch

    def with_work(self) -> None:
        """Replace the work by a recorder of how it was begun."""
        self._monkeypatch.setattr(StagingService, "working", self._working)
        self._monkeypatch.setattr(StagingService, "_plan", lambda *_: "planned")

    def request(self, *names: str, has_credential: bool = False) -> StagingRequest:
        made = self.service.check_request(URL.canonical, names)
        return replace(made, url=replace(URL, has_credential=has_credential))

    def _came(self, request: StagingRequest) -> frozenset[str]:
        self.done.append(("came", *request.names))
        return self.came

    def _find(self, staging_id: str) -> Any:
        self.done.append(("find", staging_id))
        return self.staging

    @contextmanager
    def _guarded(self, _database: object, hold: Any) -> Iterator[None]:
        self.done.append(f"guarded by {hold.lease}")
        yield

    @contextmanager
    def _holding(self, *_: object) -> Iterator[dict[str, Any]]:
        if self.is_held:
            raise LockHeld("held")
        yield {"archive": held("archive"), "symbols": held("symbols")}

    def _noting(self, name: str) -> Callable[..., None]:
        return lambda _conn, *given: self.done.append((name, *given))

    @contextmanager
    def _working(self, staging_id: str, request: Any, _h: object, mode: Any, *_: object) -> Any:
        if self.begins:
            raise self.begins
        self.done.append(("works", staging_id, *request.names, mode))
        yield SimpleNamespace(
            foreground=lambda: self.done.append("foreground") or self.failed,
            background=lambda *given: self.done.append(("background", *given)),
        )


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    return Use(monkeypatch)


def test_thirty_two_requests_of_a_process_stage_at_once(use: Use) -> None:
    assert use.service.slots._free == 32


def test_an_archive_is_a_folder_that_is_allowed(use: Use) -> None:
    assert use.service.check_url(URL.canonical) == URL
    with pytest.raises(SourceNotAllowed):
        use.service.check_url("https://other.example/R17")
    with pytest.raises(Invalid):
        use.service.check_url("gs://bucket")
    assert use.service.check_url("gs://bucket", root=True).canonical == "gs://bucket/"


def test_of_the_root_of_a_bucket_only_single_objects_are_staged(use: Use) -> None:
    names = use.service.check_request("gs://bucket", ["file:a", "file:b/c"]).names
    assert names == ["file:a", "file:b/c"]
    for artifacts in ([], ["payload"], ["file:a", "payload"]):
        with pytest.raises(Invalid):
            use.service.check_request("gs://bucket", artifacts)
    assert use.service.check_request(URL.canonical, ["file:a", "payload"]).names


@pytest.mark.parametrize("name", ["file:../a", "file:/a", "file:"])
def test_an_object_has_a_safe_name(use: Use, name: str) -> None:
    with pytest.raises(Invalid):
        use.service.check_request(URL.canonical, [name])


def test_what_is_staged_is_not_looked_for_again(use: Use) -> None:
    request = use.request("payload", "notes")
    assert use.service.nothing_left(request) is None
    rows = [artifact("payload", "staged"), artifact("notes", "staged"), artifact("x", "missing")]
    left: Any = SimpleNamespace(artifacts=rows)
    use.left = left
    assert use.service.nothing_left(request) is left
    assert use.done == []
    rows[1] = artifact("notes", "missing")
    assert use.service.nothing_left(request) is left
    assert use.done == [("came", "payload", "notes")]
    use.came = frozenset({"notes"})
    assert use.service.nothing_left(request) is None


def test_what_needs_a_credential_is_not_left_to_a_worker(use: Use) -> None:
    use.with_work()
    with pytest.raises(Invalid):
        use.service.queue(use.request("payload", has_credential=True), ORIGIN)
    assert use.done == []
    assert use.service.queue(use.request("payload"), ORIGIN) is use.staging
    assert use.done == [("find", "planned")]


def test_a_request_behind_a_lock_is_planned_with_what_came(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use.came = frozenset({"notes"})
    planned: list[Any] = []
    monkeypatch.setattr(planning, "queue_behind", lambda *given: planned.append(given))
    request = use.request("notes")
    use.service.queue_behind(request, ORIGIN)
    assert planned == [(use.service.database, "this process", request, ORIGIN, use.came)]


def test_a_client_waits_for_the_foreground_and_a_worker_does_the_rest(use: Use) -> None:
    use.with_work()
    assert use.service.stage(use.request("payload"), ORIGIN) is use.staging
    assert use.done == [
        ("works", "planned", "payload", FOR_CLIENT),
        "foreground",
        ("find", "planned"),
    ]


def test_for_a_client_that_is_refused_or_has_the_credential_the_rest_is_done_at_once(
    use: Use,
) -> None:
    use.with_work()
    use.service.stage(use.request("payload", has_credential=True), ORIGIN)
    assert use.done[1:] == ["foreground", ("background",), ("find", "planned")]
    use.done.clear()
    use.failed = SourceFailed("away")
    with pytest.raises(SourceFailed):
        use.service.stage(use.request("payload"), ORIGIN)
    assert use.done[1:] == ["foreground", ("background",)]


def test_a_cancellation_is_asked_for_before_the_locks_are_tried(use: Use) -> None:
    asked = [("find", "s"), ("act_as", "tester", "this process"), ("request_cancel", "s")]
    use.is_held = True
    assert use.service.cancel("s", ORIGIN) is use.staging
    assert use.done == [*asked, ("find", "s")]
    use.done.clear()
    use.is_held = False
    use.service.cancel("s", ORIGIN)
    marked = ["guarded by lease of archive", ("mark_cancelled", URL.canonical, "s")]
    assert use.done == [*asked, *marked, ("find", "s")]


def test_a_list_is_asked_for_by_canonical_urls(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[StagingFilter] = []
    patch_statement(
        monkeypatch, "list_stagings", lambda _c, **given: asked.append(given["only"]) or []
    )
    use.service.page(limit=1, only=StagingFilter(prefix="HTTPS://Archive.Example/board"))
    use.service.page(limit=1, only=StagingFilter(unfinished=True))
    assert [each.prefix for each in asked] == ["https://archive.example/board", None]
    assert [each.unfinished for each in asked] == [False, True]


def context() -> Any:
    """Return the ids that log lines of this thread have."""
    log = logging.Logger("alone", logging.INFO)  # noqa: LOG001 - of this test alone
    log.addHandler(logging.StreamHandler(lines := io.StringIO()))
    log.handlers[0].setFormatter(logs.JsonLines())
    log.info("line")
    line = json.loads(lines.getvalue())
    return line["staging_id"], line["reference_id"]


def test_a_plan_is_written_under_all_locks_of_the_request(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use.came = frozenset({"payload"})
    planned: list[Any] = []
    logs.clear_log_context()
    monkeypatch.setattr(lock_store, "guard", lambda _c, lease: use.done.append(("guard", lease)))
    monkeypatch.setattr(planning, "reserve_folder", lambda *_: "board/R17")
    monkeypatch.setattr(planning, "plan", lambda *_, **given: planned.append(given) or "planned")
    request = use.request("payload", "symbols")
    holds: Any = {name: held(name) for name in ("archive", "symbols", "images")}
    assert use.service._plan(request, holds, ORIGIN) == "planned"
    assert use.done == [
        *(("came", "payload", "symbols"), "guarded by lease of archive"),
        *(("guard", "lease of symbols"), ("guard", "lease of images")),
        ("settle", URL.canonical, "lease of archive"),
    ]
    assert planned == [{"over": ("pending", "staging", "failed"), "came": use.came}]
    assert context() == ("planned", None)
    logs.clear_log_context()


def test_work_begins_by_its_row_and_closes_its_source(use: Use) -> None:
    closed: list[str] = []
    opened: Any = SimpleNamespace(url="x", close=lambda: closed.append("source"))
    made = replace(use.service, open_archive=lambda _url: opened)
    request = use.request("payload")
    with made.working("s", request, {"archive": held("archive")}, FOR_WORKER) as work:
        assert use.done == ["guarded by lease of archive", ("begin_staging", "s")]
        assert (work.staging_id, work.request, work.mode) == ("s", request, FOR_WORKER)
        assert closed == []
    assert closed == ["source"]


def test_only_a_source_that_may_be_silent_is_called_in_a_thread(use: Use) -> None:
    source: Any = SimpleNamespace(url="x")
    made = replace(use.service, open_archive=lambda _url: source)
    signals: Any = SimpleNamespace(check=None)
    assert made._opened(parse("file:///srv/R17"), signals) is source
    assert isinstance(made._opened(URL, signals), Interruptible)


def resumed(use: Use, **given: Any) -> list[Any]:
    """Return a worker's actions on the staging, except looking at it."""
    use.with_work()
    resume(use.service, use.staging, ORIGIN, **given)
    assert use.done[0] == ("find", "s")
    return use.done[1:]


def test_a_worker_brings_what_was_requested_and_says_for_which_staging(use: Use) -> None:
    def never() -> bool:
        return False

    logs.clear_log_context()
    assert resumed(use, postpone=never) == [
        *(("works", "s", "payload", "notes", FOR_WORKER), "foreground", ("background", never))
    ]
    assert context() == ("s", "r")
    logs.clear_log_context()


def test_nothing_is_postponed_unless_it_is_asked_for(use: Use) -> None:
    (*_, (_, postpone)) = resumed(use)
    assert postpone() is False


def test_what_ended_meanwhile_is_left_and_what_is_to_be_cancelled_is(use: Use) -> None:
    use.staging.final = True
    assert resumed(use) == []
    use.done.clear()
    use.staging.final, use.staging.cancel_requested_at = False, "now"
    marked = ["guarded by lease of archive", ("mark_cancelled", URL.canonical, "s")]
    assert resumed(use) == marked


def test_single_objects_of_the_root_of_a_bucket_are_resumed(use: Use) -> None:
    use.staging.archive_url, use.staging.requested = "gs://bucket", ["file:a", "file:b"]
    assert resumed(use)[0] == ("works", "s", "file:a", "file:b", FOR_WORKER)


def test_what_left_the_catalogue_fails_and_the_rest_is_brought(use: Use) -> None:
    use.staging.requested = ["gone", "payload", "gone too"]
    use.staging.artifacts = [
        *(artifact("gone"), artifact("payload"), artifact("gone too", "staged")),
        artifact("gone", "failed"),
    ]
    done = resumed(use)
    assert done[:2] == ["guarded by lease of archive", done[1]]
    assert done[1][:3] == ("mark_failed", "id gone", "lease of archive")
    assert (done[1][3].code, done[1][4]) == (Invalid.code, None)
    assert done[2] == ("settle", URL.canonical, "lease of archive")
    assert done[3] == ("works", "s", "payload", FOR_WORKER)
    use.done.clear()
    use.staging.requested = ["gone"]
    assert not [each for each in resumed(use) if each[0] == "works"]


@pytest.mark.parametrize("how", ["not allowed", "cannot begin"])
def test_a_staging_whose_work_cannot_begin_fails_as_a_whole(use: Use, how: str) -> None:
    use.staging.artifacts = [artifact("payload"), artifact("notes", "staging"), artifact("x")]
    if how == "not allowed":
        use.staging.archive_url = "https://other.example/R17"
    else:
        use.begins = SourceFailed("no such bucket")
    done = resumed(use)
    failed = [each[1] for each in done if each[0] == "mark_failed"]
    settled = [each for each in done if each[0] == "settle"]
    assert (failed, len(settled)) == (["id payload", "id notes"], 2)
