"""Generations: made of index files and Releases, and brought before the clients in one update.

What if the process dies?

- While indices are made: some blocks are kept that nothing names. Nobody reads them; the next run
  cuts the same ones and finds them, or drops them when it tidies.
- Before it goes live: what was to be listed is still marked as unlisted, so the next run lists it.
  If there are hooks, which may ask about the generation, a row of it says ``building``. Nothing
  else tells of it; the next run calls it ``abandoned``.
- In the transaction that goes live: it commits whole, or not at all: the generation, its files'
  rows, the one row that says which generation clients see, and the marks that were cleared.
- After it: clients see the new generation. What is left is to tidy, which any later run does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.errors import Conflict
from staging_api.locks.hold import guarded
from staging_api.locks.keeper import Hold
from staging_api.locks.model import new_id
from staging_api.publishing import repository
from staging_api.publishing.indexing import Indexer
from staging_api.publishing.model import (
    AptArchive,
    Distribution,
    Generation,
    IndexFile,
    Options,
    ReleaseText,
    Suite,
)
from staging_api.publishing.releasing import Releaser
from staging_api.publishing.repository import Unlisted
from staging_api.publishing.runlog import RunLog


@dataclass(frozen=True)
class Draft:
    """A generation that is made but not begun: what will differ from what clients see now.

    Attributes:
        suites: that it looks at; the others stay as they are.
        opened: index files that clients do not have yet.
        closed: those that they will not have any more.
        releases: the new texts of each suite that gets any.
        shown: the publications that it is the first to show as they are.
    """

    suites: tuple[Suite, ...]
    opened: tuple[IndexFile, ...]
    closed: tuple[IndexFile, ...]
    releases: Mapping[int, Sequence[ReleaseText]]
    shown: tuple[Unlisted, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether there is anything to go live with."""
        return bool(self.opened or self.closed or self.releases)


@dataclass(frozen=True)
class Builder:
    """Builds generations."""

    database: Database
    indexer: Indexer
    releaser: Releaser

    def draft(
        self,
        run: RunLog,
        archive: AptArchive,
        suites: Sequence[Suite],
        now: Distribution | None,
        options: Options,
    ) -> Draft:
        """New index files and Releases of these suites.

        Args:
            run: the run that wants them.
            archive: that the suites are of.
            suites: those to look at.
            now: what clients see; None before the first generation.
            options: how thorough to be.
        """
        run.phase("index", lasting=now is None or options.wants("indices"))
        base = self._index_files(suites, now.head if now else None)
        files: list[IndexFile] = []
        shown: list[Unlisted] = []
        for suite in suites:
            own = [each for each in base if each.suite_id == suite.id]
            careful = options.wants("indices")
            made = self.indexer.suite(run, archive, suite, own, careful=careful)
            files += made.files
            shown += made.shown
        run.phase("release")
        # They differ after rolling back.
        is_base = now is not None and now.live.number == now.head.number
        live = base if is_base else self._index_files(suites, now.live if now else None)
        always = options.wants("release")
        draft = self._compared(
            run, archive, suites, files=files, live=live, now=now, always=always, shown=shown
        )
        run.counts["index_files"] += len(draft.opened)
        return draft

    def _compared(
        self,
        run: RunLog | None,
        archive: AptArchive,
        suites: Sequence[Suite],
        *,
        files: Sequence[IndexFile],
        live: Sequence[IndexFile],
        now: Distribution | None,
        always: bool,
        shown: Sequence[Unlisted] = (),
    ) -> Draft:
        """What differs between `files` and `live`, with the Releases that say so."""
        ids = [suite.id for suite in suites]
        with self.database.connect() as conn:
            old = repository.releases_of(conn, ids, now.live.number) if now else []
        releases: dict[int, Sequence[ReleaseText]] = {}
        for suite in suites:
            own = [each for each in files if each.suite_id == suite.id]
            texts = [each for each in old if each.suite_id == suite.id]
            new = self.releaser.suite(run, archive, suite, own, old=texts, always=always)
            if new is not None:
                releases[suite.id] = new
        return Draft(
            suites=tuple(suites),
            opened=tuple(set(files) - set(live)),
            closed=tuple(set(live) - set(files)),
            releases=releases,
            shown=tuple(shown),
        )

    def _index_files(
        self, suites: Sequence[Suite], generation: Generation | None
    ) -> list[IndexFile]:
        if generation is None:
            return []
        ids = [suite.id for suite in suites]
        with self.database.connect() as conn:
            return repository.index_files_of(conn, ids, generation.number)

    def go_live(
        self,
        conn: Connection,
        archive: AptArchive,
        generation_id: str,
        draft: Draft,
        caller: str,
        *,
        is_head: bool = True,
        run_id: str | None = None,
        content_number: int | None = None,
    ) -> None:
        """Let clients see a draft as a generation, and clear what was dirty.

        Args:
            conn: a transaction of the lock's holder.
            archive: of which archive.
            generation_id: of the generation; it may have been begun.
            draft: what it is.
            caller: on whose behalf.
            is_head: whether it is of what is published now.
            run_id: which run made it, if one did.
            content_number: of the generation whose packages it lists; None for its own.
        """
        number = repository.go_live(
            conn,
            generation_id,
            archive.id,
            caller,
            is_head=is_head,
            run_id=run_id,
            content_number=content_number,
        )
        repository.close(conn, number, draft.closed, draft.releases.keys())
        repository.open_files(conn, number, draft.opened)
        texts = [text for texts in draft.releases.values() for text in texts]
        repository.add_releases(conn, number, texts)
        repository.mark_listed(conn, number, draft.shown)
        repository.clear_dirty(conn, _seen_dirty(draft.suites) if is_head else {})

    def settle(self, conn: Connection, number: int, draft: Draft) -> None:
        """Clear what was dirty where nothing differs from the generation that there is."""
        repository.mark_listed(conn, number, draft.shown)
        repository.clear_dirty(conn, _seen_dirty(draft.suites))

    def go_back(self, held: Hold, archive: AptArchive, target_id: str, caller: str) -> Generation:
        """Let clients see the packages of an older generation again.

        It is a new generation, of the old one's index files and a Release of today: clients refuse
        a Release that is older than theirs.

        Raises:
            NotFound: there is no such generation.
            Conflict: it is of another archive, or its files are not kept any more.
        """
        with self.database.connect() as conn:
            target = repository.find_generation(conn, target_id)
            now = repository.find_distribution(conn, archive.name)
        kept = target.archive == archive.name and target.state in ("live", "retired")
        if not kept or now is None:
            raise Conflict(f"generation {target_id} of {target.archive} is {target.state}")
        files = self._index_files(archive.suites, target)
        live = self._index_files(archive.suites, now.live)
        draft = self._compared(
            None, archive, archive.suites, files=files, live=live, now=now, always=True
        )
        generation_id = new_id()
        with guarded(self.database, held) as conn:
            self.go_live(
                conn,
                archive,
                generation_id,
                draft,
                caller,
                is_head=target.content_number == now.head.content_number,
                content_number=target.content_number,
            )
            return repository.find_generation(conn, generation_id)


def _seen_dirty(suites: Sequence[Suite]) -> dict[int, datetime]:
    """When each got dirty, as it was read: a later mark is not cleared."""
    return {suite.id: suite.dirty_since for suite in suites if suite.dirty_since is not None}
