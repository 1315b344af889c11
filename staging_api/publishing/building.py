"""Generations: built from index files and Releases, and made live in one transaction.

What if the process dies?

- While index files are built: some stored blocks are not named by any layout. The next run cuts the
  same blocks and reuses them, or drops them when it tidies.
- Before going live: changed packages are still marked as unlisted, so the next run lists them. With
  hooks, which may look at the generation, its row has the state ``building``; the next run changes
  it to ``abandoned``.
- In the transaction that goes live: all of it commits or nothing: the generation, its files' rows,
  the row that names the live generation, and the cleared marks.
- After it: clients see the new generation. Only tidying is left, which any later run does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.locks.model import new_id
from staging_api.publishing.going_back import Rollback
from staging_api.publishing.index_model import IndexFile, ReleaseText, Unlisted
from staging_api.publishing.indexing import Indexer
from staging_api.publishing.model import AptArchive, Distribution, Generation, Suite
from staging_api.publishing.releasing import Releaser, expires
from staging_api.publishing.rows import generations, holds, indices
from staging_api.publishing.run_model import Options
from staging_api.publishing.runlog import RunLog


@dataclass(frozen=True)
class GenerationDraft:
    """A generation before it goes live: its differences from the live generation.

    Attributes:
        suites: the suites whose marks it clears; the marks of others stay.
        opened: index files that are new for clients.
        closed: index files that clients will no longer have.
        releases: by suite, the new texts of its Release, if there are any.
        older: by suite that is unchanged and has the packages of an older generation, the number of
            that generation.
        shown: the publications whose changes it is the first to show.
        blocks: the rows of blocks of its index files that are not stored yet.
    """

    suites: tuple[Suite, ...]
    opened: tuple[IndexFile, ...]
    closed: tuple[IndexFile, ...]
    releases: Mapping[int, Sequence[ReleaseText]]
    older: Mapping[int, int] = field(default_factory=dict)
    shown: tuple[Unlisted, ...] = ()
    blocks: tuple[Mapping[str, Any], ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the draft differs from the live generation."""
        # If an index file was removed, the Release of its suite changes, too.
        return bool(self.opened or self.releases)


