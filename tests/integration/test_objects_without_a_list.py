"""Objects requested without a glob: staged from a server that offers no list."""

import hashlib
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from staging_api.catalogue.catalogue import Catalogue
from staging_api.errors import (
    ArchiveNotFound,
    ArtifactNotFound,
    Invalid,
    SourceRefused,
    SourceUnverified,
)
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.opening import open_archive
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.uploads import UploadTerms
from tests.factories import ORIGIN
from tests.scripted_http import Reply, Scripted, scripted_http, served
from tests.signed import MinisignKey
from tests.stagings import CATALOGUE, bench, packed

SUITES = packed({"suites/control": b"control"})
OBJECTS = {"payload.bin": b"payload", "suites.tgz": SUITES, "report#2 +.txt": b"report"}


@pytest.fixture
def at(database, database_url, tmp_path):
    # A wait would be noticed, because no request here needs one.
    with bench(database, database_url, tmp_path, uploads=UploadTerms(wait_seconds=600)) as made:
        yield made


@pytest.fixture
def over_http(at):
    """Run the service over a server with these objects, and a chosen answer for other paths."""

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
    path = "/b/R17/report%232%20%2B.txt"
    digests = {f"{path}.sha256", "/b/R17/SHA256SUMS", "/b/R17/MD5SUMS"}
    assert {each.path for each in server.asked} == {path, *digests}


def test_entries_without_a_glob_are_staged_and_an_optional_one_is_missing(over_http):
    at, server = over_http()
    staging = at.stage(f"{server.url}/b/R17", "build")
    states = {each.name: each.state for each in staging.artifacts}
    assert states == {"payload": "staged", "suites": "staged", "notes": "missing"}


def test_what_needs_a_list_is_not_called_missing_without_one(over_http):
    """The object may exist: nothing has looked for it."""
    at, server = over_http()
    text = CATALOGUE.replace("pattern: notes.txt", 'pattern: "notes*"')
    at = replace(at, service=replace(at.service, catalogues=Catalogues(Catalogue.read(text))))
    staging = at.stage(f"{server.url}/b/R17", "payload", "notes")
    states = {each.name: each.state for each in staging.artifacts}
    assert states == {"payload": "staged", "notes": "failed"}


def test_a_pattern_that_leads_out_of_the_archive_opens_nothing(at):
    url = at.build(payload_bin=b"payload")
    (at.builds / "secret").write_bytes(b"secret")
    text = CATALOGUE.replace("pattern: payload.bin", "pattern: ../../secret")
    odd = replace(at, service=replace(at.service, catalogues=Catalogues(Catalogue.read(text))))
    with pytest.raises(ArtifactNotFound):
        odd.service.stage(odd.service.check_request(url, ["payload"], 0), ORIGIN)


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


def test_a_thousand_signatures_are_one_fetch_and_none_is_kept(over_http, caplog):
    caplog.set_level("DEBUG")
    at, server = over_http({"image.zip?job=b&X-Amz-Signature=hunter2-0": b"image"}, otherwise=403)
    for number in range(1000):
        url = f"{server.url}/b/R17/image.zip?job=b&X-Amz-Signature=hunter2-{number}"
        request = at.service.check_request(url, ["file:image.zip"])
        staging = at.service.nothing_left(request) or at.service.stage(request, ORIGIN)
    assert staging.state == "staged"
    assert staging.archive_url == f"{server.url}/b/R17/image.zip?job=b"
    assert len(server.asked) < 5
    assert "hunter2" not in everything(at) + caplog.text


def test_an_archive_with_a_query_may_be_a_folder(over_http):
    names = ("UPLOADED", "payload.bin", "suites.tgz", "notes.txt", "image")
    at, server = over_http({f"{name}?token=t": OBJECTS.get(name, b"x") for name in names})
    url = f"{server.url}/b/R17?token=t"
    staging = at.service.stage(at.service.check_request(url, ["build"]), ORIGIN)
    # The background artifacts as well: no worker has the token.
    assert {each.name: each.state for each in staging.artifacts} == {
        "payload": "staged",
        "suites": "staged",
        "notes": "staged",
    }


def test_a_credential_that_expired_says_so_and_a_new_one_goes_on(over_http):
    at, server = over_http({"payload.bin?token=new": b"payload"}, otherwise=403)
    with pytest.raises(SourceRefused, match="may have expired"):
        at.service.stage(
            at.service.check_request(f"{server.url}/b/R17?token=old", ["payload"]), ORIGIN
        )
    new = at.service.check_request(f"{server.url}/b/R17?token=new", ["payload"])
    assert at.service.stage(new, ORIGIN).state == "staged"


def test_a_url_with_a_credential_is_not_queued_for_a_worker(over_http):
    at, server = over_http()
    request = at.service.check_request(f"{server.url}/b/R17?token=hunter2", ["payload"])
    with pytest.raises(Invalid, match="credential") as refused:
        at.service.queue(request, ORIGIN)
    assert "hunter2" not in refused.value.detail


def test_the_row_says_what_vouches_and_what_is_not_verified_is_not_staged(over_http):
    key = MinisignKey()
    sums = f"{hashlib.sha256(b'payload').hexdigest()}  payload.bin\n".encode()
    objects = {**OBJECTS, "SUMS": sums, "SUMS.minisig": key.sign(sums)}
    at, server = over_http(objects)
    text = (
        f"verify: {{checksums: SUMS, signature: SUMS.minisig, keys: [{key.public}]}}\n{CATALOGUE}"
    )
    at = replace(at, service=replace(at.service, catalogues=Catalogues(Catalogue.read(text))))
    url = f"{server.url}/b/R17"
    assert at.stage(url, "payload").state == "staged"
    (artifact,) = at.service.artifacts.page(limit=9).items
    assert artifact.verified_by == f"sha256 of SUMS signed by {key.signer}"
    for word in ("suites", "file:suites.tgz", "member:suites.tgz!/suites/control"):
        with pytest.raises(SourceUnverified, match="does not list suites"):
            at.stage(url, word)
    assert at.rows("SELECT count(*) FROM staged_files") == [(1,)]


def everything(at) -> str:
    """Return every row of every table, as text."""
    tables = at.rows("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
    return "".join(str(at.rows(f"SELECT t::text FROM {table} t")) for (table,) in tables)
