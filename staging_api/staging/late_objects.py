"""Look again for optional objects that were missing: they may have been uploaded since.

The request that names such an artifact looks for it itself, before anything is written. So a
request that finds nothing new is answered at once, from the rows, without a worker or a lock. The
look reads the names of the missing objects, or the manifest or listing if a name has a glob; it
takes at most `_LONGEST_SECONDS`, and is not repeated within some seconds. Only a positive answer of
the source changes anything.

What if the process dies? Nothing was written; the next request looks again.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from staging_api.catalogue.model import ArtifactKind
from staging_api.db.engine import Database
from staging_api.errors import ArtifactAmbiguous, SourceFailed, StagingApiError
from staging_api.sources.interruptible import Interruptible
from staging_api.sources.model import Source, SourceOptions
from staging_api.sources.url import ArchiveUrl
from staging_api.staging import planning
from staging_api.staging.archive_names import ArchiveNames
from staging_api.staging.model import StagedArtifact, StagingRequest

log = logging.getLogger(__name__)

#: Time limit for the look of one request.
_LONGEST_SECONDS = 3.0
#: Pause between two looks for one artifact: at least this many seconds, and this many times the
#: duration of the look, so that looks keep a slow source busy for a tenth of the time at most.
_PAUSE_SECONDS, _PAUSE_OF_LOOK = 2.0, 10.0
#: At most this many requests of the process look at once; others are answered from the rows.
_AT_ONCE = 4
#: Limit of looks that are remembered.
_KEPT = 10_000


class MissingObjects:
    """Looks for missing artifacts again; one object for all requests of a process."""

    def __init__(
        self,
        database: Database,
        open_archive: Callable[[ArchiveUrl], Source],
        options: SourceOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._open_archive = open_archive
        self._options = options
        self._clock = clock
        self._looks: OrderedDict[tuple[str, str], _Look] = OrderedDict()
        self._mutex = threading.Lock()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def came(self, request: StagingRequest) -> frozenset[str]:
        """Return the requested artifacts whose rows say ``missing``, but whose objects exist."""
        with self._database.connect() as conn:
            rows = planning.missing(conn, request)
        if not rows:
            return frozenset()
        due = self._claimed(rows)
        if due and self._turns.acquire(blocking=False):
            try:
                self._look(request, due)
            finally:
                self._turns.release()
        with self._mutex:
            looks = [(row.name, self._looks.get(_key(row))) for row in rows]
        return frozenset(name for name, look in looks if look is not None and look.came)

    def _claimed(self, rows: Sequence[StagedArtifact]) -> list[StagedArtifact]:
        """Return the rows whose look is due; no other request looks for these meanwhile."""
        now, due = self._clock(), []
        with self._mutex:
            for row in rows:
                look = self._looks.get(_key(row))
                if look is None or look.due <= now:
                    # Provisional, until `_note`: if this look hangs, another request looks after
                    # that time. Concurrent requests meanwhile use the result of the last look.
                    provisional = now + _LONGEST_SECONDS + _PAUSE_SECONDS
                    self._looks[_key(row)] = _Look(provisional, look is not None and look.came)
                    due.append(row)
                self._looks.move_to_end(_key(row))
            # The rows of this request, which are read after this, are always kept.
            while len(self._looks) > max(_KEPT, len(rows)):
                self._looks.popitem(last=False)
        return due

    def _look(self, request: StagingRequest, rows: Sequence[StagedArtifact]) -> None:
        began = self._clock()
        kinds = {kind.name: kind for kind in request.kinds}
        found: set[str] = set()

        def check() -> None:
            if self._clock() - began > _LONGEST_SECONDS:
                raise SourceFailed(f"nothing was heard within {_LONGEST_SECONDS:.0f} s")

        try:
            with closing(Interruptible(self._open_archive(request.url), check)) as source:
                names = ArchiveNames(self._database, source, request, self._options, waits=False)
                for row in rows:
                    if _is_there(row, kinds[row.name], names, source):
                        found.add(row.name)
        except StagingApiError as error:
            log.info(
                "%s: missing artifacts were not looked up: %s", request.archive_url, error.detail
            )
        self._note(rows, found, self._clock() - began)

    def _note(self, rows: Sequence[StagedArtifact], found: set[str], took: float) -> None:
        due = self._clock() + max(_PAUSE_SECONDS, _PAUSE_OF_LOOK * took)
        with self._mutex:
            for row in rows:
                self._looks[_key(row)] = _Look(due, row.name in found)
        for name in sorted(found):
            log.info("%s of %s was missing, and is there now", name, rows[0].archive_url)


@dataclass
class _Look:
    """The last look for one artifact; `due` is the time of the next one."""

    due: float
    came: bool


def _is_there(row: StagedArtifact, kind: ArtifactKind, names: ArchiveNames, source: Source) -> bool:
    """Return whether the artifact has an object that was not searched before."""
    try:
        objects = names.find(kind)
    except ArtifactAmbiguous:
        return True  # several fit now: the request fails, and says so
    if row.source_url is None or not objects:
        return bool(objects)
    # There was an object without anything of the artifact: only another version of it may have
    # some.
    return row.source_version not in (None, *(source.stat(name).version for name in objects))


def _key(row: StagedArtifact) -> tuple[str, str]:
    return row.archive_url, row.name
