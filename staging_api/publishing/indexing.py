"""The index files of a suite: which ones it has, and new ones out of old ones and what changed.

An index of which a package changed is cut again round that package only; all others are taken over
as they are. Either way an entry comes from `_entry`, and is known by the key that it has there: so
what takes a package out of an index finds what put it in.

Blocks that have to be compressed are compressed by a few threads, outside of any transaction, and
kept some at a time: if the process dies, nothing names them, and the next run, which cuts the same
blocks, finds them done.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from staging_api.db.engine import Database
from staging_api.debian.dsc import SourceFile
from staging_api.debian.forms import pack
from staging_api.publishing import rows
from staging_api.publishing.blocks import BlockRef, PlainBlock, cut, recut
from staging_api.publishing.index_model import FORM_OF, IndexFile, Package, Unlisted
from staging_api.publishing.indices import (
    Entry,
    binary_entry,
    entries_of,
    packages_path,
    source_entry,
    sources_path,
)
from staging_api.publishing.model import AptArchive, Suite
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.runlog import RunLog

_THREADS = 2
_KEPT_AT_ONCE = 32

#: What changes in one index file: by key, the entry to put there, or None to take it away.
Changes = dict[bytes, Entry | None]
SourceFiles = Mapping[int, Sequence[Row[Any]]]


@dataclass(frozen=True)
class IndexPlace:
    """One index file of a suite; `architecture` is "" for the sources."""

    component: str
    architecture: str
    installer: bool = False

    @property
    def path(self) -> str:
        """Below the suite, without the ending of a form."""
        if not self.architecture:
            return sources_path(self.component)
        return packages_path(self.component, self.architecture, installer=self.installer)


@dataclass(frozen=True)
class SuiteIndices:
    """What a suite's index files become.

    Attributes:
        files: all of them, in every form.
        shown: the publications that they show and older ones did not, or the other way round.
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
        archive: AptArchive,
        suite: Suite,
        base: Sequence[IndexFile],
        *,
        careful: bool,
    ) -> SuiteIndices:
        """The index files of a suite as its packages are now.

        Args:
            run: the run that wants them.
            archive: that the suite is of.
            suite: the suite.
            base: its index files before the changes that are not listed yet.
            careful: make all of them from all packages.
        """
        with self.database.connect() as conn:
            unlisted = rows.unlisted(conn, suite.id)
            installer = rows.has_installer(conn, suite.id)
            places = [each for each in _places(suite) if installer or not each.installer]
            known = [place for place in places if not careful and _is_in(place, base)]
            changes = _changes(conn, unlisted, known)
        files: list[IndexFile] = []
        for place in places:
            old = [each for each in base if each.path == place.path]
            whole = place not in changes or not _offers(old, archive)
            if not whole and not changes[place]:
                files += old
                continue
            asked = None if whole else changes[place]
            layout = self._blocks(run, archive, suite, place, old=old, changes=asked)
            files += self._files(archive, suite, place, layout)
        return SuiteIndices(tuple(files), tuple(unlisted))

    def _blocks(
        self,
        run: RunLog,
        archive: AptArchive,
        suite: Suite,
        place: IndexPlace,
        *,
        old: Sequence[IndexFile],
        changes: Changes | None,
    ) -> list[str]:
        """The blocks of an index, all of them kept; `changes` of None: made from all packages."""
        with self.database.connect() as conn:
            if changes is None:
                entries = sorted(_entries(conn, suite, place), key=lambda entry: entry.key)
                made: Iterable[BlockRef | PlainBlock] = cut(entries)
            else:
                made = recut(rows.layout(conn, old[0].layout), changes, self._load)
            made = list(made)
        forms = [word for word in archive.forms if word in ("gz", "xz")]
        self._keep(run, [each for each in made if isinstance(each, PlainBlock)], forms)
        return [(each.ref if isinstance(each, PlainBlock) else each).sha256 for each in made]

    def _load(self, ref: BlockRef) -> list[Entry]:
        return entries_of(b"".join(self.reader.read([ref.sha256], "plain")))

    def _keep(self, run: RunLog, blocks: Sequence[PlainBlock], words: Sequence[str]) -> None:
        """Compress and keep the blocks that are not there yet in every form that is asked for."""
        if not blocks:
            return
        with self.database.connect() as conn:
            known = rows.known_blocks(conn, [each.ref.sha256 for each in blocks], words)
        new = [each for each in blocks if each.ref.sha256 not in known]
        with ThreadPoolExecutor(_THREADS, "compress") as pool:
            for start in range(0, len(new), _KEPT_AT_ONCE):
                some = new[start : start + _KEPT_AT_ONCE]
                records = self._packed(pool, some, words)
                with run.writing() as conn:
                    rows.add_blocks(conn, records)
                run.progress(start + len(some), len(new))
        run.counts["blocks"] += len(new)

    def _packed(
        self, pool: Executor, blocks: Sequence[PlainBlock], words: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """The rows of blocks; each form is a task of its own, since most runs have one block."""
        # xz, which takes longest by far, begins first.
        asked = [word for word in ("xz", "gz", "zst") if word in (*words, "zst")]
        tasks = [(word, block) for word in asked for block in blocks]
        packed = pool.map(lambda task: pack(FORM_OF[task[0]], task[1].text), tasks)
        pieces: dict[str, dict[str, bytes]] = {block.ref.sha256: {} for block in blocks}
        for (word, block), piece in zip(tasks, packed, strict=True):
            pieces[block.ref.sha256][word] = piece
            self.reader.remember(block.ref.sha256, word, piece)
        for block in blocks:
            self.reader.remember(block.ref.sha256, "plain", block.text)
        return [_row(block, pieces[block.ref.sha256]) for block in blocks]

    def _files(
        self, archive: AptArchive, suite: Suite, place: IndexPlace, blocks: Sequence[str]
    ) -> Iterator[IndexFile]:
        layout = rows.layout_name(blocks)
        # The plain name is listed even where nobody can fetch it: apt wants to know its hash.
        for word in dict.fromkeys(("plain", *archive.forms)):
            digest = self.hashes.measure((suite.id, place.path), word, blocks)
            yield IndexFile(
                suite_id=suite.id,
                path=place.path,
                form=word,
                served=word in archive.forms,
                layout=layout,
                size_bytes=digest.size_bytes,
                sha256=digest.sha256,
                blocks=tuple(blocks),
            )


def _row(block: PlainBlock, pieces: Mapping[str, bytes]) -> Mapping[str, Any]:
    return {
        "sha256": block.ref.sha256,
        "last_key": block.ref.last_key,
        "entries": block.entries,
        "plain_bytes": len(block.text),
        "zst": pieces["zst"],
        "gz": pieces.get("gz"),
        "xz": pieces.get("xz"),
    }


def _places(suite: Suite) -> Iterator[IndexPlace]:
    """All index files that a suite may have."""
    for component in suite.components:
        for architecture in suite.architectures:
            yield IndexPlace(component, architecture)
            yield IndexPlace(component, architecture, installer=True)
        yield IndexPlace(component, "")


def _is_in(place: IndexPlace, files: Sequence[IndexFile]) -> bool:
    return any(each.path == place.path for each in files)


def _offers(files: Sequence[IndexFile], archive: AptArchive) -> bool:
    """Whether an index is there in just the forms that the archive offers."""
    return bool(files) and {each.form for each in files if each.served} == set(archive.forms)


def _changes(
    conn: Connection, unlisted: Sequence[Unlisted], places: Sequence[IndexPlace]
) -> Mapping[IndexPlace, Changes]:
    changes: dict[IndexPlace, Changes] = {place: {} for place in places}
    if not places:
        return changes
    files = _source_files(conn, unlisted)
    # What goes comes first: the same package may have come again.
    for each in sorted(unlisted, key=lambda each: each.shown):
        entry = _entry(each, files)
        for place in places:
            if _belongs(each, place):
                changes[place][entry.key] = entry if each.shown else None
    return changes


def _belongs(each: Unlisted, place: IndexPlace) -> bool:
    if each.component != place.component or each.installer != place.installer:
        return False
    if each.architecture is None or not place.architecture:
        return each.architecture is None and not place.architecture
    return each.architecture in (place.architecture, "all")


def _entries(conn: Connection, suite: Suite, place: IndexPlace) -> Iterator[Entry]:
    """The entries of all packages of an index."""
    if place.architecture:
        packages = rows.listed_binaries(
            conn, suite.id, place.component, place.architecture, installer=place.installer
        )
    else:
        packages = rows.listed_sources(conn, suite.id, place.component)
    files = _source_files(conn, packages)
    return (_entry(each, files) for each in packages)


def _source_files(conn: Connection, packages: Iterable[Package]) -> SourceFiles:
    return rows.source_files_of(
        conn, [each.source_release_id for each in packages if each.source_release_id is not None]
    )


def _entry(package: Package, source_files: SourceFiles) -> Entry:
    """THE way from a package to its entry, hence to its key."""
    if package.source_release_id is None:
        return binary_entry(package.control, package.path, package.size_bytes, package.sha256)
    files = source_files[package.source_release_id]
    folder = files[0].path.rpartition("/")[0]
    named = [SourceFile(f.path.rpartition("/")[2], f.size_bytes, f.sha256) for f in files]
    return source_entry(package.control, folder, named[0], tuple(named[1:]))
