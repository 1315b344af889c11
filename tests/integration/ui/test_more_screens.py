"""Screens of stored things: artifacts and contents, APT archives, documents."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from tests.documents import document, policy, stream
from tests.integration.ui.conftest import Builds
from tests.keys import signing_key, stop_agent
from tests.packages import control_text, deb
from tests.pages import Page, Site, process, site_over
from tests.rows import execute, select
from tests.service import API

JSON = {"Content-Type": "application/json"}


def call(site: Site, method: str, path: str, body: object = None, **headers: str) -> Any:
    """Return the response of an API call."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    answer = site.client.simulate_request(method, f"{API}{path}", body=raw, headers=sent)
    assert answer.status_code < 300, answer.text
    return answer.json


def follow(site: Site, page: Page) -> Page:
    """Return the page to which an action redirects."""
    assert page.status == 303, page.text
    return site.get(page.headers["Location"])


def upload(site: Site, name: str, version: str = "1.0-1", suite: str = "stable") -> str:
    raw = deb(control_text(name, version, "amd64"), Form.GZ)
    sent = call(
        site,
        "POST",
        f"/apt-archives/tools/uploads?suite={suite}&name={name}_{version}_amd64.deb",
        raw,
        **{"Content-Type": "application/octet-stream"},
    )
    found: str = sent["items"][0]["id"]
    return found


@pytest.fixture
def archive(site: Site) -> Site:
    suite = {"name": "stable", "architectures": ["amd64"], "auto_accept": False}
    call(site, "POST", "/apt-archives", {"name": "tools", "suites": [suite]})
    call(site, "POST", "/apt-archives", {"name": "other", "suites": [{**suite}]})
    return site


def test_an_artifact_shows_its_source_its_files_and_how_to_check_them(site: Site, builds: Builds):
    staging = builds.staged("R1")
    (suites,) = [each for each in staging.artifacts if each.name == "suites"]
    page = site.get(f"/ui/artifacts/{suites.id}")
    assert page.title.startswith("suites of R1 staged")
    (file,) = builds.services.stagings.artifacts.files(suites.id, limit=5).items
    assert f"{file.sha256} {file.name}" in page.text
    assert f"/ui/content/{file.sha256}" in page.links()
    assert site.get("/ui/artifacts/01ARZ3NDEKTSV4RRFFQ69G5FAV").status == 404


def test_a_content_leads_to_every_artifact_that_has_it(site: Site, builds: Builds):
    first, second = builds.staged("R1"), builds.staged("R2")
    third = builds.staged("R3", payload_bin=b"another payload")
    of = {s.id: next(a for a in s.artifacts if a.name == "payload") for s in (first, second, third)}
    page = site.get(f"/ui/content/{of[first.id].sha256}")
    assert f"/ui/artifacts/{of[first.id].id}" in page.links()
    assert f"/ui/artifacts/{of[second.id].id}" in page.links()
    assert f"/ui/artifacts/{of[third.id].id}" not in page.links()
    assert site.get("/ui/content/nonsense").status == 400


def test_an_artifact_is_pinned_and_evicted_from_its_own_page(site: Site, builds: Builds):
    staging = builds.staged("R1")
    where = f"/ui/artifacts/{staging.artifacts[0].id}"
    fields = {"artifact_id": staging.artifacts[0].id, "back": where}
    pinned = site.post(where, {"action": "pin", "until": "2099-01-31", **fields})
    assert "31 Jan" in follow(site, pinned).text
    refused = site.post(where, {"action": "evict", **fields})
    assert refused.status == 409
    follow(site, site.post(where, {"action": "unpin", **fields}))
    evicted = follow(site, site.post(where, {"action": "evict", **fields}))
    assert "evicted" in evicted.title
    others = builds.services.stagings.find(staging.id).artifacts[1:]
    assert {each.state for each in others if each.name == "suites"} == {"staged"}


def test_uploads_are_decided_and_published_from_the_page_of_their_archive(
    archive: Site, database: Database
):
    kept, refused = upload(archive, "kept"), upload(archive, "refused")
    where = "/ui/apt/tools"
    assert "2 to decide" in archive.get(where).text
    (button, *_) = [e for e in archive.get(where).all("button") if e.text.startswith("Accept")]
    # The file's name is for screen readers: as visible text it would widen the button too much.
    assert button.text != "Accept"
    assert (
        f'Accept<span class="hidden">{button.text.removeprefix("Accept")}'
        in archive.get(where).html
    )
    follow(archive, archive.post(where, {"action": "accept", "upload_id": kept}))
    reason = {"action": "reject", "upload_id": refused, "reason": "not ours"}
    assert "not ours" in follow(archive, archive.post(where, reason)).text
    done = follow(archive, archive.post(where, {"action": "publish"}))
    assert "generation 1 is live" in done.text
    packages = call(archive, "GET", "/apt-archives/tools/packages")["items"]
    assert [each["package"] for each in packages] == ["kept"]
    for name, ids in (("tools", [packages[0]["id"]]), ("other", [])):
        statement = archive.get(f"/ui/apt/{name}").copies()["SQL"]
        assert [row[0] for row in select(database, statement)] == ids, name
    assert "not published yet" in archive.get("/ui/apt/other").text


