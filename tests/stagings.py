"""A staging service over small builds in a local folder."""

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from staging_api.catalogue.catalogue import Catalogue
from staging_api.db.engine import Database
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import Source, SourceOptions
from staging_api.sources.opening import open_archive
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.model import Staging
from staging_api.staging.packs import Packs
from staging_api.staging.resuming import resume
from staging_api.staging.service import StagingService
from staging_api.staging.upkeep import StoreTerms
from staging_api.staging.uploads import UploadTerms
from staging_api.store.blob_store import BlobStore
from staging_api.store.folder_store import FolderStore
from tests.factories import ORIGIN, locks_of

NO_QUOTA = StoreTerms(busy_seconds=0)
NO_UPLOADS = UploadTerms(wait_seconds=0)
CATALOGUE = """
default: [build]

artifacts:
  - name: payload
    group: build
    phase: foreground
    pattern: payload.bin
    lands: payload.bin
  - name: suites
    group: build
    phase: foreground
    pattern: suites.tgz
    extract: tar
  - name: notes
    group: build
    phase: background
    optional: true
    pattern: notes.txt
    lands: notes.txt
  - name: symbols
    group: symbols
    phase: foreground
    pattern: debug.tgz
    extract: tar
"""


def packed(files: dict[str, bytes]) -> bytes:
    """Return a tar.gz of these files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


@dataclass(frozen=True)
class Bench:
    """A service, the folder of its builds, and the folder of its store."""

    service: StagingService
    database: Database
    builds: Path
    store: Path

    def build(self, name: str = "R17-1", **objects: bytes) -> str:
        """Create a build with these objects (``_`` for ``.``) or the usual; return its URL."""
        folder = self.builds / "board" / name
        folder.mkdir(parents=True)
        usual = {
            "payload_bin": b"payload of " + name.encode(),
            "suites_tgz": packed({"suites/control": b"control of " + name.encode()}),
            "debug_tgz": packed({"debug/breakpad/lib.sym": b"symbols of " + name.encode()}),
        }
        for key, content in (objects or usual).items():
            (folder / key.replace("_", ".")).write_bytes(content)
        return f"file://{folder}"

    def stage(self, url: str, *artifacts: str) -> Staging:
        """Stage artifacts, foreground and background."""
        staging = self.service.stage(self.service.check_request(url, artifacts), ORIGIN)
        resume(self.service, staging, ORIGIN)
        return self.service.find(staging.id)

    def rows(self, query: str, **given: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.database.connect() as conn:
            return [tuple(row) for row in conn.execute(text(query), given)]

    def tamper(self, statement: str, **given: object) -> None:
        """Change rows as a superuser with triggers disabled."""
        with self.database.begin() as conn:
            conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
            assert conn.execute(text(statement), given).rowcount > 0


@contextmanager
def bench(
    database: Database,
    url: str,
    folder: Path,
    *,
    uploads: UploadTerms = NO_UPLOADS,
    store: StoreTerms = NO_QUOTA,
    opened: Callable[[Source], Source] = lambda source: source,
    blobs: BlobStore | None = None,
    packs: Packs = Packs(),  # noqa: B008 - frozen
) -> Iterator[Bench]:
    """Yield a service over `folder`; several of them on one folder represent several pods."""
    catalogue = folder / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    builds = folder / "builds"
    builds.mkdir(exist_ok=True)
    allowed = AllowList.parse(f"file://{builds}/")
    with locks_of(database, url) as locks:
        service = StagingService(
            database=database,
            locks=locks,
            catalogues=Catalogues(Catalogue.load(catalogue)),
            allowed=allowed,
            blobs=blobs or FolderStore(folder / "store"),
            open_archive=lambda url: opened(open_archive(url, allowed, SourceOptions())),
            uploads=uploads,
            store=store,
            packs=packs,
        )
        yield Bench(service, database, builds, folder / "store")
