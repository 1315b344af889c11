"""Plans of requests: the rows that a request finds, and exactly the rows written for it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.sources.url import parse
from staging_api.staging import planning
from staging_api.staging.model import StagedArtifact, Staging, StagingRequest
from staging_api.vocabulary.staging import ArtifactState, Phase, StagingState
from tests.factories import ORIGIN
from tests.statements import patch_statement

URL = parse("https://archive.example/board/R17")
CONN: Any = object()


def artifact(
    name: str, state: ArtifactState = "staged", phase: Phase = "background"
) -> StagedArtifact:
    empty = dict.fromkeys(StagedArtifact.__dataclass_fields__)
    return StagedArtifact(**{**empty, "name": name, "state": state, "phase": phase})  # type: ignore[arg-type]


def staging(
    staging_id: str, *artifacts: StagedArtifact, state: StagingState = "running", **given: Any
) -> Staging:
    empty = dict.fromkeys(Staging.__dataclass_fields__)
    usual = {
        "id": staging_id,
        "archive_url": URL.canonical,
        "requested": [each.name for each in artifacts],
        "joined": [],
        "state": state,
        "artifacts": artifacts,
    }
    return Staging(**{**empty, **usual, **given})


def request(*names: str, wait: float | None = None, group: str = "build") -> StagingRequest:
    kinds = tuple(
        ArtifactKind(
            name, group, "background", (Choice(Pattern(f"{name}.bin")),), lands=f"{name}.bin"
        )
        for name in names
    )
    return StagingRequest(URL, kinds, wait)


class Rows:
    """Rows as a plan finds them; records the operations on them, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.newest: Staging | None = None
        self.bringer: Staging | None = None
        self.coming: list[Staging | None] = [None]
        self.artifacts: list[StagedArtifact] = []
        self.is_noted = True
        self.done: list[str] = []
        self.planned: list[dict[str, Any]] = []
        self.asked: list[list[str]] = []
        answers: dict[str, Callable[..., Any]] = {
            "newest_for": lambda *_: self.newest,
            "artifacts_of": lambda _c, _url, names: [
                each for each in self.artifacts if each.name in names
            ],
            "bringer": self._bringer,
            "unfinished_for": lambda *_: self.coming.pop(0),
        }
        for name, answer in answers.items():
            patch_statement(monkeypatch, name, answer)
        for name in ("act_as", "lock_archive", "settle", "lock_stagings"):
            patch_statement(monkeypatch, name, self._noting(name))
        patch_statement(monkeypatch, "static_prefix", self._noting("static_prefix", "board/R17"))
        patch_statement(monkeypatch, "add_staging", self._noting("add_staging", "new"))
        patch_statement(monkeypatch, "note_joined", self._join)
        patch_statement(monkeypatch, "plan_artifact", self._plan)

    def queue(self, asked: StagingRequest, *came: str) -> list[str]:
        """Queue a request; return the operations on rows."""
        database: Any = SimpleNamespace(
            connect=nullcontext, begin=lambda: nullcontext(self.done.append("begin"))
        )
        planning.queue_behind(database, "holder", asked, ORIGIN, came)
        return self.done

    def _bringer(self, _conn: object, _url: str, names: list[str]) -> Staging | None:
        self.asked.append(names)
        return self.bringer

    def _noting(self, name: str, answer: Any = None) -> Callable[..., Any]:
        def noted(*_: object, **_given: object) -> Any:
            self.done.append(name)
            return answer

        return noted

    def _join(self, _conn: object, staging_id: str, names: list[str], caller: str) -> bool:
        self.done.append(f"join {staging_id} {','.join(names)} {caller}")
        return self.is_noted

    def _plan(self, _conn: object, _staging_id: str, _url: str, **given: Any) -> None:
        self.done.append(f"plan {given['name']}")
        self.planned.append(given)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    return Rows(monkeypatch)


def left(rows: Rows, *names: str) -> str | None:
    """Return the id of the staging that a request without new work is pointed to, if any."""
    del rows
    found = planning.nothing_left(CONN, request(*names))
    return None if found is None else found.id


def test_what_was_never_requested_is_work(rows: Rows) -> None:
    assert left(rows, "a") is None


def test_what_is_staged_or_missing_is_no_work(rows: Rows) -> None:
    rows.newest = staging("one", artifact("a"), artifact("b", "missing"), artifact("c", "failed"))
    assert left(rows, "a", "b") == "one"
    assert left(rows, "a", "b", "c") is None
    assert rows.asked == []


