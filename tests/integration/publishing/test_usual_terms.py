"""Defaults for archive fields that a request omits, and values that a request may not have."""

from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.errors import Invalid
from staging_api.publishing.apt_archives import AptArchiveService

DAY = 24 * 3600


def test_an_archive_has_the_usual_terms_where_a_request_does_not_say(database: Database) -> None:
    archives = AptArchiveService(database)
    suites: list[dict[str, Any]] = [
        {"name": "stable"},
        {"name": "testing", "codename": "next", "components": ["extra"]},
    ]
    made = archives.create({"name": "usual"}, suites, "ada")
    assert (made.forms, made.retention_seconds, made.quarantine_seconds) == (("gz", "xz"), DAY, DAY)
    assert [(s.codename, s.components, s.architectures) for s in made.suites] == [
        ("stable", ("main",), ("amd64",)),
        ("next", ("extra",), ("amd64",)),
    ]
    given = {"name": "own", "retention_seconds": 60, "quarantine_seconds": 61}
    own = archives.create(given, [], "ada")
    assert (own.retention_seconds, own.quarantine_seconds, own.suites) == (60, 61, ())


def test_of_the_terms_of_an_archive_only_the_validity_may_be_null(database: Database) -> None:
    archives = AptArchiveService(database)
    archives.create({"name": "one", "valid_for_seconds": 3600}, [{"name": "stable"}], "ada")
    with pytest.raises(Invalid, match=r"^label: may not be null"):
        archives.change("one", {"valid_for_seconds": None, "label": None}, "ada")
    assert archives.find("one").valid_for_seconds == 3600
    with pytest.raises(Invalid, match=r"^description: may not be null"):
        archives.change_suite("one", "stable", {"description": None}, "ada")
    changed = archives.change("one", {"valid_for_seconds": None}, "ada")
    assert changed.valid_for_seconds is None
