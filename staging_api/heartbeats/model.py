"""Data types of a process: its description, its load, and its row in the database."""

from dataclasses import dataclass
from datetime import datetime

from staging_api.vocabulary.reports import ProcessKind


@dataclass(frozen=True)
class ProcessLoad:
    """The load of a process at a moment.

    Attributes:
        busy: number of places that are in use.
        waiting: number of requests that wait without a place.
        draining: whether the process is about to end.
        refused: number of requests refused in the last minute because a lock was held.
    """

    busy: int = 0
    waiting: int = 0
    draining: bool = False
    refused: int = 0


@dataclass(frozen=True)
class ProcessDescription:
    """The fixed properties of a process.

    Attributes:
        name: the holder of its locks; never reused.
        version, build: version and digest of its code, see `staging_api.about`.
        schema: revision of the tables that its code needs.
        address: where it listens; None: nowhere.
        places: number of requests that run at once; for a worker, of stagings.
    """

    name: str
    kind: ProcessKind
    version: str
    build: str
    schema: str
    address: str | None
    places: int


@dataclass(frozen=True)
class SeenProcess(ProcessDescription):
    """One row of ``service_processes``: a process and its newest beat.

    Attributes:
        started_at: time of its first beat.
        seen_at: time of its newest beat.
        alive: whether the newest beat is at most three intervals old, by the database's clock.
    """

    busy: int
    waiting: int
    threads: int
    draining: bool
    started_at: datetime
    seen_at: datetime
    refused: int
    alive: bool


@dataclass(frozen=True)
class DatabaseFacts:
    """Version and schema of the database.

    Attributes:
        version: version of PostgreSQL.
        schema: revision of its tables; None: it was never migrated.
    """

    version: str
    schema: str | None
