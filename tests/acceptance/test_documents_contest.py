"""Concurrent document writers on two pods, one of which is killed: the history stays linear."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from tests.documents_history import Contest, violations
from tests.service import service


@pytest.fixture
def own_rows(own_url: str) -> Iterator[Database]:
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


@pytest.mark.parametrize("collections", [2, pytest.param(30, marks=pytest.mark.prove)])
@pytest.mark.timeout(300)
def test_writers_on_dying_pods_leave_a_history_that_may_be(
    own_url: str, own_rows: Database, tmp_path: Path, collections: int
) -> None:
    with service(tmp_path, own_url) as pods:
        contest = Contest(pods, pods.api(2), seconds=4, kills=1, collections=collections)
        contest.run(writers=8)
    assert violations(own_rows, contest.committed) == []
    assert len(contest.committed) >= contest.least, contest.answers
    assert not {status for status in contest.answers if status >= 500} - {503}, contest.answers
