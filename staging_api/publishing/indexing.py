"""The index files of a suite: new ones out of old ones and of what changed.

An index of which a package changed is cut again round that package only; all others are taken over
as they are. An entry always comes from `_entry`, and is known by the key that it has there: so what
takes a package out of an index finds what put it in.

What if the process dies? Blocks may have been kept that no layout names, as `block_writer` says;
nothing else was written.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from staging_api.db.engine import Database
from staging_api.debian.dsc import SourceFile
from staging_api.publishing import rows
from staging_api.publishing.block_writer import BlockWriter
from staging_api.publishing.blocks import BlockRef, PlainBlock, cut, recut
from staging_api.publishing.index_model import IndexFile, Package, Unlisted
from staging_api.publishing.indices import Entry, binary_entry, entries_of, source_entry
from staging_api.publishing.model import AptArchive, Suite
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.places import Changes, IndexPlace, changes_in, places_of
from staging_api.publishing.runlog import RunLog

SourceFiles = Mapping[int, Sequence[Row[Any]]]


@dataclass(frozen=True)
class SuiteIndices:
    """What a suite's index files become.

    Attributes:
        files: all of them, in every form.
        shown: the publications that they list and older ones did not, or the other way round.
    """

    files: tuple[IndexFile, ...]
    shown: tuple[Unlisted, ...]


@dataclass(frozen=True)
class Indexer:
    """Makes the index files of suites."""

    database: Database
    reader: BlockReader
    hashes: FileHashes

    def suite(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        suite: Suite,
        base: Sequence[IndexFile],
        *,
        full: bool,
    ) -> SuiteIndices:
        """Return the index files of a suite as its packages are now.

        Args:
            run: the run that makes them.
            apt_archive: the archive of the suite.
            suite: the suite.
            base: its index files before the changes that are not listed yet.
            full: make all of them from all packages.
        """
        with self.database.connect() as conn:
            unlisted = rows.unlisted(conn, suite.id)
            installer = rows.has_installer(conn, suite.id)
            changed = [] if full else _with_entries(conn, unlisted)
        files: list[IndexFile] = []
        for place in places_of(suite, installer=installer):
            old = [file for file in base if file.path == place.path]
            if full or not _are_all_forms(old, apt_archive):
                files += self._rebuilt(run, apt_archive, suite, place)
            elif changes := changes_in(place, changed):
                files += self._changed(run, apt_archive, suite, place, old=old, changes=changes)
            else:
                files += old
        return SuiteIndices(tuple(files), tuple(unlisted))

    def _rebuilt(
        self, run: RunLog, apt_archive: AptArchive, suite: Suite, place: IndexPlace
    ) -> Iterator[IndexFile]:
        """Make an index from all of its packages."""
        with self.database.connect() as conn:
            entries = sorted(_all_entries(conn, suite, place), key=lambda entry: entry.key)
        return self._files(run, apt_archive, suite, place, list(cut(entries)))

    def _changed(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        suite: Suite,
        place: IndexPlace,
        *,
        old: Sequence[IndexFile],
        changes: Changes,
    ) -> Iterator[IndexFile]:
        """Make an index from what it was and what changed."""
        with self.database.connect() as conn:
            layout = rows.layout(conn, old[0].layout)
        return self._files(run, apt_archive, suite, place, list(recut(layout, changes, self._load)))

    def _load(self, ref: BlockRef) -> list[Entry]:
        return entries_of(b"".join(self.reader.read([ref.sha256], "plain")))

    def _files(
        self,
        run: RunLog,
        apt_archive: AptArchive,
        suite: Suite,
        place: IndexPlace,
        cut_blocks: Sequence[BlockRef | PlainBlock],
    ) -> Iterator[IndexFile]:
        """Keep the blocks of an index; give it in every form."""
        new = [each for each in cut_blocks if isinstance(each, PlainBlock)]
        BlockWriter(self.database, self.reader).keep(run, new, apt_archive.forms)
        blocks = [
            (each.ref if isinstance(each, PlainBlock) else each).sha256 for each in cut_blocks
        ]
        layout = rows.layout_name(blocks)
        # The plain name is listed even where clients cannot get it: apt wants to know its hash.
        for form in dict.fromkeys(("plain", *apt_archive.forms)):
            digest = self.hashes.measure((suite.id, place.path), form, blocks)
            yield IndexFile(
                suite_id=suite.id,
                path=place.path,
                form=form,
                served=form in apt_archive.forms,
                layout=layout,
                size_bytes=digest.size_bytes,
                sha256=digest.sha256,
                blocks=tuple(blocks),
            )


def _are_all_forms(files: Sequence[IndexFile], apt_archive: AptArchive) -> bool:
    """Return whether an index is there in just the forms that the archive offers."""
    return bool(files) and {each.form for each in files if each.served} == set(apt_archive.forms)


def _with_entries(conn: Connection, unlisted: Sequence[Unlisted]) -> list[tuple[Unlisted, Entry]]:
    files = _source_files(conn, unlisted)
    return [(package, _entry(package, files)) for package in unlisted]


def _all_entries(conn: Connection, suite: Suite, place: IndexPlace) -> Iterator[Entry]:
    """Return the entries of all packages of an index."""
    if place.architecture:
        packages = rows.listed_binaries(
            conn, suite.id, place.component, place.architecture, installer=place.installer
        )
    else:
        packages = rows.listed_sources(conn, suite.id, place.component)
    files = _source_files(conn, packages)
    return (_entry(package, files) for package in packages)


def _source_files(conn: Connection, packages: Iterable[Package]) -> SourceFiles:
    return rows.source_files_of(
        conn, [each.source_release_id for each in packages if each.source_release_id is not None]
    )


def _entry(package: Package, source_files: SourceFiles) -> Entry:
    """Return the entry of a package; the one place where it gets its key."""
    if package.source_release_id is None:
        return binary_entry(package.control, package.path, package.size_bytes, package.sha256)
    files = source_files[package.source_release_id]
    folder = files[0].path.rpartition("/")[0]
    named = [SourceFile(f.path.rpartition("/")[2], f.size_bytes, f.sha256) for f in files]
    return source_entry(package.control, folder, named[0], tuple(named[1:]))
