"""Build the new index files of a suite from the old ones and the changes.

An index with a changed package is cut again only around that package; all other index files are
reused unchanged. All entries are made by `_entry` and identified by their keys, so that removing a
package from an index finds the entry that was added for it.

What if the process dies? Blocks of an index that was built from all packages may be stored without
a layout that names them, see `block_writer`; nothing else was written.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from staging_api.db.engine import Database
from staging_api.db.plain_connection import Statements
from staging_api.debian.dsc import SourceFile
from staging_api.publishing.block_writer import BlockWriter
from staging_api.publishing.blocks import BlockRef, PlainBlock, cut, recut
from staging_api.publishing.index_model import IndexFile, Package, Unlisted
from staging_api.publishing.indices import IndexEntry, binary_entry, source_entry
from staging_api.publishing.model import AptArchive, Suite
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.places import (
    Changes,
    IndexPlace,
    changes_in,
    is_for_installer,
    places_of,
)
from staging_api.publishing.rows import indices, packages
from staging_api.publishing.runlog import RunLog

SourceFiles = Mapping[int, Sequence[Row[Any]]]


@dataclass(frozen=True)
class BuiltIndices:
    """New index files of some suites.

    Attributes:
        files: all index files, in every form.
        shown: the publications that are newly listed, or no longer listed.
        blocks: the rows of blocks that are not stored yet.
    """

    files: tuple[IndexFile, ...]
    shown: tuple[Unlisted, ...]
    blocks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Indexer:
    """Builds the index files of suites."""

    database: Database
    reader: BlockReader
    hashes: FileHashes

    def suites(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        suites: Sequence[Suite],
        live: Sequence[IndexFile],
        *,
        full: bool,
    ) -> BuiltIndices:
        """Return the index files of suites for the current packages.

        Args:
            run: the run that builds them.
            apt_archive: the archive of the suites.
            suites: the suites.
            live: their index files before the unlisted changes.
            full: build all of them from all packages.
        """
        whole = {suite.id for suite in suites if full or suite.rebuild_since is not None}
        with self.database.plain_connection() as conn:
            unlisted = packages.unlisted(conn, [suite.id for suite in suites]) if suites else []
            changed = _with_entries(conn, [each for each in unlisted if each.suite_id not in whole])
        made: list[IndexFile | _Cut] = []
        for suite in suites:
            base = _by_path(file for file in live if file.suite_id == suite.id)
            known = None if suite.id in whole else _changes_of(suite, changed)
            made += self._of_suite(run, apt_archive, suite, base, known)
        files = [each for each in made if isinstance(each, IndexFile)]
        cuts = [each for each in made if isinstance(each, _Cut)]
        return self._with_changed(run, apt_archive, cuts, files, unlisted)

    def _of_suite(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        suite: Suite,
        base: Mapping[str, list[IndexFile]],
        changed: Sequence[tuple[Unlisted, IndexEntry]] | None,
    ) -> "Iterator[IndexFile | _Cut]":
        """Yield the unchanged index files of a suite, and those that were cut again.

        Args:
            run: the run that builds them.
            apt_archive: the archive of the suite.
            suite: the suite.
            base: its index files before the changes, by path.
            changed: its packages with unlisted changes; None: build from all packages.
        """
        installer = self._has_installer(suite, list(base), changed)
        for place in places_of(suite, installer=installer):
            old = base.get(place.path, [])
            if changed is None or not _are_all_forms(old, apt_archive):
                yield from self._rebuilt(run, apt_archive, suite, place)
            elif changes := changes_in(place, changed):
                # Any form can be used: all forms of an index have the same blocks.
                yield _Cut(suite.id, place, self._recut(old[0], changes))
            else:
                yield from old

    def _with_changed(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        cuts: "Sequence[_Cut]",
        files: list[IndexFile],
        unlisted: Sequence[Unlisted],
    ) -> BuiltIndices:
        """Add the files that were cut again; compress the new blocks of all of them together."""
        new = [block for cut_again in cuts for block in cut_again.new]
        writer = BlockWriter(self.database, self.reader)
        blocks = writer.packed(run, new, apt_archive.forms)
        for cut_again in cuts:
            files += self._files(apt_archive, cut_again)
        return BuiltIndices(tuple(files), tuple(unlisted), tuple(blocks))

    def _has_installer(
        self,
        suite: Suite,
        base: Sequence[str],
        changed: Sequence[tuple[Unlisted, IndexEntry]] | None,
    ) -> bool:
        """Return whether a suite has packages for the installer.

        If no installer package has changed, the paths of the index files are sufficient to decide.
        """
        if base and changed is not None and not any(package.installer for package, _ in changed):
            return any(map(is_for_installer, base))
        with self.database.plain_connection() as conn:
            return packages.has_installer(conn, suite.id)

    def _rebuilt(
        self, run: RunLog, apt_archive: AptArchive, suite: Suite, place: IndexPlace
    ) -> Iterator[IndexFile]:
        """Build an index from all of its packages."""
        with self.database.plain_connection() as conn:
            entries = sorted(_all_entries(conn, suite, place), key=lambda entry: entry.key)
        made = _Cut(suite.id, place, list(cut(entries)))
        BlockWriter(self.database, self.reader).keep(run, made.new, apt_archive.forms)
        return self._files(apt_archive, made)

    def _recut(self, old: IndexFile, changes: Changes) -> list[BlockRef | PlainBlock]:
        """Cut an index again from its old blocks and the changes."""
        return list(recut(self.reader.layout(old.layout), changes, self._load))

    def _load(self, ref: BlockRef) -> Sequence[IndexEntry]:
        return self.reader.entries(ref.sha256)

    def _files(self, apt_archive: AptArchive, made: "_Cut") -> Iterator[IndexFile]:
        """Yield an index in every form."""
        refs = made.refs
        blocks = [each.sha256 for each in refs]
        layout = indices.layout_name(blocks)
        self.reader.remember_layout(layout, refs)
        # The plain name is listed even if clients cannot fetch it: apt needs its hash.
        for form in dict.fromkeys(("plain", *apt_archive.forms)):
            digest = self.hashes.measure((made.suite_id, made.place.path), form, blocks)
            yield IndexFile(
                suite_id=made.suite_id,
                path=made.place.path,
                form=form,
                served=form in apt_archive.forms,
                layout=layout,
                size_bytes=digest.size_bytes,
                sha256=digest.sha256,
                blocks=tuple(blocks),
            )


@dataclass(frozen=True)
class _Cut:
    """An index file of a suite, cut into blocks of which some may be new."""

    suite_id: int
    place: IndexPlace
    blocks: Sequence[BlockRef | PlainBlock]

    @property
    def new(self) -> list[PlainBlock]:
        return [each for each in self.blocks if isinstance(each, PlainBlock)]

    @property
    def refs(self) -> list[BlockRef]:
        return [each.ref if isinstance(each, PlainBlock) else each for each in self.blocks]


def _changes_of(
    suite: Suite, changed: Iterable[tuple[Unlisted, IndexEntry]]
) -> list[tuple[Unlisted, IndexEntry]]:
    return [each for each in changed if each[0].suite_id == suite.id]


def _by_path(files: Iterable[IndexFile]) -> Mapping[str, list[IndexFile]]:
    found: defaultdict[str, list[IndexFile]] = defaultdict(list)
    for file in files:
        found[file.path].append(file)
    return found


def _are_all_forms(files: Sequence[IndexFile], apt_archive: AptArchive) -> bool:
    """Return whether an index exists in exactly the forms that the archive offers."""
    return bool(files) and {each.form for each in files if each.served} == set(apt_archive.forms)


def _with_entries(
    conn: Statements, unlisted: Sequence[Unlisted]
) -> list[tuple[Unlisted, IndexEntry]]:
    files = _source_files(conn, unlisted)
    return [(package, _entry(package, files)) for package in unlisted]


def _all_entries(conn: Statements, suite: Suite, place: IndexPlace) -> Iterator[IndexEntry]:
    """Return the entries of all packages of an index."""
    if place.architecture:
        listed = packages.listed_binaries(
            conn, suite.id, place.component, place.architecture, installer=place.installer
        )
    else:
        listed = packages.listed_sources(conn, suite.id, place.component)
    files = _source_files(conn, listed)
    return (_entry(package, files) for package in listed)


def _source_files(conn: Statements, listed: Iterable[Package]) -> SourceFiles:
    return packages.source_files_of(
        conn, [each.source_release_id for each in listed if each.source_release_id is not None]
    )


def _entry(package: Package, source_files: SourceFiles) -> IndexEntry:
    """Create the entry of a package; the only place that assigns its key."""
    if package.source_release_id is None:
        return binary_entry(package.control, package.path, package.size_bytes, package.sha256)
    folder, _, _ = package.path.rpartition("/")
    dsc, *others = (
        SourceFile(f.path.removeprefix(f"{folder}/"), f.size_bytes, f.sha256)
        for f in source_files[package.source_release_id]
    )
    return source_entry(package.control, folder, dsc, tuple(others))
