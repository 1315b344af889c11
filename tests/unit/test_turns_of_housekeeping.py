"""Turns of housekeeping: the steps of each, and the pause of the thread between two turns."""

import time

import pytest

from staging_api.staging.housekeeping import Housekeeping, HousekeepingStep, StepResult


def test_a_turn_does_what_is_due_and_nothing_else() -> None:
    done: list[str] = []
    often = HousekeepingStep("often", 60, lambda: done.append("often"))
    seldom = HousekeepingStep("seldom", 3600, lambda: done.append("seldom"))
    keeping = Housekeeping("test", [often, seldom])
    keeping.turn()
    assert done == ["often", "seldom"]
    keeping.turn()
    assert done == ["often", "seldom"]
    often.due_at = time.monotonic()
    keeping.turn()
    assert done == ["often", "seldom", "often"]


def test_after_a_stop_the_steps_that_are_due_are_left() -> None:
    done: list[str] = []

    def stops() -> None:
        done.append("stops")
        keeping.stop(0)

    steps = [
        HousekeepingStep("stops", 60, stops),
        HousekeepingStep("after", 60, lambda: done.append("after")),
    ]
    keeping = Housekeeping("test", steps)
    keeping.turn()
    assert done == ["stops"]


@pytest.mark.parametrize(("more", "least", "most"), [(False, 59, 60), (True, 0.01, 0.01)])
def test_between_two_turns_is_a_pause_until_the_next_step_is_due(
    monkeypatch: pytest.MonkeyPatch, more: bool, least: float, most: float
) -> None:
    done: list[str] = []
    pauses: list[float] = []

    def does() -> StepResult:
        done.append("next")
        return StepResult(more=more)

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        stop.set()
        return True

    later = HousekeepingStep("later", 3600, lambda: done.append("later"))
    keeping = Housekeeping("test", [later, HousekeepingStep("next", 60, does)])
    stop = keeping._stop
    monkeypatch.setattr(stop, "wait", wait)
    keeping.start()
    keeping._thread.join(10)
    # Without the pause it would still run.
    stop.set()
    (pause,) = pauses
    assert least <= pause <= most
    assert done == ["later", "next"]
