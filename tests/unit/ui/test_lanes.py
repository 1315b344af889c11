"""The time axis of a staging, drawn from its events."""

from datetime import UTC, datetime, timedelta

from staging_api.staging.model import StagedArtifact, Staging, StagingEvent
from staging_api.ui.lanes import axis_of

BEGAN = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def artifact(state: str) -> StagedArtifact:
    empty = dict.fromkeys(StagedArtifact.__dataclass_fields__)
    return StagedArtifact(**{**empty, "id": "A", "name": "payload", "state": state})  # type: ignore[arg-type]


def staging(state: str, ended: float | None) -> Staging:
    empty = dict.fromkeys(Staging.__dataclass_fields__)
    given = {"created_at": BEGAN, "finished_at": None if ended is None else at(ended)}
    return Staging(**{**empty, **given, "artifacts": [artifact(state)]})  # type: ignore[arg-type]


def event(seconds: float, to_state: str, holder: str = "pod-a") -> StagingEvent:
    empty = dict.fromkeys(StagingEvent.__dataclass_fields__)
    given = {"at": at(seconds), "kind": "artifact", "artifact_id": "A", "holder": holder}
    return StagingEvent(**{**empty, **given, "to_state": to_state})  # type: ignore[arg-type]


def drawn(events: list[StagingEvent], state: str = "staged", ended: float | None = 10):
    (lane,) = axis_of(staging(state, ended), events, at(20)).lanes
    return lane, [(block.kind, block.x, block.width) for block in lane.blocks]


def test_waiting_and_work_take_their_share_of_the_time():
    _, blocks = drawn([event(0, "pending"), event(2, "staging"), event(10, "staged")])
    assert blocks == [("wait", 0, 200), ("done", 200, 800)]


def test_an_attempt_that_another_process_took_over_ends_in_a_cross():
    events = [event(0, "staging"), event(5, "staging", "pod-b"), event(10, "staged", "pod-b")]
    lane, blocks = drawn(events)
    assert [kind for kind, _, _ in blocks] == ["wait", "work", "done"]
    assert lane.crosses == [500]
    assert lane.notes == ["pod-b took over from pod-a after 5 s"]


def test_what_runs_reaches_to_now():
    _, blocks = drawn([event(0, "pending"), event(10, "staging")], "staging", None)
    assert blocks == [("wait", 0, 500), ("work", 500, 500)]


def test_an_attempt_that_failed_and_waits_for_the_next_one_says_both():
    events = [event(0, "staging"), event(4, "failed"), event(4, "pending")]
    _, blocks = drawn(events, "failed", 10)
    assert ("failed", 0, 400) in blocks


def test_a_moment_is_wide_enough_to_be_seen():
    _, blocks = drawn([event(5, "staging"), event(5, "staged")])
    assert blocks[-1][2] >= 3
