"""Fixtures for tests of the document API: one process with an empty database.

The processes are shared by all these tests: building one, with its routes and pools, takes longer
than most of the tests.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.identity.issuing import make_token
from staging_api.identity.model import Role
from tests.documents import DocumentApi, document_api

CALLERS = ("viewer", "operator", "stager", "auditor")


@pytest.fixture(scope="package")
def _sites(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[DocumentApi, DocumentApi]]:
    """Yield two processes that share one database and one store."""
    folder = tmp_path_factory.mktemp("documents")
    with document_api(database_url, folder) as one, document_api(database_url, folder) as other:
        yield one, other


@pytest.fixture
def site(database: Database, _sites: tuple[DocumentApi, DocumentApi]) -> DocumentApi:
    """Return the API on an empty database, as a caller with all roles."""
    assert database is not None
    for each in _sites:
        # The process has cached keys of the database that has just been emptied.
        each.services.documents.contents.keys._ring = None
    return _sites[0]


@pytest.fixture
def other_site(site: DocumentApi, _sites: tuple[DocumentApi, DocumentApi]) -> DocumentApi:
    """Return another process on the same database."""
    assert site is not None
    return _sites[1]


@pytest.fixture
def callers(
    database: Database, database_url: str, tmp_path: Path
) -> Iterator[dict[str, DocumentApi]]:
    """Yield the API of one process for callers of different roles, by role."""
    assert database is not None
    file, made = tmp_path / "tokens", {}
    lines = []
    for name in CALLERS:
        made[name], entry = make_token(name, [Role(name)], None)
        lines.append(entry)
    file.write_text("tokens:\n" + "".join(lines))
    with document_api(database_url, tmp_path, auth="tokens", tokens_file=str(file)) as api:
        yield {
            "anonymous": api,
            **{
                name: DocumentApi(api.services, api.client, {"X-Auth-Token": token})
                for name, token in made.items()
            },
        }
