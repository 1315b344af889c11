"""Events of runs and of time: runs that succeed or die, Releases that expire, files that may go."""

from dataclasses import replace

from staging_api.publishing.rows import generations
from tests.apt_archive_series.life import SUITES, Life
from tests.apt_archive_series.promises import check_full_rebuild, check_kept, check_nothing_is_left
from tests.factories import ORIGIN
from tests.publisher import time_passes
from tests.rows import execute


class DiedError(Exception):
    """The end of a process, as its run sees it."""


def run(life: Life) -> None:
    life.shop.run()


def run_some(life: Life) -> None:
    operation = life.rng.choice(("process-accepted", "publish-distro", "publish-ftpmaster"))
    suites = life.rng.sample(SUITES, life.rng.randrange(3))
    life.shop.run(operation, suites=tuple(suites))  # type: ignore[arg-type]


def run_and_die(life: Life) -> None:
    last = life.rng.choice(("begun", "publish", "dominate", "index", "release", "go_live"))
    whole = life.shop.publisher

    def reached(step: str) -> None:
        if step == last:
            raise DiedError

    life.shop.publisher = replace(whole, reached=reached)
    try:
        life.shop.run()
    except DiedError:
        pass
    finally:
        life.shop.publisher = whole


def rebuild(life: Life) -> None:
    life.shop.run()
    check_full_rebuild(life)


def look(life: Life) -> None:
    """See what clients see in the middle of things."""
    check_kept(life)


def expire(life: Life) -> None:
    """Let most of the validity be over; a worker may look, or the next run may."""
    execute(
        life.shop.database,
        "UPDATE release_files r SET valid_until = r.valid_until - interval '16 hours'"
        " FROM suites s JOIN apt_archives a ON a.id = s.archive_id"
        " WHERE s.id = r.suite_id AND a.name = :name AND r.gone_number IS NULL",
        name=life.shop.name,
    )
    if life.rng.random() < 0.6:
        life.shop.publisher.renew(life.shop.name, ORIGIN)


def let_time_pass(life: Life) -> None:
    """More than retention and quarantine, for whatever waits for them."""
    life.contents.clear()
    time_passes(life.shop.database)


def leave_one_out(life: Life) -> None:
    """Lift a suite and do not come to it, until what it does not have any more could go."""
    suite = life.rng.choice(SUITES)
    life.shop.publisher.lift(life.shop.name, (suite,), caller="ada")
    life.held.pop(suite, None)
    others = tuple(each for each in SUITES if each != suite)
    for _ in range(2):
        life.shop.change(label=f"{life.rng.random()}")
        life.shop.run(suites=others)
        let_time_pass(life)
    life.shop.run(suites=others)
    check_kept(life)


def settle(life: Life) -> None:
    """Keep nothing old any longer: what no index names leaves the pool, and nothing else."""
    life.shop.publisher.lift(life.shop.name, caller="ada")
    life.held.clear()
    with life.shop.database.begin() as conn:
        for generation in life.pinned:
            generations.set_pin(conn, generation, "ada", pinned=False)
    life.pinned.clear()
    for _ in range(2):
        life.shop.run()
        let_time_pass(life)
    life.shop.run()
    check_nothing_is_left(life)
