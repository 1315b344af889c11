"""For tests of the document API: one process on an empty database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.identity.issuing import make_token
from staging_api.identity.model import Role
from tests.documents import DocumentApi, document_api

CALLERS = ("viewer", "operator", "stager", "auditor")


@pytest.fixture
def site(database: Database, database_url: str, tmp_path: Path) -> Iterator[DocumentApi]:
    """The API, by a caller who may do everything."""
    assert database is not None
    with document_api(database_url, tmp_path) as made:
        yield made


@pytest.fixture
def other_site(site: DocumentApi, database_url: str, tmp_path: Path) -> Iterator[DocumentApi]:
    """Another process on the same database."""
    assert site is not None
    with document_api(database_url, tmp_path) as made:
        yield made


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
