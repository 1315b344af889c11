"""Suites whose components and architectures change: clients see the newest packages of the rest."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.errors import Invalid
from staging_api.publishing import rules
from tests.packages import control_text, deb, dsc, source_file
from tests.publisher import Shop, shop
from tests.rows import select


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up({"stable": {}, "testing": {}})
        yield made


def send(shop: Shop, version: str, component: str = "main", architecture: str = "amd64") -> str:
    """Upload a package to both suites, and return the note about its upload to stable."""
    raw = deb(control_text("hello", version, architecture), Form.GZ)
    shop.upload(raw, suite="testing", component=component)
    (upload,) = shop.upload(raw, component=component)
    return upload.note or ""


def send_source(shop: Shop, version: str, component: str = "main") -> str:
    files = {f"hello_{version}.tar.xz": version.encode()}
    text = dsc([source_file(*each) for each in files.items()], version=version)
    (upload,) = shop.send({f"hello_{version}.dsc": text.encode(), **files}, component=component)
    return upload.note or ""


def offered(shop: Shop, index: str, suite: str = "stable") -> list[str]:
    raw = gzip.decompress(shop.served(f"dists/{suite}/{index}.gz")).decode()
    return re.findall("^Version: (.*)$", raw, re.MULTILINE)


@pytest.mark.parametrize("careful", [False, True])
def test_what_a_removed_component_has_supersedes_nothing(here: Shop, careful: bool) -> None:
    index = "main/binary-amd64/Packages"
    send(here, "2.0", "contrib")
    here.run()
    here.change("stable", components=["main"])
    here.run()
    assert send(here, "1.5") == ""
    run = here.run(careful=careful)
    assert "superseded_at_once" in run.counts, "in testing, which has both"
    assert offered(here, index) == ["1.5"]
    assert offered(here, index, "testing") == []
    assert "stable has 1.5, which is newer" in send(here, "1.0")
    here.run(careful=careful)
    assert offered(here, index) == ["1.5"]
    here.change("stable", components=["contrib", "main"])
    here.run(careful=careful)
    assert offered(here, index) == []
    assert offered(here, "contrib/binary-amd64/Packages") == ["2.0"]


def test_a_source_of_a_removed_component_supersedes_nothing(here: Shop) -> None:
    send_source(here, "2.0", "contrib")
    here.run()
    here.change("stable", components=["main"])
    here.run()
    assert send_source(here, "1.5") == ""
    here.run()
    assert offered(here, "main/source/Sources") == ["1.5"]
    assert here.run(careful_domination=True, careful_indices=True).counts == {}


def test_a_package_for_all_is_offered_where_no_architecture_has_a_newer_one(here: Shop) -> None:
    send(here, "2.0", architecture="arm64")
    here.run()
    assert send(here, "1.5", architecture="all") == ""
    here.run()
    assert offered(here, "main/binary-amd64/Packages") == ["1.5"]
    here.change("stable", architectures=["arm64"])
    here.run()
    assert offered(here, "main/binary-arm64/Packages") == ["2.0"]
    assert "stable has 2.0, which is newer" in send(here, "1.7", architecture="all")


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ({"components": ["contrib"]}, {"components": ["main", "contrib"]}),
        ({"architectures": ["arm64"]}, {"architectures": ["arm64", "amd64"]}),
    ],
)
def test_a_package_without_a_place_waits_for_one_and_does_not_count_as_published(
    here: Shop, change: dict[str, list[str]], back: dict[str, list[str]]
) -> None:
    send(here, "1.0")
    here.run("process-accepted")
    send(here, "2.0")
    here.change("stable", **change)
    run = here.run()
    assert run.counts["not_accepted"] == 1, "the upload of 2.0 to stable"
    assert run.counts["published"] == 1, "2.0 in testing"
    assert offered(here, "main/binary-amd64/Packages", "testing") == ["2.0"]
    waiting = """
        SELECT r.version, p.state FROM package_publications p JOIN suites s ON s.id = p.suite_id
        JOIN binary_releases r ON r.id = p.binary_release_id WHERE s.name = 'stable'"""
    assert select(here.database, waiting) == [("1.0", "pending")]
    assert here.run().counts == {"not_accepted": 1}
    here.change("stable", **back)
    here.run()
    assert offered(here, "main/binary-amd64/Packages") == ["2.0"]


def test_an_archive_has_no_more_index_files_than_can_be_published(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Invalid, match="may be 2500 at most, and would be 2502"):
        here.change("stable", architectures=[f"a{number}" for number in range(1249)])
    monkeypatch.setattr(rules, "MAX_PACKAGES_FILES", 10)
    with pytest.raises(Invalid, match="may be 10 at most, and would be 12"):
        here.change("stable", architectures=["amd64", "arm64", "armhf", "riscv64"])
    here.change("stable", architectures=["amd64", "arm64", "armhf"])
    monkeypatch.setattr(rules, "MAX_PACKAGES_FILES", 5)
    with pytest.raises(Invalid, match="would be 11"):
        here.change("stable", components=["main"], architectures=list("abcdefg"))
    here.change("stable", description="of all that there is")
    here.change("stable", components=["main"])
    here.run()
    assert [len(suite.components) for suite in here.archive.suites] == [1, 2]
