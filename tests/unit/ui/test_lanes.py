"""Time axis of a staging, drawn from its events."""

from dataclasses import replace
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


def test_a_running_artifact_is_drawn_until_now():
    _, blocks = drawn([event(0, "pending"), event(10, "staging")], "staging", None)
    assert blocks == [("wait", 0, 500), ("work", 500, 500)]


def test_an_attempt_that_failed_and_waits_for_the_next_one_says_both():
    events = [event(0, "staging"), event(4, "failed"), event(4, "pending")]
    _, blocks = drawn(events, "failed", 10)
    assert ("failed", 0, 400) in blocks


def test_a_moment_is_wide_enough_to_be_seen():
    _, blocks = drawn([event(5, "staging"), event(5, "staged")])
    assert blocks[-1][2] >= 3


def test_events_of_other_artifacts_and_of_the_staging_are_not_of_this_lane():
    other = replace(event(1, "staging"), artifact_id="B")
    of_staging = replace(event(2, "staging"), kind="staging")
    of_none = replace(event(3, "staging"), artifact_id=None)
    lane, blocks = drawn([other, of_staging, of_none, event(5, "staging"), event(10, "staged")])
    assert blocks == [("wait", 0, 500), ("done", 500, 500)]
    assert (lane.crosses, lane.notes) == ([], [])


def test_what_ended_or_is_only_noted_has_no_further_block():
    noted = replace(event(6, "staged"), to_state=None)
    events = [event(0, "staging"), noted, event(8, "staged"), event(9, "evicted")]
    assert drawn(events, "evicted")[1] == [("wait", 0, 3), ("done", 0, 800)]
    assert drawn([], "missing")[1] == []
    assert drawn([], "pending", None)[1] == [("wait", 0, 1000)]


def test_what_the_archive_has_not_was_waited_for_and_a_cancelled_attempt_was_work():
    assert drawn([event(0, "staging"), event(5, "missing")], "missing")[1][-1] == ("wait", 0, 500)
    assert drawn([event(0, "staging"), event(5, "evicted")], "evicted")[1][-1] == ("work", 0, 500)


def test_an_attempt_that_failed_is_followed_by_waiting_for_the_next():
    events = [event(0, "staging"), event(4, "pending"), event(6, "staging"), event(10, "staged")]
    assert drawn(events)[1] == [
        *(("wait", 0, 3), ("work", 0, 400)),
        *(("wait", 400, 200), ("done", 600, 400)),
    ]


def test_who_took_over_and_from_whom_may_not_be_known():
    unknown = replace(event(2, "staging"), holder=None)
    again = replace(event(4, "staging"), holder=None, actor="somebody")
    lane, _ = drawn([unknown, again, event(10, "staged")])
    assert lane.notes == ["somebody took over from a process after 2 s"]


def test_the_axis_goes_to_the_end_or_to_now_and_bears_a_clock_that_is_behind():
    assert axis_of(staging("staged", 10), [], at(20)).length == "10 s"
    assert axis_of(staging("staging", None), [], at(20)).length == "20 s"
    (lane,) = axis_of(staging("staging", None), [event(5, "staging")], at(-5)).lanes
    assert [(block.x, block.width) for block in lane.blocks] == [(0, 1000), (1000, 3)]
    (lane,) = axis_of(staging("staging", None), [event(-5, "staging")], at(10)).lanes
    assert [(block.x, block.width) for block in lane.blocks] == [(0, 3), (0, 1000)]


def test_blocks_say_how_long_they_are():
    lane, _ = drawn([event(0, "pending"), event(2, "staging"), event(10, "staged")])
    assert [block.title for block in lane.blocks] == ["wait 2 s", "done 8 s"]


def test_places_have_one_digit_behind_the_point():
    _, blocks = drawn([event(1, "staging"), event(9, "staged")], ended=9)
    assert blocks == [("wait", 0, 111.1), ("done", 111.1, 888.9)]