def test_a_run_has_a_page_with_its_phases_and_what_its_hooks_said(
    archive: Site, database: Database
):
    upload(archive, "hello")
    follow(archive, archive.post("/ui/apt/tools", {"action": "publish"}))
    (link,) = [e for e in archive.get("/ui/apt/tools").links() if "/publications/" in e]
    page = archive.get(link)
    assert page.title.startswith("publish-ftpmaster of tools succeeded")
    assert page.html.count("<tr data-key=") == len(select(database, "SELECT 1 FROM run_phases"))
    assert "No hook ran." in page.text
    execute(
        database,
        "INSERT INTO hook_runs (run_id, stage, name, exit_code, timed_out, seconds, output)"
        " VALUES (:run, 'after', '20-mirror', 3, false, 1.5, 'no space left on mirror-2')",
        run=link.rpartition("/")[2],
    )
    said = archive.get(link).text
    assert "after: 20-mirror exit code 3, after 1 s no space left on mirror-2" in said
    assert archive.get("/ui/publications/01ARZ3NDEKTSV4RRFFQ69G5FAV").status == 404


def test_what_is_wrong_with_the_buffer_is_on_the_page_that_commits_it(site: Site):
    source = {"schema": "pegleg/Script/v1", "name": "nobody", "path": "."}
    lacking = {"src": source, "dest": {"path": ".value"}}
    faults: Mapping[str, Any] = {"substitutions": [lacking]}
    for name in ("sound", "faulty"):
        kept = [policy()] if name == "sound" else []
        body = stream(*kept, document(name, {"value": "1"}, **(faults if name == "faulty" else {})))
        posted = site.client.simulate_post(
            f"{API}/configdocs/{name}",
            params={"buffermode": "append"},
            body=body,
            headers={"Content-Type": "application/x-yaml"},
        )
        assert posted.status_code == 201, posted.text
        page = site.get("/ui/documents")
        assert ("No fault was found in the buffer." in page.text) is (name == "sound")
    assert "What is wrong with it" in page.text
    assert "nobody" in page.text


def test_clients_are_taken_back_to_a_generation_until_the_hold_is_lifted(archive: Site):
    where = "/ui/apt/tools"
    for version in ("1.0-1", "2.0-1"):
        archive.post(where, {"action": "accept", "upload_id": upload(archive, "hello", version)})
        follow(archive, archive.post(where, {"action": "publish"}))
    first = call(archive, "GET", "/distributions/tools/generations")["items"][-1]["id"]
    pinned = archive.post(where, {"action": "pin_generation", "generation_id": first})
    assert "kept by" in follow(archive, pinned).text
    back = {"action": "go_back", "generation_id": first, "reason": "2.0 does not boot"}
    shown = follow(archive, archive.post(where, back))
    assert "1 suite held" in shown.text
    assert "2.0 does not boot" in shown.text
    lifted = follow(archive, archive.post(where, {"action": "lift", "suite": "stable"}))
    assert "held" not in lifted.title
    assert "tools" in archive.get("/ui/apt").text


def test_clients_are_set_up_as_the_archive_is_signed_or_is_not(
    archive: Site, database_url: str, tmp_path: Path
):
    assert "Not published yet" in archive.get("/ui/apt/tools").text
    key = signing_key(tmp_path)
    signed_by = {"signing_home": key.home, "signing_key": key.fingerprint}
    keys: dict[str, Mapping[str, Any]] = {"tools": signed_by, "other": {}}
    try:
        for name, given in keys.items():
            with process(database_url, tmp_path, **given) as services:
                site = site_over(services)
                follow(site, site.post(f"/ui/apt/{name}", {"action": "publish"}))
    finally:
        stop_agent(key.home)
    # The signature is a fact of the archive, not of the process that shows it.
    signed, unsigned = (archive.get(f"/ui/apt/{name}") for name in ("tools", "other"))
    assert "\nSigned-By: /etc/apt/keyrings/tools.gpg\nEND" in signed.all("pre")[0].text
    assert key.fingerprint in signed.text
    assert "Trusted" not in signed.text
    assert "\nTrusted: yes\nEND" in unsigned.all("pre")[0].text
    assert "stable has no signature" in unsigned.text
    assert "Signed-By" not in unsigned.text


def test_an_id_of_a_run_leads_to_its_archive(archive: Site):
    for name in ("tools", "other"):
        # Whether it succeeds or is refused, each action is a run of its archive.
        archive.post(f"/ui/apt/{name}", {"action": "publish"})
    for run in call(archive, "GET", "/publications")["items"]:
        found = archive.get(f"/ui/search?q={run['id']}")
        assert found.headers["Location"] == f"/ui/apt/{run['archive']}"


def test_documents_are_reviewed_committed_and_taken_back(site: Site):
    def post(name: str, *documents: Any) -> None:
        raw = stream(*documents)
        path = f"/configdocs/{name}?buffermode=replace"
        call(site, "POST", path, raw, **{"Content-Type": "application/x-yaml"})

    post("one", document("one", {"value": "first"}), policy())
    page = site.get("/ui/documents")
    assert "1 collection in the buffer" in page.title
    fields = page.form("commit_documents")
    assert "nothing in the buffer" in follow(site, site.post("/ui/documents", fields)).title
    committed = int(fields["revision"])
    post("one", document("one", {"value": "second"}), policy())
    newer = int(site.get("/ui/documents").form("commit_documents")["revision"])
    review = site.get(f"/ui/documents/revisions/{newer}?old={committed}")
    assert "first" in review.text
    assert "second" in review.text
    follow(site, site.post("/ui/documents", {"action": "discard_documents", "reason": "no"}))
    follow(site, site.post("/ui/documents/revisions/0", {"action": "roll_back_documents"}))
    assert "1 collection in the buffer" in site.get("/ui/documents").title
    # Another caller posts after the review: documents that were not reviewed are not committed.
    stale = {"action": "commit_documents", "revision": str(committed)}
    assert site.post("/ui/documents", stale).status == 409
    assert site.get(f"/ui/documents/revisions/{quote('٣')}").status == 400
    assert site.get(f"/ui/documents?after={10**19}").status == 400
