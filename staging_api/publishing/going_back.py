"""Plan a rollback to the packages of an older generation, after checking that it is possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from staging_api.db.engine import Database
from staging_api.errors import Conflict
from staging_api.publishing.index_model import IndexFile
from staging_api.publishing.model import AptArchive, Distribution, Generation, Suite, SuiteHold
from staging_api.publishing.rows import generations, holds, indices
from staging_api.vocabulary.publishing import KEPT_GENERATION_STATES


@dataclass(frozen=True)
class Rollback:
    """A rollback that is possible.

    Attributes:
        now: the distribution before the rollback.
        target: the generation whose packages clients will see.
        contents: by suite to roll back, the number of its content in the target.
        files: the index files of those suites in the target.
    """

    now: Distribution
    target: Generation
    contents: Mapping[int, int]
    files: tuple[IndexFile, ...]

    def suites(self, apt_archive: AptArchive, caller: str) -> list[Suite]:
        """Return the suites to roll back, with their new holds."""
        return [
            replace(suite, held=self._hold(suite, apt_archive, caller))
            for suite in apt_archive.suites
            if suite.id in self.contents
        ]

    def note(self, suites: Sequence[Suite], reason: str) -> str:
        """Return the note of the run: which suites show which generation, and why."""
        names = ", ".join(suite.name for suite in suites)
        because = f": {reason}" if reason else ""
        return f"held at generation {self.target.number} ({self.target.id}): {names}{because}"

    def _hold(self, suite: Suite, apt_archive: AptArchive, caller: str) -> SuiteHold:
        number, moment = self.contents[suite.id], apt_archive.seen_at
        return SuiteHold(suite.name, self.target.id, number, moment, caller, reason="")


def plan_rollback(
    database: Database, apt_archive: AptArchive, generation_id: str | None, suites: Sequence[str]
) -> Rollback:
    """Plan a rollback.

    Args:
        database: database of the publisher.
        apt_archive: the current archive.
        generation_id: the generation whose packages to show; None: the live one.
        suites: names of the suites to roll back; empty: all suites of the generation.

    Raises:
        NotFound: there is no such generation.
        Conflict: nothing of the archive has been published; or the generation belongs to another
            archive, is no longer kept, or does not have one of the suites.
    """
    with database.connect() as conn:
        now = generations.find_distribution(conn, apt_archive.name)
        if now is None:
            raise Conflict(f"nothing of {apt_archive.name} has been published")
        target = generations.find_generation(conn, generation_id or now.live.id)
        contents = holds.contents_of(conn, target.id)
        ids = [suite.id for suite in apt_archive.suites]
        files = indices.index_files_of(conn, ids, target.number)
    if target.archive != apt_archive.name or target.state not in KEPT_GENERATION_STATES:
        raise Conflict(f"generation {target.id} of {target.archive} is {target.state}")
    chosen = _chosen(apt_archive, files, suites, target)
    return Rollback(
        now=now,
        target=target,
        contents={suite_id: contents[suite_id] for suite_id in chosen},
        files=tuple(each for each in files if each.suite_id in chosen),
    )


def _chosen(
    apt_archive: AptArchive, files: Sequence[IndexFile], names: Sequence[str], target: Generation
) -> set[int]:
    """Return the suites to roll back: the named ones, or all suites of the generation."""
    there = {each.suite_id for each in files}
    suites = [suite for suite in apt_archive.suites if not names or suite.name in names]
    missing = [suite.name for suite in suites if names and suite.id not in there]
    if missing:
        raise Conflict(f"generation {target.id} has no suite {', '.join(missing)}")
    return {suite.id for suite in suites if suite.id in there}
