"""History of contested locks, checked: correct for our lock, and each known fault is detected."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.locks.model import Lease
from tests.contest import (
    Ancestor,
    Contest,
    Contestant,
    IdentityFence,
    NoFence,
    Ours,
    ReleaseByScope,
    RenewalWithoutExpiryCheck,
)
from tests.history import Reign, Write, violations


def reign(lock_id: str, since: float, until: float | None, fence: int = 1) -> Reign:
    return Reign("s", lock_id, fence, since=since, until=until)


def test_a_clean_history_has_no_violations() -> None:
    assert violations([reign("a", 1, 2, 1), reign("b", 2, 3, 2), reign("c", 4, None, 3)]) == []


@pytest.mark.parametrize(
    ("reigns", "word"),
    [
        ([reign("a", 1, 3, 1), reign("b", 2, 4, 2)], "overlap"),
        ([reign("a", 1, 9, 1), reign("b", 2, 3, 2), reign("c", 4, 5, 3)], "overlap"),
        ([reign("a", 1, 2, 5), reign("b", 3, 4, 5)], "fence"),
        ([reign("a", 1, 2, 5), reign("b", 3, 4, 4)], "fence"),
    ],
)
def test_the_checker_finds_every_kind_of_fault(reigns: list[Reign], word: str) -> None:
    assert [found.split(":")[0] for found in violations(reigns)][:1] == [word]


def test_an_unknown_outcome_is_no_fault() -> None:
    assert violations([reign("a", 1, None, 1), reign("b", 2, 3, 2)]) == []


def test_an_answer_that_came_after_its_lease_holds_nothing() -> None:
    late = reign("late", 5, 4)
    assert violations([reign("next", 4.5, 6, 2), late]) == []


def test_a_late_renewal_that_was_granted_is_found() -> None:
    risen = reign("a", 1, 9)
    risen.renewals = [(0.5, 2.0), (2.1, 3.1)]
    assert violations([risen])[0].startswith("resurrection")


def test_a_write_outside_its_reign_is_found() -> None:
    writes = [Write("s", "a", 1, 1), Write("s", "b", 2, 2), Write("s", "a", 1, 3)]
    assert all(found.startswith("stale write") for found in violations([], writes))
    assert violations([], writes)


@pytest.mark.parametrize(
    ("faulty", "scopes", "pause", "words"),
    [
        (Ancestor, 2, 20, {"overlap", "fence", "stale write"}),
        (IdentityFence, 2, 0, {"fence", "stale write"}),
        (ReleaseByScope, 2, 20, {"overlap"}),
        # Needs leases that no other caller takes over.
        (RenewalWithoutExpiryCheck, 60, 40, {"resurrection"}),
        (NoFence, 2, 20, {"stale write"}),
    ],
)
def test_a_known_fault_is_found_within_ten_seconds(
    database: Database,
    faulty: Callable[[], Contestant],
    scopes: int,
    pause: int,
    words: set[str],
) -> None:
    found = Contest(database, faulty(), scopes, pause).run(8, seconds=10, enough=lambda: False)
    assert {violation.split(":")[0] for violation in found} & words


@pytest.mark.timeout(400)
def test_holders_that_write_without_a_pause_have_a_clean_history(database: Database) -> None:
    contest = Contest(database, Ours(), pause=10, busy=30)
    assert contest.run(6, seconds=300, enough=lambda: contest.faults["kept"] >= 2) == []
    assert contest.faults["kept"] >= 2
    assert contest.faults["beside"] >= 20


def test_a_holder_that_writes_on_without_a_lock_is_found(database: Database) -> None:
    """Its fault: it assumes that the lease is extended, and never checks the lease again."""

    class NeverLooks(NoFence):
        def renew(self, conn: Connection, lease: Lease, ttl: float) -> float:
            return ttl

    contest = Contest(database, NeverLooks(), pause=0, busy=30)
    found = contest.run(6, seconds=10, enough=lambda: False)
    assert {violation.split(":")[0] for violation in found} & {"overlap", "stale write"}


def test_ours_has_a_clean_history(database: Database) -> None:
    contest = Contest(database, Ours())
    assert contest.run(8, seconds=20, enough=lambda: len(contest.reigns) >= 200) == []
    assert len(contest.reigns) >= 200