@dataclass(frozen=True)
class Builder:
    """Builds generations."""

    database: Database
    indexer: Indexer
    releaser: Releaser

    def draft(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        suites: Sequence[Suite],
        now: Distribution | None,
        options: Options,
    ) -> GenerationDraft:
        """Build new index files and Releases of suites; held suites keep their packages.

        Args:
            run: the run that builds them.
            apt_archive: the archive of the suites.
            suites: the suites to build.
            now: the current distribution; None before the first generation.
            options: parts to build completely.
        """
        full = options.wants("indices")
        run.phase("index", lasting=now is None or full)
        live = self._index_files(suites, now)
        shown = [suite for suite in suites if suite.held is None]
        made = self.indexer.suites(run, apt_archive, shown, live, full=full)
        held = {suite.id for suite in suites if suite.held is not None}
        files = (*made.files, *(file for file in live if file.suite_id in held))
        draft = self._with_releases(
            run, apt_archive, suites, files, live=live, now=now, options=options
        )
        run.counts["index_files"] += len(draft.opened)
        remade = {suite.id for suite in shown}
        older = {suite: number for suite, number in draft.older.items() if suite not in remade}
        return replace(draft, older=older, shown=made.shown, blocks=made.blocks)

    def renewal(
        self, run: RunLog, apt_archive: AptArchive, now: Distribution | None
    ) -> GenerationDraft:
        """Write new Releases whose validity is half over, for the same index files.

        Only Releases signed by this process are renewed; dirty suites stay dirty.
        """
        signed_here = {text.suite_id for text in self._signed_here(apt_archive, now)}
        suites = [suite for suite in apt_archive.suites if suite.id in signed_here]
        files = self._index_files(suites, now)
        draft = self._with_releases(run, apt_archive, suites, files, live=files, now=now)
        return replace(draft, suites=())

    def has_to_renew(self, apt_archive: AptArchive, now: Distribution | None) -> bool:
        """Return whether a Release signed by this process has passed half of its validity."""
        signed_here = self._signed_here(apt_archive, now)
        return any(expires(apt_archive, text, apt_archive.seen_at) for text in signed_here)

    def go_live(
        self,
        run: RunLog,
        conn: Connection,
        apt_archive: AptArchive,
        generation_id: str,
        draft: GenerationDraft,
    ) -> None:
        """Make a draft live as a generation, and clear the marks of its changes.

        Args:
            run: the run that made it.
            conn: a transaction of the lock's holder.
            apt_archive: the archive, with the holds of its suites.
            generation_id: id of the generation, whose row may already exist.
            draft: the draft.
        """
        # A suite whose hold was lifted has its old packages until its index files are built again.
        held = {**draft.older}
        held |= {s.id: s.held.content_number for s in apt_archive.suites if s.held is not None}
        contents = set(held.values())
        all_of_one = len(contents) == 1 and len(held) == len(apt_archive.suites)
        new = generations.NewGeneration(
            id=generation_id,
            archive_id=apt_archive.id,
            run_id=run.id,
            caller=run.caller,
            holds=held,
            content_number=contents.pop() if all_of_one else None,
            releases=[text for texts in draft.releases.values() for text in texts],
            shown=draft.shown,
            seen=_seen(draft),
        )
        if draft.blocks:
            indices.add_blocks(conn, draft.blocks)
        generations.go_live(conn, new, draft.closed, draft.opened)

    def settle_same(
        self, conn: Connection, live: Generation, apt_archive: AptArchive, draft: GenerationDraft
    ) -> None:
        """Clear the marks of changes, if a draft equals the live generation."""
        generations.settle(conn, live.number, draft.shown, _seen(draft))
        held = {suite.id for suite in apt_archive.suites if suite.held is not None}
        holds.settle_lifted(conn, live, [s.id for s in draft.suites if s.id not in held])

    def go_back(self, run: RunLog, apt_archive: AptArchive, back: Rollback, reason: str) -> None:
        """Show clients the packages of an older generation, until the holds are lifted."""
        going_back = back.suites(apt_archive, run.caller)
        held = {suite.id: suite for suite in going_back}
        apt_archive = replace(
            apt_archive, suites=tuple(held.get(suite.id, suite) for suite in apt_archive.suites)
        )
        # Clients refuse a Release that is older than theirs, so the old Releases cannot be used
        # again.
        live = self._index_files(going_back, back.now)
        draft = self._with_releases(
            run, apt_archive, going_back, back.files, live=live, now=back.now
        )
        # Changes since then stay invisible, so no mark is cleared.
        draft = replace(draft, suites=())
        # The note is permanent; the rows of the holds are deleted when the holds are lifted.
        run.note(back.note(going_back, reason))
        run.phase("go_live")
        with run.ending({"generations": int(draft.differs)}) as conn:
            holds.hold_suites(conn, back.contents, back.target.id, run.caller, reason)
            if draft.differs:
                self.go_live(run, conn, apt_archive, new_id(), draft)

    def _with_releases(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        suites: Sequence[Suite],
        files: Sequence[IndexFile],
        *,
        live: Sequence[IndexFile],
        now: Distribution | None,
        options: Options | None = None,
    ) -> GenerationDraft:
        """Compare index files with the live ones, and write the Releases that list them."""
        run.phase("release")
        old = self._releases(suites, now)
        releases: dict[int, Sequence[ReleaseText]] = {}
        for suite in suites:
            new = self.releaser.suite(
                run,
                apt_archive,
                suite,
                [file for file in files if file.suite_id == suite.id],
                old=[text for text in old if text.suite_id == suite.id],
                always=options is not None and options.wants("release"),
            )
            if new is not None:
                releases[suite.id] = new
        return GenerationDraft(
            suites=tuple(suites),
            # Compared by value: an index that did not change stays open, and nothing goes live for
            # it.
            opened=tuple(set(files) - set(live)),
            closed=tuple(set(live) - set(files)),
            releases=releases,
            older=now.older if now else {},
        )

    def _index_files(self, suites: Sequence[Suite], now: Distribution | None) -> list[IndexFile]:
        if now is None:
            return []
        with self.database.plain_connection() as conn:
            return indices.index_files_of(conn, [suite.id for suite in suites], now.live.number)

    def _releases(self, suites: Sequence[Suite], now: Distribution | None) -> list[ReleaseText]:
        if now is None:
            return []
        with self.database.plain_connection() as conn:
            return indices.releases_of(conn, [suite.id for suite in suites], now.live.number)

    def _signed_here(self, apt_archive: AptArchive, now: Distribution | None) -> list[ReleaseText]:
        texts = self._releases(apt_archive.suites, now)
        return [text for text in texts if text.signed_by == self.releaser.signer]


def _seen(draft: GenerationDraft) -> generations.SeenMarks:
    return {suite.id: (suite.dirty_since, suite.rebuild_since) for suite in draft.suites}
