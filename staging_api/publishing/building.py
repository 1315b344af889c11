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
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.errors import Conflict
from staging_api.locks.model import new_id
from staging_api.publishing import rows
from staging_api.publishing.index_model import IndexFile, ReleaseText, Unlisted
from staging_api.publishing.indexing import Indexer
from staging_api.publishing.model import AptArchive, Distribution, Generation, Suite, SuiteHold
from staging_api.publishing.releasing import Releaser, expires
from staging_api.publishing.run_model import Options
from staging_api.publishing.runlog import RunLog
from staging_api.vocabulary.publishing import KEPT_GENERATION_STATES


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
            suites: those to look at; one that is held keeps its packages.
            now: what clients see; None before the first generation.
            options: how thorough to be.
        """
        careful = options.wants("indices")
        run.phase("index", lasting=now is None or careful)
        live = self._index_files(suites, now.live if now else None)
        files: list[IndexFile] = []
        shown: list[Unlisted] = []
        for suite in suites:
            own = [each for each in live if each.suite_id == suite.id]
            if suite.held is not None:
                files += own
                continue
            whole = careful or suite.rebuild_since is not None
            made = self.indexer.suite(run, archive, suite, own, careful=whole)
            files += made.files
            shown += made.shown
        draft = self.press(run, archive, suites, files=files, now=now, options=options)
        run.counts["index_files"] += len(draft.opened)
        return replace(draft, shown=tuple(shown))

    def press(
        self,
        run: RunLog,
        archive: AptArchive,
        suites: Sequence[Suite],
        *,
        files: Sequence[IndexFile] | None = None,
        now: Distribution | None,
        options: Options,
    ) -> Draft:
        """What differs between index files and what clients see, with the Releases that say so.

        Args:
            run: the run that wants it.
            archive: that the suites are of.
            suites: those to look at.
            files: which index files they are to have; None for those that clients see.
            now: what clients see; None before the first generation.
            options: whether to write Releases that differ in their date only.
        """
        run.phase("release")
        live = self._index_files(suites, now.live if now else None)
        files = live if files is None else files
        ids = [suite.id for suite in suites]
        with self.database.connect() as conn:
            old = rows.releases_of(conn, ids, now.live.number) if now else []
        always = options.wants("release")
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
        )

    def has_to_renew(self, archive: AptArchive, now: Distribution | None) -> bool:
        """Whether half of the time of a Release is over that this process signs."""
        mine = self._signed_here(archive, now)
        return any(expires(archive, text, archive.seen_at) for text in mine)

    def renewal(self, run: RunLog, archive: AptArchive, now: Distribution | None) -> Draft:
        """The Releases of which half of the time is over, over the same index files.

        Those that another key has signed are left to whoever has that.
        """
        mine = {text.suite_id for text in self._signed_here(archive, now)}
        suites = [suite for suite in archive.suites if suite.id in mine]
        draft = self.press(run, archive, suites, now=now, options=Options())
        return replace(draft, suites=())

    def _signed_here(self, archive: AptArchive, now: Distribution | None) -> list[ReleaseText]:
        if now is None:
            return []
        ids = [suite.id for suite in archive.suites]
        with self.database.connect() as conn:
            texts = rows.releases_of(conn, ids, now.live.number)
        return [text for text in texts if text.signed_by == self.releaser.signer]

    def _index_files(
        self, suites: Sequence[Suite], generation: Generation | None
    ) -> list[IndexFile]:
        if generation is None:
            return []
        ids = [suite.id for suite in suites]
        with self.database.connect() as conn:
            return rows.index_files_of(conn, ids, generation.number)

    def go_live(
        self,
        conn: Connection,
        archive: AptArchive,
        generation_id: str,
        draft: Draft,
        run: RunLog,
    ) -> None:
        """Let clients see a draft as a generation, and clear what was dirty.

        Args:
            conn: a transaction of the lock's holder.
            archive: of which archive; its suites say which of them are held.
            generation_id: of the generation; it may have been begun.
            draft: what it is.
            run: the run that made it.
        """
        held = {suite.id: suite.held.content_number for suite in archive.suites if suite.held}
        contents = set(held.values())
        number = rows.go_live(
            conn,
            generation_id,
            archive.id,
            run.caller,
            is_head=not held,
            run_id=run.id,
            content_number=(
                min(contents) if len(contents) == 1 and len(held) == len(archive.suites) else None
            ),
        )
        rows.keep_holds(conn, generation_id, held)
        rows.close(conn, number, draft.closed, draft.releases.keys())
        rows.open_files(conn, number, draft.opened)
        texts = [text for texts in draft.releases.values() for text in texts]
        rows.add_releases(conn, number, texts)
        self.settle(conn, number, draft)

    def settle(self, conn: Connection, number: int, draft: Draft) -> None:
        """Clear what was dirty where a generation shows things as they are."""
        rows.mark_listed(conn, number, draft.shown)
        rows.clear_dirty(
            conn, {suite.id: (suite.dirty_since, suite.rebuild_since) for suite in draft.suites}
        )

    def go_back(self, run: RunLog, archive: AptArchive, wish: "Return", caller: str) -> None:
        """Let clients see the packages of an older generation again, until they are lifted.

        It is a new generation, of the old one's index files and a Release of today: clients refuse
        a Release that is older than theirs.

        Raises:
            NotFound, Conflict: as with `returning`.
        """
        back = self.returning(archive, wish)
        archive = _held(archive, back.contents, back.target, caller)
        suites = [suite for suite in archive.suites if suite.id in back.contents]
        draft = self.press(run, archive, suites, files=back.files, now=back.now, options=Options())
        # What changed meanwhile is as unseen as before.
        draft = replace(draft, suites=())
        run.phase("go_live")
        with run.writing() as conn:
            rows.hold_suites(conn, back.contents, back.target.id, caller, wish.reason)
            if draft.differs:
                self.go_live(conn, archive, new_id(), draft, run)
                run.counts["generations"] += 1

    def returning(self, archive: AptArchive, wish: "Return") -> "Returning":
        """What going back comes to, if it can be done.

        Raises:
            NotFound: there is no such generation.
            Conflict: it is of another archive, or its files are not kept any more, or it does not
                have one of the suites.
        """
        with self.database.connect() as conn:
            now = rows.find_distribution(conn, archive.name)
            if now is None:
                raise Conflict(f"nothing of {archive.name} has been published")
            target_id = wish.generation_id or now.live.id
            target = rows.find_generation(conn, target_id)
            contents = rows.contents_of(conn, target_id)
        kept = target.archive == archive.name and target.state in KEPT_GENERATION_STATES
        if not kept:
            raise Conflict(f"generation {target_id} of {target.archive} is {target.state}")
        files = self._index_files(archive.suites, target)
        ids = {suite.id for suite in _chosen(archive, files, wish, target)}
        return Returning(
            now=now,
            target=target,
            contents={suite_id: contents[suite_id] for suite_id in ids},
            files=tuple(each for each in files if each.suite_id in ids),
        )


@dataclass(frozen=True)
class Return:
    """A wish to go back.

    Attributes:
        generation_id: to whose packages; None for those that clients see now.
        suites: names of the suites that are to; none for all that the generation has.
        reason: why, in the words of who wishes it.
    """

    generation_id: str | None = None
    suites: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Returning:
    """Going back, as it can be done.

    Attributes:
        now: what clients see.
        target: the generation whose packages they are to see.
        contents: by suite that goes back, the number of its content in that.
        files: the index files of those suites in that.
    """

    now: Distribution
    target: Generation
    contents: Mapping[int, int]
    files: tuple[IndexFile, ...]


def _chosen(
    archive: AptArchive, files: Sequence[IndexFile], wish: Return, target: Generation
) -> list[Suite]:
    """The suites that go back: those that are asked for, or all that the generation has."""
    there = {each.suite_id for each in files}
    missing = [
        suite.name
        for suite in archive.suites
        if suite.name in wish.suites and suite.id not in there
    ]
    if missing:
        raise Conflict(f"generation {target.id} has no suite {', '.join(missing)}")
    return [
        suite
        for suite in archive.suites
        if suite.id in there and (not wish.suites or suite.name in wish.suites)
    ]


def _held(
    archive: AptArchive, contents: Mapping[int, int], target: Generation, caller: str
) -> AptArchive:
    """The archive as it is once these suites are held at the contents of a generation."""
    suites = tuple(
        replace(
            suite,
            held=SuiteHold(
                suite.name, target.id, contents[suite.id], archive.seen_at, caller, reason=""
            ),
        )
        if suite.id in contents
        else suite
        for suite in archive.suites
    )
    return replace(archive, suites=suites)
