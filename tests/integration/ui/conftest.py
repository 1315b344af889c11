"""Fixtures for tests of pages: a process over builds in a folder, its pages, an empty database."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.processes.services import Services
from staging_api.staging.model import Staging
from staging_api.staging.resuming import resume
from tests.factories import ORIGIN
from tests.pages import Site, process, site_over
from tests.stagings import CATALOGUE, packed


@dataclass(frozen=True)
class Builds:
    """Builds in a folder, to be staged."""

    folder: Path
    services: Services

    def add(self, name: str, **objects: bytes) -> str:
        """Create a build with these objects (``_`` for ``.``), or usual ones; return its URL."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        usual = {"payload_bin": b"payload", "suites_tgz": packed({"suites/control": b"control"})}
        for key, content in (objects or usual).items():
            (folder / key.replace("_", ".")).write_bytes(content)
        return f"file://{folder}"

    def work_on(self, staging_id: str) -> Staging:
        """Stage as a worker does."""
        stagings = self.services.stagings
        resume(stagings, stagings.find(staging_id), ORIGIN)
        return stagings.find(staging_id)

    def staged(self, name: str, **objects: bytes) -> Staging:
        """Create a build and stage it; fail the test if an artifact fails."""
        stagings = self.services.stagings
        request = stagings.check_request(self.add(name, **objects), ())
        return self.work_on(stagings.queue(request, ORIGIN).id)


@pytest.fixture(scope="package")
def services(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Yield one process without authentication."""
    folder = tmp_path_factory.mktemp("pages")
    catalogue = folder / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    sources = f"file://{folder}/builds/"
    (folder / "builds").mkdir()
    with process(
        database_url,
        folder,
        sources=sources,
        catalogue=str(catalogue),
        upload_wait_seconds=0,
    ) as made:
        yield made


@pytest.fixture
def site(services: Services, database: Database) -> Site:
    """Return the pages of the process."""
    assert database
    return site_over(services)


@pytest.fixture
def builds(services: Services, database: Database, tmp_path: Path) -> Builds:
    """Return builds of this test alone."""
    assert database
    entry = services.stagings.allowed.entries[0].url.canonical
    return Builds(Path(entry.removeprefix("file://")) / tmp_path.name, services)
