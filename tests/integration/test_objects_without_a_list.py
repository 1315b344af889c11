"""What a request names without a glob is staged from a server that has no list of anything."""

from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from staging_api.errors import ArchiveNotFound, ArtifactNotFound, SourceRefused
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.opening import open_archive
from staging_api.staging.uploads import UploadTerms
from tests.scripted_http import Reply, Scripted, scripted_http, served
from tests.stagings import bench, packed

SUITES = packed({"suites/control": b"control"})
OBJECTS = {"payload.bin": b"payload", "suites.tgz": SUITES, "report#2 +.txt": b"report"}


@pytest.fixture
def at(database, database_url, tmp_path):
    # A wait would be noticed: nothing here is worth one.
    with bench(database, database_url, tmp_path, uploads=UploadTerms(wait_seconds=600)) as made:
        yield made


@pytest.fixture
def over_http(at):
    """Runs the service over a server that has these objects, and answers all else as it is told."""

    def run(objects=OBJECTS, otherwise=404):
        def script(asked):
            name = asked.path.removeprefix("/b/R17/").replace("%20", " ").replace("%23", "#")
            content = objects.get(name.replace("%2B", "+"))
            return Reply(otherwise) if content is None else served(content, asked, ETag='"1"')

        running = scripted_http(script)
        server = running.__enter__()
        servers.append(running)
        allowed = AllowList.parse(server.url)
        options = SourceOptions(sleep=lambda _seconds: None, attempts=2)
        service = replace(
            at.service,
            allowed=allowed,
            open_archive=lambda url: open_archive(url, allowed, options),
        )
        return replace(at, service=service), server

    servers: list[AbstractContextManager[Scripted]] = []
    yield run
    for running in servers:
        running.__exit__(None, None, None)


def test_a_file_is_staged_by_its_name_alone(over_http):
    at, server = over_http()
    staging = at.stage(f"{server.url}/b/R17", "file:report#2 +.txt")
    assert staging.state == "staged"
    assert {each.path for each in server.asked} == {"/b/R17/report%232%20%2B.txt"}


def test_entries_without_a_glob_are_staged_and_an_optional_one_is_missing(over_http):
    at, server = over_http()
    staging = at.stage(f"{server.url}/b/R17", "build")
    states = {each.name: each.state for each in staging.artifacts}
    assert states == {"payload": "staged", "suites": "staged", "notes": "missing"}


def test_what_is_not_there_is_refused_at_once(over_http):
    at, server = over_http({"payload.bin": b"payload"})
    with pytest.raises(ArtifactNotFound, match="suites"):
        at.stage(f"{server.url}/b/R17", "payload", "suites")
    with pytest.raises(ArchiveNotFound, match="UPLOADED"):
        at.stage(f"{server.url}/b/R18", "payload")


def test_a_server_that_forbids_what_is_absent_needs_no_manifest(over_http):
    at, server = over_http(otherwise=403)
    assert at.stage(f"{server.url}/b/R17", "payload").state == "staged"
    with pytest.raises(SourceRefused, match="403"):
        at.stage(f"{server.url}/b/R17", "file:none.bin")


def test_an_object_is_taken_although_the_manifest_does_not_name_it(over_http):
    at, server = over_http({**OBJECTS, "UPLOADED": b"suites.tgz\n"})
    assert at.stage(f"{server.url}/b/R17", "payload", "suites").state == "staged"
