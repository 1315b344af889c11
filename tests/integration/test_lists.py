"""Lists read continuously: a client that reads after its last row gets each row exactly once."""

import threading
from concurrent.futures import ThreadPoolExecutor

from staging_api.db.engine import Database
from staging_api.locks import repository, store
from staging_api.locks.model import IMAGES, new_id
from tests.factories import lock_request
from tests.leases import acquired, released


def behind(database: Database, after: str | None, limit: int = 100) -> list[str]:
    """Return the ids of the grants made after a given one, in order."""
    with database.connect() as conn:
        return [g.id for g in repository.history(conn, limit=limit, after=after)]


def test_a_grant_whose_id_was_drawn_long_before_is_listed_when_it_is_made(database):
    waits = new_id()
    first = acquired(database, id=new_id())
    released(database, first)
    assert behind(database, None) == [first.id]
    assert acquired(database, id=waits).id == waits
    assert behind(database, first.id) == [waits]
    assert behind(database, waits) == []
    with database.connect() as conn:
        assert [g.id for g in repository.held(conn, limit=10)] == [waits]


def test_a_grant_that_is_still_on_its_way_holds_back_those_made_after_it(database):
    before = acquired(database, scope="first")
    with database.begin() as slow:
        pending = store.acquire(slow, lock_request(kind=IMAGES, scope="second"))
        after = acquired(database, scope="third")
        assert behind(database, before.id) == []
    assert behind(database, before.id) == [pending.id, after.id]
    assert behind(database, before.id, limit=1) == [pending.id]


def test_an_id_that_the_history_no_longer_has_is_a_place_in_it_by_its_time(database):
    forgotten = new_id()
    lease = acquired(database)
    assert behind(database, forgotten) == [lease.id]
    assert behind(database, new_id()) == []


def test_an_id_with_an_impossible_year_has_no_successors(database):
    lease = acquired(database)
    assert behind(database, None) == [lease.id]
    assert behind(database, "7V0SV4FQEA5QY7NY391FPDG5VM") == []


def test_a_follower_sees_every_concurrent_grant_once(database):
    callers, each = 6, 15
    done = threading.Event()

    def take(number: int) -> list[str]:
        ids = [new_id() for _ in range(each)]  # drawn long before most of them are granted
        for lock_id in reversed(ids):
            released(database, acquired(database, id=lock_id, scope=f"scope {number}"))
        return ids

    def follow() -> list[str]:
        seen: list[str] = []
        while True:
            ended = done.is_set()
            seen += behind(database, seen[-1] if seen else None, limit=7)
            if ended and not behind(database, seen[-1] if seen else None):
                return seen

    with ThreadPoolExecutor(callers + 1) as pool:
        follower = pool.submit(follow)
        made = {lock_id for ids in pool.map(take, range(callers)) for lock_id in ids}
        done.set()
        seen = follower.result()
    assert sorted(seen) == sorted(made)
