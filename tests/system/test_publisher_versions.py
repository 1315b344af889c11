"""Publishing by pods from before holds and path history, beside pods and schema of this version."""

import gzip
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from staging_api.db.engine import Database, open_database
from staging_api.debian.forms import Form
from tests import version_before
from tests.apt_archive_api import AptArchiveApi
from tests.databases import Migrated
from tests.packages import control_text, deb, dsc, source_file
from tests.publisher import time_passes
from tests.service import API, Client, service

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

#: The newest migration of the last version without holds and path history.
LAST = "0017"
JSON = {"Content-Type": "application/json"}
PACKAGES = "dists/stable/main/binary-amd64/Packages.gz"
SOURCES = "dists/stable/main/source/Sources.gz"


class Both:
    """An archive through a new and an old pod; another archive through the old pod only."""

    def __init__(
        self, ours: AptArchiveApi, before: AptArchiveApi, other: AptArchiveApi, rows: Database
    ):
        self.ours, self.before, self.other, self.rows = ours, before, other, rows

    @property
    def holds(self) -> str:
        return f"{API}/distributions/{self.ours.name}"

    def listed(self, index: str = PACKAGES) -> list[str]:
        """Return the package versions that an index lists."""
        lines = gzip.decompress(self.ours.get(index).body).decode().splitlines()
        return [line.removeprefix("Version: ") for line in lines if line.startswith("Version: ")]

    def go_back(self, generation: str) -> None:
        body = json.dumps({"generation_id": generation, "suites": ["stable"]}).encode()
        assert self.ours.client.send("PATCH", self.holds, body, JSON).status == 200

    def let_time_pass(self) -> None:
        """Make more time pass than retention and quarantine last."""
        time_passes(self.rows, "9 days")


class Pods(NamedTuple):
    """Clients of a pod of each version, and the rows of their database."""

    new: Client
    old: Client
    rows: Database


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return version_before.unpacked(tmp_path_factory.mktemp("before"), LAST)


@pytest.fixture(scope="module")
def pods(
    code: Path, migrated: Migrated, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pods]:
    with (
        # Responses of the older version are not checked against this version's contract.
        pytest.MonkeyPatch.context() as patch,
        migrated() as url,
        service(tmp_path_factory.mktemp("pods"), url) as made,
        closing(open_database(url, 1)) as rows,
    ):
        patch.setattr("tests.service.contract.check", lambda *_: None)
        (new,) = made.api()
        made.code = code
        (old,) = made.api()
        yield Pods(new.client, old.client, rows)


@pytest.fixture
def both(pods: Pods) -> Both:
    ours = AptArchiveApi.make(pods.new, forms=["gz"])
    assert ours.client.post(f"{ours.path}/suites", {"name": "testing"}).status == 201
    other = AptArchiveApi.make(pods.old, forms=["gz"])
    return Both(ours, ours.at(pods.old), other, pods.rows)


def small(version: str, holds: str = "x") -> bytes:
    return deb(control_text("hello", version), Form.GZ, holds=holds)


def published(archive: AptArchiveApi, version: str) -> str:
    assert archive.upload("a.deb", small(version)).status == 201
    return str(archive.published()["generation_id"])


def test_a_pod_of_the_version_before_undoes_no_hold(both: Both) -> None:
    first = published(both.before, "1.0")
    published(both.before, "2.0")
    both.go_back(first)
    both.before.upload("a.deb", small("3.0"))
    refused = both.before.publish()
    assert refused.status == 503, refused.body
    assert int(refused.headers["Retry-After"]) >= 1
    for operation in ("publish-distro", "publish-ftpmaster"):
        assert both.before.publish(operation, careful=True).status == 503
    body = json.dumps({"generation_id": first}).encode()
    assert both.before.client.send("PATCH", both.holds, body, JSON).status == 503
    assert both.listed() == ["1.0"]
    published(both.other, "1.0")
    both.ours.published()
    assert both.listed() == ["1.0"]
    assert both.ours.client.delete(f"{both.holds}/holds/stable").status == 200
    both.before.published()
    assert both.listed() == ["3.0"]


def test_a_pod_of_the_version_before_keeps_pool_files_of_a_held_suite(both: Both) -> None:
    first = published(both.before, "1.0")
    published(both.before, "2.0")
    both.go_back(first)
    both.ours.published()
    both.let_time_pass()
    both.before.published("publish-distro")
    (path,) = (
        line.removeprefix("Filename: ")
        for line in gzip.decompress(both.ours.get(PACKAGES).body).decode().splitlines()
        if line.startswith("Filename: ")
    )
    assert "hello_1.0_" in path
    assert both.ours.get(path).status == 200
    assert both.ours.client.delete(f"{both.holds}/holds/stable").status == 200
    both.ours.published()
    both.let_time_pass()
    both.ours.published()
    assert both.ours.get(path).status == 404


def test_a_pod_of_the_version_before_keeps_the_bytes_of_a_published_path(both: Both) -> None:
    published(both.ours, "1.0")
    (package,) = both.ours.client.get(f"{both.ours.path}/packages").json["items"]
    path = f"{both.ours.path}/packages/{package['id']}"
    assert both.ours.client.delete(path, {"reason": "a mistake"}).status == 200
    both.ours.published()
    both.let_time_pass()
    both.ours.published()
    assert both.ours.get(package["path"]).status == 404
    refused = both.before.upload("a.deb", small("1.0", holds="other"))
    assert refused.problem == (409, "conflict")
    assert both.before.upload("a.deb", small("1.0")).status == 201
    assert both.other.upload("a.deb", small("1.0", holds="other")).status == 201


def test_sources_left_by_a_pod_of_the_version_before_go_with_the_next_run(both: Both) -> None:
    for version in ("1.0", "2.0"):
        tarball = {f"hello_{version}.tar.xz": version.encode()}
        text = dsc([source_file(*each) for each in tarball.items()], version=version)
        sent = both.before.send({f"hello_{version}.dsc": text.encode(), **tarball})
        assert sent.status == 201, sent.body
        both.before.published()
    assert both.ours.published()["counts"]["generations"] == 1
    assert both.listed(SOURCES) == ["2.0"]
    assert both.ours.published()["counts"] == {}
