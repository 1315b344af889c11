"""Heartbeats of a process, also while the database does not accept them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from staging_api.db.engine import Database
from staging_api.errors import Unavailable
from staging_api.heartbeats.model import ProcessDescription, ProcessLoad
from staging_api.heartbeats.service import Heartbeat

POD = ProcessDescription("pod-1:7:ABCD", "api", "1.0", "b", "0029", None, 64)


def test_a_process_that_says_nothing_of_its_load_does_nothing_and_goes_on() -> None:
    idle = ProcessLoad()
    assert (idle.busy, idle.waiting, idle.draining, idle.refused) == (0, 0, False, 0)


class Tables:
    """Accepts a beat, or is unavailable for the given number of beats."""

    def __init__(self, *is_away: bool) -> None:
        self._is_away = iter(is_away)
        self.tried_all = threading.Event()

    @contextmanager
    def connect(self) -> Iterator[Any]:
        away = next(self._is_away, None)
        if away is None:
            self.tried_all.set()
        if away:
            raise Unavailable("the database is away")
        yield self

    def execute(self, *_: object) -> None:
        """Accept a statement."""


def test_an_outage_is_logged_once_and_the_next_one_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "staging_api.heartbeats")
    tables = Tables(True, True, True, False, True, True, False, False)
    heart = Heartbeat(cast("Database", tables), every_seconds=0.001)
    heart.start(POD, ProcessLoad)
    assert tables.tried_all.wait(20)
    assert heart._thread is not None
    assert heart._thread.daemon, "it keeps no process that ends for another reason"
    heart.stop()
    assert not heart._thread.is_alive()
    said = "this process cannot say that it lives: the database is away"
    assert [record.getMessage() for record in caplog.records] == [said, said]
