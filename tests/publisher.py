"""Publisher that runs in this process, with an archive to fill."""

import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.locks.hold import Locks
from staging_api.publishing.building import Builder
from staging_api.publishing.index_model import ServedArchiveFile
from staging_api.publishing.indexing import Indexer
from staging_api.publishing.intake import Intake
from staging_api.publishing.model import AptArchive, Generation, Upload
from staging_api.publishing.pieces import BlockReader, FileHashes
from staging_api.publishing.releasing import Releaser
from staging_api.publishing.rows import apt_archives
from staging_api.publishing.run_model import Options, PublisherRun
from staging_api.publishing.service import Publisher
from staging_api.publishing.signing import SigningKey
from staging_api.publishing.snapshots import served_at
from staging_api.store.blob_store import BlobStore
from staging_api.store.folder_store import FolderStore
from staging_api.vocabulary.publishing import Operation
from tests.factories import ORIGIN, locks_of
from tests.packages import control_text, deb
from tests.rows import execute

ARCHIVE = "example"
DAY = 86400

#: Time from which retention and quarantine are counted.
_AGES = {
    "dists_generations": "retired_at",
    "package_publications": "scheduled_deletion_at",
    "binary_releases": "created_at",
    "source_releases": "created_at",
    "package_files": "created_at",
}


@dataclass
class Shop:
    """An archive, with the services that fill and publish it."""

    publisher: Publisher
    intake: Intake
    reader: BlockReader
    name: str = ARCHIVE

    @property
    def database(self) -> Database:
        return self.publisher.database

    @property
    def archive(self) -> AptArchive:
        with self.database.connect() as conn:
            return apt_archives.find_apt_archive(conn, self.name)

    def set_up(self, suites: Mapping[str, Mapping[str, Any]] | None = None, **how: Any) -> None:
        """Create an archive; by default with one suite, stable."""
        values: dict[str, Any] = {"name": self.name, "forms": ["gz", "xz"], "origin": "Example"}
        values |= {"retention_seconds": DAY, "quarantine_seconds": DAY, **how}
        with self.database.begin() as conn:
            apt_archives.add_apt_archive(conn, values)
            for name, given in (suites or {"stable": {}}).items():
                suite: dict[str, Any] = {"codename": name, "components": ["main", "contrib"]}
                suite |= {"architectures": ["amd64", "arm64"], **given}
                apt_archives.add_suite(
                    conn, apt_archives.find_apt_archive(conn, self.name), {"name": name, **suite}
                )

    def change(self, suite: str | None = None, **values: Any) -> None:
        """Change the settings of the archive, or of one of its suites."""
        with self.database.begin() as conn:
            archive = apt_archives.find_apt_archive(conn, self.name)
            if suite is None:
                apt_archives.change_apt_archive(conn, archive, values)
            else:
                found = archive.suite(suite)
                assert found is not None
                apt_archives.change_suite(conn, found, values)

    def upload(
        self, *raws: bytes, suite: str = "stable", component: str = "main", ending: str = "deb"
    ) -> list[Upload]:
        """Upload binary packages."""
        return self.send(
            {f"{n}.{ending}": raw for n, raw in enumerate(raws)}, suite=suite, component=component
        )

    def send(
        self, files: Mapping[str, bytes], *, suite: str = "stable", component: str = "main"
    ) -> list[Upload]:
        """Upload files."""
        to = self.intake.destination(self.name, suite, component)
        return self.intake.take(to, ((name, [raw]) for name, raw in files.items()), ORIGIN, 0)

    def add(self, *names: str, version: str = "1.0-1", architecture: str = "amd64") -> None:
        """Upload packages with these names."""
        self.upload(*(deb(control_text(name, version, architecture), Form.GZ) for name in names))

    def run(self, operation: Operation = "publish-ftpmaster", **options: Any) -> PublisherRun:
        """Run a publisher operation."""
        chosen = Options(**options)
        return self.publisher.run(
            operation, self.publisher.apt_archive(self.name, chosen.suites), chosen, ORIGIN
        )

    def hold(self, generation: str | None = None, *suites: str) -> Generation:
        """Roll back to a generation, or hold the live one."""
        return self.publisher.go_back(self.name, generation, ORIGIN, suites=suites).live

    def served(self, path: str, generation: str | None = None) -> bytes:
        """Return the content that a client gets from the archive."""
        found = find(self.database, path, generation, self.name)
        assert found is not None, f"nothing at {path}"
        return self.bytes_of(found)

    def bytes_of(self, found: ServedArchiveFile) -> bytes:
        if found.content is not None:
            return found.content
        if found.blocks is not None:
            return b"".join(self.reader.file(found.blocks, found.form))
        with self.publisher.blobs.open(found.sha256) as stream:
            return stream.read()

    def names(self, suite: str = "stable", generation: str | None = None) -> list[str]:
        """Return the packages and versions in the index for amd64, in its order."""
        path = f"dists/{suite}/main/binary-amd64/Packages.gz"
        lines = gzip.decompress(self.served(path, generation)).decode().split("\n")
        wanted = ("Package: ", "Version: ")
        values = [line.partition(": ")[2] for line in lines if line.startswith(wanted)]
        return [f"{p} {v}" for p, v in zip(values[::2], values[1::2], strict=True)]


def time_passes(database: Database, interval: str = "2 days") -> None:
    """Move times into the past in all archives, so that retention and quarantine are over."""
    for table, column in _AGES.items():
        execute(database, f"UPDATE {table} SET {column} = {column} - interval '{interval}'")


def find(
    database: Database, path: str, generation: str | None = None, archive: str = ARCHIVE
) -> ServedArchiveFile | None:
    """Return the file at a path below the archive's root."""
    with database.connect() as conn:
        return served_at(conn, archive, generation, path)


def publisher_of(
    locks: Locks,
    blobs: BlobStore,
    reader: BlockReader,
    key: SigningKey | None = None,
    *,
    hooks: Path | None = None,
    reached: Callable[[str], None] = lambda _step: None,
) -> Publisher:
    """Return a publisher that uses the database of these locks."""
    indexer = Indexer(locks.database, reader, FileHashes(reader))
    return Publisher(
        database=locks.database,
        locks=locks,
        blobs=blobs,
        builder=Builder(locks.database, indexer, Releaser(key)),
        hooks=hooks,
        hook_seconds=60,
        reached=reached,
    )


@contextmanager
def shop(
    database: Database,
    url: str,
    folder: Path,
    *,
    key: SigningKey | None = None,
    locks: Locks | None = None,
    hooks: Path | None = None,
    reached: Callable[[str], None] = lambda _step: None,
    lease_seconds: float = 30.0,
) -> Iterator[Shop]:
    """Yield a publisher with a database and a store; represents one process."""
    with locks_of(database, url, lease_seconds=lease_seconds) as own:
        blobs = FolderStore(folder / "store")
        reader = BlockReader(database)
        publisher = publisher_of(locks or own, blobs, reader, key, hooks=hooks, reached=reached)
        yield Shop(publisher, Intake(database, blobs), reader)
