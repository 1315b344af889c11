"""Steps of a staging: those that it reached, then the remaining ones."""

from datetime import UTC, datetime, timedelta

from staging_api.staging.model import Staging, StagingEvent
from staging_api.ui.screens.stagings import _steps

BEGAN = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


def event(minute: int, kind: str, to_state: str | None) -> StagingEvent:
    empty = dict.fromkeys(StagingEvent.__dataclass_fields__)
    given = {"at": BEGAN + timedelta(minutes=minute), "kind": kind, "to_state": to_state}
    return StagingEvent(**{**empty, **given})  # type: ignore[arg-type]


def steps(
    state: str, *events: StagingEvent, finished: int | None = None
) -> list[tuple[str, int | None, int | None]]:
    """Return each step, with the minutes at which it and the previous one were reached."""
    empty = dict.fromkeys(Staging.__dataclass_fields__)
    finished_at = None if finished is None else BEGAN + timedelta(minutes=finished)
    staging = Staging(**{**empty, "state": state, "finished_at": finished_at})  # type: ignore[arg-type]

    def minute(at: datetime | None) -> int | None:
        return None if at is None else (at - BEGAN) // timedelta(minutes=1)

    return [(each.state, minute(each.at), minute(each.since)) for each in _steps(staging, events)]


def test_a_staging_that_goes_on_has_steps_ahead_of_it() -> None:
    assert steps("running", event(0, "staging", "queued"), event(2, "staging", "running")) == [
        ("queued", 0, None),
        ("running", 2, 0),
        ("foreground_staged", None, 2),
        ("staged", None, 2),
    ]


def test_an_ended_staging_shows_its_reached_steps_and_its_end() -> None:
    queued, failed = event(0, "staging", "queued"), event(3, "staging", "failed")
    assert steps("failed", queued, failed) == [("queued", 0, None), ("failed", 3, 0)]


def test_events_of_artifacts_and_notes_are_no_steps() -> None:
    found = steps(
        "staged",
        event(0, "staging", "queued"),
        event(1, "staging", None),
        event(2, "artifact", "staged"),
        event(5, "staging", "running"),
        event(9, "staging", "staged"),
    )
    assert found == [("queued", 0, None), ("running", 5, 0), ("staged", 9, 5)]


def test_a_step_that_is_reached_again_was_reached_the_first_time() -> None:
    again = [event(n, "staging", state) for n, state in enumerate(["queued", "running"] * 2)]
    assert steps("staged", *again, event(9, "staging", "staged")) == [
        ("queued", 0, None),
        ("running", 1, 0),
        ("staged", 9, 1),
    ]


def test_the_end_is_known_though_its_event_is_behind_the_last_that_is_shown() -> None:
    queued = event(0, "staging", "queued")
    assert steps("failed", queued, finished=7)[-1] == ("failed", 7, 0)
    ended = event(6, "staging", "failed")
    assert steps("failed", queued, ended, finished=7)[-1] == ("failed", 6, 0)
