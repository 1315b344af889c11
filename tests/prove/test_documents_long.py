"""Twenty document writers for a minute, on two pods that are killed repeatedly."""

from pathlib import Path

import pytest

from staging_api.db.engine import open_database
from tests.documents_history import Contest, violations
from tests.service import service


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_a_minute_of_writers_leaves_a_history_that_may_be(own_url: str, tmp_path: Path) -> None:
    rows = open_database(own_url, pool_size=2)
    try:
        with service(tmp_path, own_url) as pods:
            contest = Contest(pods, pods.api(2), seconds=60, kills=8)
            contest.run(writers=20)
        assert len(contest.committed) > 10
        assert violations(rows, contest.committed) == []
    finally:
        rows.close()
