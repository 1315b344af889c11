"""Ages on pages: computed with the database's clock, whatever the local clock shows."""

from datetime import UTC, datetime, timedelta

from staging_api.errors import Unavailable
from staging_api.ui.clock import DatabaseClock

YEARS_AGO = datetime(2006, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_database_is_asked_now_and_then_and_its_time_counted_on_meanwhile() -> None:
    asked: list[float] = []
    elapsed = [100.0]

    def ask() -> datetime:
        asked.append(elapsed[0])
        if len(asked) == 3:
            raise Unavailable("the database cannot be reached")
        # The clock was set back by an hour between the two responses.
        return YEARS_AGO - timedelta(hours=len(asked) - 1)

    clock = DatabaseClock(ask, lambda: elapsed[0])
    seen = []
    for at in (100.0, 159.0, 160.0, 220.0, 230.0):
        elapsed[0] = at
        seen.append(clock.now())
    set_back = YEARS_AGO - timedelta(hours=1)
    assert seen == [
        YEARS_AGO,
        YEARS_AGO + timedelta(seconds=59),
        set_back,
        set_back + timedelta(seconds=60),
        set_back + timedelta(seconds=70),
    ]
    assert asked == [100.0, 160.0, 220.0]


def test_before_the_first_answer_the_time_is_this_machines() -> None:
    def ask() -> datetime:
        raise Unavailable("the database cannot be reached")

    before = datetime.now(UTC)
    assert before <= DatabaseClock(ask).now() <= datetime.now(UTC)