def test_what_has_no_row_or_was_evicted_is_work(rows: Rows) -> None:
    rows.newest = staging("one", artifact("a"), state="staged")
    rows.artifacts = [artifact("a")]
    assert left(rows, "a") == "one"
    assert left(rows, "a", "b") is None
    rows.newest = staging("one", artifact("a"), artifact("b", "evicted"), state="staged")
    rows.artifacts = [artifact("a"), artifact("b", "evicted")]
    assert left(rows, "a") == "one"
    assert left(rows, "a", "b") is None


def test_the_rows_of_others_count_if_the_newest_staging_does_not_have_them(rows: Rows) -> None:
    rows.newest = staging("one", artifact("a"), state="staged")
    rows.artifacts = [artifact("a"), artifact("b")]
    assert left(rows, "a", "b") == "one"
    # The staging shows its final states; another staging may have staged the artifact since.
    rows.newest = staging("one", artifact("a", "failed"), artifact("b"), state="failed")
    assert left(rows, "a", "b") == "one"
    # If a staging names all artifacts, and has all staged, no other row is read.
    rows.newest, rows.artifacts = staging("one", artifact("a"), artifact("b")), []
    assert left(rows, "b") == "one"
    # Other rows are read if the staging does not name all requested artifacts.
    assert left(rows, "b", "c") is None


def test_background_artifacts_come_without_the_caller(rows: Rows) -> None:
    on_its_way = artifact("b", "pending")
    rows.newest = rows.bringer = staging("one", artifact("a"), on_its_way)
    rows.artifacts = [artifact("a"), on_its_way]
    assert left(rows, "a", "b") == "one"
    assert rows.asked == [["b"]]


def test_a_finished_staging_is_pointed_past_to_the_one_that_brings_the_rest(rows: Rows) -> None:
    rows.newest = staging("old", artifact("a"), artifact("b", "evicted"), state="staged")
    rows.bringer = staging("new", artifact("b", "pending"))
    rows.artifacts = [artifact("a"), artifact("b", "staging")]
    assert left(rows, "a", "b") == "new"
    rows.newest = replace(rows.newest, state="running")
    assert left(rows, "a", "b") == "old"


@pytest.mark.parametrize(
    "row", [artifact("b", "pending", "foreground"), artifact("b", "failed"), artifact("b")]
)
def test_a_foreground_or_failed_artifact_is_work(rows: Rows, row: StagedArtifact) -> None:
    rows.newest = rows.bringer = staging("one", artifact("a", "pending"), row)
    rows.artifacts = [artifact("a", "pending"), row]
    assert left(rows, "a", "b") == ("one" if row.settled else None)


def test_a_pending_artifact_without_an_active_staging_is_work(rows: Rows) -> None:
    row = artifact("a", "pending")
    rows.newest, rows.artifacts = staging("one", row), [row]
    assert left(rows, "a") is None
    rows.bringer = replace(rows.newest, cancel_requested_at=datetime.now(UTC))
    assert left(rows, "a") is None
    rows.bringer = rows.newest
    assert left(rows, "a") == "one"


def test_only_what_is_missing_is_looked_for_again(rows: Rows) -> None:
    rows.artifacts = [artifact("a"), artifact("b", "missing"), artifact("c", "failed")]
    assert [row.name for row in planning.missing(CONN, request("a", "b", "c"))] == ["b"]


def test_a_request_behind_the_lock_is_planned_under_the_lock_of_its_archive(rows: Rows) -> None:
    rows.coming = [None, None]
    assert rows.queue(request("a", "b"), "b") == [
        *("begin", "act_as", "static_prefix", "lock_archive"),
        *("add_staging", "lock_stagings", "plan a", "plan b", "settle"),
    ]
    assert [each["over"] for each in rows.planned] == [("failed",), ("failed", "missing")]
    assert [each["path"] for each in rows.planned] == ["board/R17/a.bin", "board/R17/b.bin"]
    assert {each["phase"] for each in rows.planned} == {"background"}


@pytest.mark.parametrize("group", ["build", "symbols", "images"])
def test_an_artifact_is_planned_under_the_lock_of_its_group(rows: Rows, group: str) -> None:
    rows.coming = [None, None]
    rows.queue(request("a", group=group))
    (planned,) = rows.planned
    assert planned["lock_kind"] == {"build": "archive"}.get(group, group)


def test_a_request_that_joined_before_writes_nothing(rows: Rows) -> None:
    rows.coming = [staging("one", artifact("a", "pending"), artifact("b"), joined=["a", "b"])]
    assert rows.queue(request("a", "b")) == []


