"""Statements that read and write the tables continuously."""

import threading
from contextlib import closing
from types import TracebackType
from typing import Self

import psycopg2
from sqlalchemy import make_url

from tests.service import eventually

# Like the requests of every version: find rows, lock them and write them.
_STATEMENTS = (
    "SELECT count(*) FROM stagings",
    "SELECT count(*) FROM staged_artifacts",
    "SELECT count(*) FROM blobs",
    "SELECT count(*) FROM staging_events",
    "SELECT count(*) FROM api_locks",
    "SELECT count(*) FROM manifests",
    "SELECT count(*) FROM package_files",
    "SELECT count(*) FROM release_files",
    "UPDATE staged_artifacts SET error_code = error_code WHERE false",
    "UPDATE blobs SET size_bytes = size_bytes WHERE false",
    "SELECT 1 FROM staged_artifacts LIMIT 1 FOR UPDATE",
)


class Traffic:
    """One client for each statement, for the block; each client runs one statement at a time."""

    def __init__(self, url: str) -> None:
        self.count = 0
        self._dsn = make_url(url).set(drivername="postgresql").render_as_string(False)
        self._stop = threading.Event()
        self._failures: list[Exception] = []
        self._clients = [threading.Thread(target=self._send, args=(each,)) for each in _STATEMENTS]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        self.go_on(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()
        if kind is None:
            assert not self._failures, self._failures

    def go_on(self, count: int) -> None:
        """Return when each client has completed about this many further statements."""
        enough = self.count + count * len(_STATEMENTS)
        eventually(lambda: self.count >= enough or bool(self._failures), "no answers")

    def _send(self, statement: str) -> None:
        try:
            with closing(psycopg2.connect(self._dsn)) as conn, conn.cursor() as cursor:
                conn.autocommit = True
                while not self._stop.wait(0.01):
                    cursor.execute(statement)
                    self.count += 1
        except psycopg2.Error as error:
            self._failures.append(error)
