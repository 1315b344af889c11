"""For tests of the document API: one process on an empty database.

The processes last as long as these tests: to build one, with its routes and pools, takes longer
than most of them.
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
    """Two processes on one database and one store."""
    folder = tmp_path_factory.mktemp("documents")
    with document_api(database_url, folder) as one, document_api(database_url, folder) as other:
        yield one, other


@pytest.fixture
def site(database: Database, _sites: tuple[DocumentApi, DocumentApi]) -> DocumentApi:
    """The API on an empty database, by a caller who may do everything."""
    assert database is not None
    for each in _sites:
        # The keys that it has read were in the database that was emptied.
        each.services.documents.contents.keys._ring = None
    return _sites[0]


@pytest.fixture
def other_site(site: DocumentApi, _sites: tuple[DocumentApi, DocumentApi]) -> DocumentApi:
    """Another process on the same database."""
    assert site is not None
    return _sites[1]


@pytest.fixture
def callers(
    database: Database, database_url: str, tmp_path: Path
) -> Iterator[dict[str, DocumentApi]]:
    """The API of one process, for callers of different roles."""
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
