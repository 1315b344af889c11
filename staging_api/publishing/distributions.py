"""Distributions and generations of each archive: read them, and pin generations.

Only `publishing.service` changes what clients see; pins need no lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from staging_api.db.engine import Database
from staging_api.errors import Conflict, NotFound
from staging_api.paging import Page, page_of
from staging_api.publishing.index_model import ArchiveFile
from staging_api.publishing.model import Distribution, Generation
from staging_api.publishing.rows import apt_archives, decisions, generations, indices, serving
from staging_api.vocabulary.publishing import KEPT_GENERATION_STATES, ArchiveDecision


@dataclass(frozen=True)
class FilePage:
    """A page of files of an archive, in the order in which a copy must write them.

    Attributes:
        generation_id: the generation of the index files.
        next: the path after which the next page begins; None: this is the last page.
    """

    generation_id: str
    items: Sequence[ArchiveFile]
    next: str | None


@dataclass(frozen=True)
class DistributionService:
    """The use cases of distributions and generations that do not change what clients see."""

    database: Database

    def all(self) -> list[Distribution]:
        """Return the distributions of all published archives, ordered by name."""
        with self.database.connect() as conn:
            names = apt_archives.apt_archive_names(conn)
            found = [generations.find_distribution(conn, name) for name in names]
        return [distribution for distribution in found if distribution is not None]

    def find(self, name: str) -> Distribution:
        """Return the distribution of an archive.

        Raises:
            NotFound: there is no such archive, or it has not been published.
        """
        with self.database.connect() as conn:
            found = generations.find_distribution(conn, name)
        if found is None:
            raise NotFound(f"no archive {name} has been published")
        return found

    def generations(self, name: str, *, limit: int, after: str | None) -> Page[Generation]:
        """List the generations of an archive, newest first.

        Raises:
            NotFound: there is no such archive.
        """
        with self.database.connect() as conn:
            archive_id = apt_archives.find_apt_archive(conn, name).id
            return page_of(
                lambda count: generations.list_generations(
                    conn, archive_id, limit=count, after=after
                ),
                limit,
            )

    def signers(self, name: str) -> Mapping[str, str | None]:
        """Return by suite the fingerprint of the key that signed the live Release.

        A suite without a signature is left out; None: the key was not recorded.

        Raises:
            NotFound: there is no such archive.
        """
        with self.database.connect() as conn:
            archive = apt_archives.find_apt_archive(conn, name)
            seen = generations.find_distribution(conn, name)
            if seen is None:
                return {}
            names = {suite.id: suite.name for suite in archive.suites}
            texts = indices.releases_of(conn, list(names), seen.live.number)
        return {names[each.suite_id]: each.signed_by for each in texts if each.name == "InRelease"}

    def set_pin(self, generation_id: str, caller: str, *, pinned: bool) -> Generation:
        """Pin a generation, so that it is kept with all packages that it lists; or unpin it.

        Raises:
            NotFound: there is no such generation.
            Conflict: its files have been removed, or it never went live.
        """
        with self.database.begin() as conn:
            done = generations.set_pin(conn, generation_id, caller, pinned=pinned)
            generation = generations.find_generation(conn, generation_id)
            if done:
                decision: ArchiveDecision = "pin" if pinned else "unpin"
                decisions.add_pin_decision(conn, generation_id, caller, decision)
        if not done:
            raise Conflict(f"generation {generation_id} is {generation.state}: nothing to keep")
        return generation

    def files(
        self,
        name: str,
        *,
        generation_id: str | None,
        part: Literal["pool", "dists"],
        after: str,
        limit: int,
    ) -> FilePage:
        """List the files of the pool, in pages; or all files of the dists of a generation.

        Args:
            name: name of the archive.
            generation_id: generation of the dists; None: the live one.
            part: ``pool`` or ``dists``.
            after: path after which a page of the pool begins.
            limit: number of files on a page of the pool.

        Raises:
            NotFound: there is no such archive, it has not been published, or it does not keep the
                generation.
        """
        live = self.find(name).live
        with self.database.connect() as conn:
            if generation_id is None:
                generation_id = live.id
            elif not _is_kept(generations.find_generation(conn, generation_id), name):
                raise NotFound(f"{name} keeps no generation {generation_id}")
            if part == "dists":
                files = list(serving.dists_list(conn, name, generation_id))
                return FilePage(generation_id, files, None)
            files = serving.pool_list(conn, name, after=after, limit=limit)
        # A full page may be the last one. In that case the next page is empty, at the cost of one
        # request.
        return FilePage(generation_id, files, files[-1].path if len(files) == limit else None)


def _is_kept(generation: Generation, name: str) -> bool:
    return generation.archive == name and generation.state in KEPT_GENERATION_STATES
