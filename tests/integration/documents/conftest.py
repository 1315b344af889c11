"""For tests of the document API: one process on an empty database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from tests.documents import DocumentApi, document_api


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
