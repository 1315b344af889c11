"""Look-ups of missing objects: limit at once, limit of remembered ones, and their order."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.sources.model import Source
from staging_api.staging.late_objects import MissingObjects, _Look
from staging_api.staging.model import StagingRequest
from tests.service import eventually
from tests.stagings import Bench, bench


class Looks:
    """Counts the openings of sources, and blocks them until they are released."""

    def __init__(self, at: Bench) -> None:
        self.opened = 0
        self.now = 0.0
        self.let = threading.Event()
        self._at = at
        self.missing = MissingObjects(
            at.database, self._open, at.service.uploads.options, lambda: self.now
        )

    def _open(self, url: object) -> Source:
        self.opened += 1
        assert self.let.wait(60)
        return self._at.service.open_archive(url)  # type: ignore[arg-type]

    def build_without_notes(self, name: str) -> StagingRequest:
        """Stage a build without its notes, which are uploaded right afterwards."""
        url = self._at.build(name, payload_bin=name.encode())
        self._at.stage(url, "payload", "notes")
        (Path(url.removeprefix("file://")) / "notes.txt").write_text("late")
        return self._at.service.check_request(url, ("payload", "notes"))


@pytest.fixture
def looks(database: Database, database_url: str, tmp_path: Path) -> Iterator[Looks]:
    with bench(database, database_url, tmp_path) as at:
        yield Looks(at)


def test_four_requests_look_at_once_and_another_is_answered_from_the_rows(looks: Looks) -> None:
    requests = [looks.build_without_notes(f"R{number}") for number in range(5)]
    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(looks.missing.came, request) for request in requests[:4]]
        eventually(lambda: looks.opened == 4, "they do not look")
        last = pool.submit(looks.missing.came, requests[4])
        try:
            assert last.result(30) == frozenset()
            assert looks.opened == 4
        finally:
            looks.let.set()
        assert [each.result() for each in running] == [frozenset({"notes"})] * 4
    # A request some seconds later looks for itself.
    assert looks.missing.came(requests[4]) == frozenset()
    looks.now += 5
    assert looks.missing.came(requests[4]) == frozenset({"notes"})


def test_ten_thousand_looks_are_remembered_those_that_were_asked_for_last(looks: Looks) -> None:
    looks.let.set()
    first, second = looks.build_without_notes("R1"), looks.build_without_notes("R2")
    assert looks.missing.came(first) == frozenset({"notes"})
    known = looks.missing._looks
    known.update({(f"gs://{number}", "notes"): _Look(0.0, False) for number in range(9_999)})
    # Not looked up again this soon, and counted as recently requested.
    assert looks.missing.came(first) == frozenset({"notes"})
    assert (looks.opened, len(known)) == (1, 10_000)
    assert looks.missing.came(second) == frozenset({"notes"})
    assert (looks.opened, len(known)) == (2, 10_000)
    assert ("gs://0", "notes") not in known
    assert {("gs://1", "notes"), (first.archive_url, "notes")} <= known.keys()
