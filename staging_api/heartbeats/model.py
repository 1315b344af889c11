"""A process, as it describes itself, and as the database saw it."""

from dataclasses import dataclass
from datetime import datetime

from staging_api.vocabulary.reports import ProcessKind


@dataclass(frozen=True)
class ProcessLoad:
    """What a process does at a moment.

    Attributes:
        busy: places that are in use.
        waiting: requests that wait, without a place.
        draining: it is about to end.
        refused: requests of the last minute that were refused, as another held the lock.
    """

    busy: int = 0
    waiting: int = 0
    draining: bool = False
    refused: int = 0


@dataclass(frozen=True)
class ProcessDescription:
    """What a process is.

    Attributes:
        name: as the holder of its locks; never used again.
        version, build: of its code, see `staging_api.about`.
        schema: revision of the tables that its code needs.
        address: where it listens; None: nowhere.
        places: requests that run at once; of a worker: stagings.
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
    """One row of ``service_processes``: a process, and what was seen of it.

    Attributes:
        started_at: of its first beat.
        seen_at: of its newest beat.
        alive: the newest beat is no older than three intervals, by the database's clock.
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
    """What the database is.

    Attributes:
        version: of PostgreSQL.
        schema: revision of its tables; None: it was never migrated.
    """

    version: str
    schema: str | None