def test_a_request_joins_the_staging_that_brings_all_of_it(rows: Rows) -> None:
    one = staging("one", artifact("a", "pending"), artifact("b"), joined=["a"])
    rows.coming = [one, one]
    assert rows.queue(request("b", "a")) == [
        *("begin", "act_as", "static_prefix", "lock_archive", "join one b,a tester")
    ]


def test_a_staging_that_ended_meanwhile_is_not_joined(rows: Rows) -> None:
    one = staging("one", artifact("a", "pending"))
    rows.coming, rows.is_noted = [one, one], False
    assert rows.queue(request("a"))[-4:] == ["add_staging", "lock_stagings", "plan a", "settle"]
    # Or it ended before it could be read.
    rows.done.clear()
    rows.coming = [one, None]
    assert rows.queue(request("a"))[-4:] == ["add_staging", "lock_stagings", "plan a", "settle"]


def is_joined(rows: Rows, found: Staging, asked: StagingRequest, *came: str) -> bool:
    rows.coming = [found, found]
    rows.done.clear()
    done = rows.queue(asked, *came)
    assert ("add_staging" in done) != any(each.startswith("join") for each in done)
    return "add_staging" not in done


def test_only_a_staging_that_names_all_is_joined(rows: Rows) -> None:
    found = staging("one", artifact("a", "pending"), artifact("b", "staging"), artifact("c"))
    assert is_joined(rows, found, request("a", "b", "c"))
    assert is_joined(rows, found, request("b"))
    assert not is_joined(rows, found, request("b", "d"))
    # Rows of other stagings that it shows do not count as its own requested artifacts.
    assert not is_joined(rows, replace(found, requested=["a", "b"]), request("b", "c"))


@pytest.mark.parametrize(
    ("state", "joined"),
    [("failed", False), ("evicted", False), ("missing", True), ("staged", True)],
)
def test_a_staging_that_will_not_bring_all_is_not_joined(
    rows: Rows, state: ArtifactState, joined: bool
) -> None:
    found = staging("one", artifact("a", "pending"), artifact("b", state))
    assert is_joined(rows, found, request("a", "b")) is joined
    assert is_joined(rows, found, request("a"))


def test_what_was_missing_and_came_is_not_waited_for_there(rows: Rows) -> None:
    found = staging("one", artifact("a"), artifact("b", "missing"), artifact("c", "missing"))
    assert not is_joined(rows, found, request("a", "b"), "b")
    assert is_joined(rows, found, request("a", "b"), "c")
    assert is_joined(rows, found, request("a", "b"), "a")
    assert is_joined(
        rows, staging("one", artifact("b", "pending"), artifact("c")), request("b"), "b"
    )


@pytest.mark.parametrize(
    ("theirs", "ours", "joined"),
    [
        *((None, None, True), (None, 0.0, True), (None, 0.5, False), (0.0, 1.0, False)),
        *((5.0, None, True), (5.0, 5.0, True), (5.0, 6.0, False), (0.5, None, True)),
    ],
)
def test_a_staging_that_waits_for_an_upload_for_a_shorter_time_is_not_joined(
    rows: Rows, theirs: float | None, ours: float | None, joined: bool
) -> None:
    found = staging("one", artifact("a", "pending"), upload_wait_seconds=theirs)
    assert is_joined(rows, found, request("a", wait=ours)) is joined


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("https://archive.example/a/b/c/R17", "a/b/c/R17"),
        ("file:///srv/builds/board/R17", "board/R17"),
        ("gs://bucket/R17", "R17"),
    ],
)
def test_a_local_folder_shows_the_last_two_segments_of_its_path(
    monkeypatch: pytest.MonkeyPatch, url: str, prefix: str
) -> None:
    offered: list[tuple[str, ...]] = []
    patch_statement(monkeypatch, "static_prefix", lambda *given: offered.append(given[2:]))
    planning.reserve_folder(CONN, StagingRequest(parse(url), ()))
    ((preferred, otherwise),) = offered
    assert preferred == prefix
    assert otherwise.startswith(f"{prefix}~")


def test_at_the_root_of_a_bucket_its_name_is_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[tuple[str, ...]] = []
    patch_statement(monkeypatch, "static_prefix", lambda *given: offered.append(given[2:]))
    for bucket in ("one", "other"):
        planning.reserve_folder(CONN, StagingRequest(parse(f"gs://{bucket}", root=True), ()))
    assert [preferred for preferred, _ in offered] == ["one", "other"]
