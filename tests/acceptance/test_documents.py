"""Documents on real sockets: two pods, a worker, client and command line."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from staging_api.client import StagingClient
from staging_api.client.problems import problem
from staging_api.db.engine import Database, open_database
from staging_api.errors import Conflict, Invalid, LockHeld, NotFound
from tests import forked_command
from tests.databases import Migrated
from tests.documents import SCRIPT, document, loaded, policy, secret, stream
from tests.rows import execute
from tests.service import Pod, Service, eventually, service


@pytest.fixture(scope="module")
def own_database(migrated: Migrated) -> Iterator[str]:
    with migrated() as url:
        yield url


@pytest.fixture(scope="module")
def world(
    own_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, list[Pod]]]:
    """Yield two pods and a worker on a database of their own."""
    folder = tmp_path_factory.mktemp("documents")
    with service(folder, own_database, documents_max_bytes="100000") as made:
        made.worker()
        yield made, made.api(2)


@pytest.fixture
def rows_there(own_database: str) -> Iterator[Database]:
    pools = open_database(own_database, pool_size=2)
    yield pools
    pools.close()


@pytest.fixture
def client(world: tuple[Service, list[Pod]]) -> Iterator[StagingClient]:
    """Yield a client of the first pod; no document is committed or buffered."""
    with StagingClient(world[1][0].url) as made:
        made.documents.discard()
        if made.documents.status():
            # A change whose response was lost with its lease is retried, and was made already.
            with suppress(Conflict):
                made.documents.rollback(0, over_buffer=True)
            with suppress(Conflict):
                made.documents.commit(force=True)
        yield made


def test_one_buffer_for_all_pods(client: StagingClient, world: tuple[Service, list[Pod]]) -> None:
    text = stream(document("one"), policy(), secret("password"))
    client.documents.create("a", text)
    with StagingClient(world[1][1].url) as other:
        assert other.documents.get("a", secrets=True) == text
        assert b"swordfish" not in other.documents.rendered()
        other.documents.commit()
    assert client.documents.get("a", "committed", secrets=True) == text


def test_the_worker_undoes_a_commit_that_is_not_confirmed(
    client: StagingClient, rows_there: Database
) -> None:
    documents = client.documents
    documents.create("a", stream(document("one"), policy()))
    documents.commit()
    documents.create("a", stream(document("two"), policy()))
    number = documents.commit(confirm_within=3600)["revision"]
    execute(
        rows_there,
        "UPDATE document_commits SET confirm_until = clock_timestamp() WHERE revision = :n",
        n=number,
    )
    eventually(
        lambda: documents.revision(number)["commit"]["undone_in"] is not None, "it is not undone"
    )
    assert b"name: one" in documents.get("a", "committed")


def test_the_client_speaks_for_the_whole_journey(client: StagingClient) -> None:
    documents = client.documents
    first = documents.create("a", stream(document("one"), policy()), reason="to begin")
    assert first["status"] == "Success"
    with pytest.raises(Conflict, match="Buffermode : rejectoncontents"):
        documents.create("b", stream(document("two")))
    documents.create("b", stream(document("two")), mode="append")
    assert [each["new_status"] for each in documents.status()] == ["created", "created"]
    reviewed = documents.commit(dryrun=True)
    documents.discard("b")
    with pytest.raises(Conflict, match="moved"):
        documents.commit(revision=reviewed["revision"])
    done = documents.commit(revision=documents.buffer()["revision"], reason="reviewed")
    documents.tag(done["revision"], "good", {"by": "me"})
    documents.site_action("success", require_staged=True)
    (entry,) = documents.status(["last_site_action", "committed"])
    assert entry["new_status"] == "unmodified"
    documents.create("a", stream(document("one", 2), policy()))
    documents.rollback(done["revision"], over_buffer=True)
    assert documents.status()[0]["new_status"] == "unmodified"
    assert next(documents.revisions(page_size=2))["kind"] == "rolled_back"
    assert len(list(documents.revisions(page_size=2))) == documents.buffer()["revision"]
    assert documents.explain(SCRIPT, "one", "committed")["data"] == {"value": 1}
    assert loaded(documents.rendered("committed"))
    with pytest.raises(NotFound):
        documents.get("never", "committed")
    with pytest.raises(Invalid) as refused:
        documents.create("c", b"a: [")
    assert refused.value.extra["messages"][0]["kind"] == "ValidationMessage"


def test_the_client_takes_the_409_of_a_lock_for_a_lock_that_it_waits_for() -> None:
    body: dict[str, Any] = {
        "kind": "status",
        "message": "Blocked by another process",
        "reason": "with a lock for configdocs_update",
        "code": "409 Conflict",
        "details": {"messageList": []},
        "retry": False,
    }
    error = problem(409, {"Retry-After": "2"}, json.dumps(body).encode())
    assert isinstance(error, LockHeld)
    assert error.retryable
    assert error.retry_after_seconds == 2


Run = Callable[..., str]


@pytest.fixture
def run(client: StagingClient) -> Run:
    """Return a function that runs ``staging-api documents`` and returns both its outputs."""

    def command(*arguments: object, expect: int = 0, given: bytes = b"") -> str:
        words = [*forked_command.words(), "documents", *map(str, arguments)]
        done = subprocess.run(
            [*words, "--server", client.url],
            capture_output=True,
            input=given,
            timeout=120,
            check=False,
        )
        assert done.returncode == expect, done.stderr.decode()
        return (done.stdout + done.stderr).decode()

    return command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of documents, with a file that is not YAML."""
    made = tmp_path / "site"
    (made / "deep").mkdir(parents=True)
    (made / "policy.yaml").write_bytes(stream(policy()).removeprefix(b"---\n").rstrip())
    (made / "deep" / "one.yml").write_bytes(stream(document("one")))
    (made / "notes.txt").write_text("not: [yaml")
    return made


def test_the_command_line_speaks_for_the_whole_journey(run: Run, folder: Path) -> None:
    assert "Validations succeeded" in run("create", "site", folder)
    buffer = json.loads(run("status", "--json"))["buffer"]
    assert "moved" in run("commit", "--revision", "999999", expect=3)
    assert "Validations succeeded" in run("commit", "--revision", buffer["revision"])
    assert "name: one" in run("get", "site", "--version", "committed")
    assert SCRIPT in run("why", SCRIPT, "one", "--version", "committed")
    assert "deleted" not in run("status")
    assert run("diff") == ""
    assert ".data.value: 1 -> 2" in _changed(run, folder)
    assert "created pegleg/Script/v1 one" in run("diff", "0", "committed", expect=1)
    (change,) = json.loads(run("diff", "--json", expect=1))["changes"]
    assert (change["collection"], change["change"]) == ("site", "modified")
    assert "+  value: 2" in run("diff", "committed", "buffer", "--unified", expect=1)
    assert ".data.value: 2 -> 1" in run("diff", "buffer", "committed", expect=1)
    assert "there is no folder or file hippo" in run("diff", "hippo", "buffer", expect=5)
    run("discard")


def test_without_a_buffer_the_command_line_shows_the_committed_version(
    run: Run, folder: Path
) -> None:
    run("create", "site", folder)
    done = run("commit", "--confirm-within", "600")
    status = json.loads(run("status", "--json"))
    number, until = status["buffer"]["committed"], status["buffer"]["unconfirmed"]["confirm_until"]
    assert [each["confirm_until"] for each in status["collections"]] == [until]
    assert "buffer: empty" in run("status")
    for shown in (done, run("status")):
        assert f", undone at {until} unless it is confirmed" in shown
    assert "is confirmed" in run("confirm", number, "--reason", "it works")
    assert "unless it is confirmed" not in run("status")
    assert SCRIPT in run("why", SCRIPT, "one", ".value")
    assert "nothing at .never" in run("why", SCRIPT, "one", ".never", expect=5)
    assert run("uses", SCRIPT, "one") == ""
    assert "name: one" in run("render")
    assert "name: one" in json.loads(run("get", "site", "--json"))["text"]
    assert "golden" in run("tag", number, "golden", "--data", '{"a": 1}')
    assert "golden" in run("history", "--limit", "1")
    run("tag", number, "golden", "--remove")
    assert "golden" not in run("history")
    assert "success" in run("site-action", "success")


def test_a_fault_is_shown_with_file_and_line(run: Run, folder: Path) -> None:
    wrong = folder.parent / "wrong.yaml"
    wrong.write_text("# a comment\na: 1\na: 2\n")
    said = run("create", "site", folder, wrong, expect=4)
    assert f"{wrong}:3: error: InvalidYaml" in said
    assert "unsuitable: " in said
    assert said.count("unsuitable") == 1
    assert "-:2: error: InvalidYaml" in run("create", "site", "-", expect=4, given=b"a: 1\na: 2")
    # The buffer accepts a document that cannot be rendered. Dry run and commit fail alike; both
    # name the document, its line and its collection.
    lost = folder / "lost.yaml"
    lost.write_bytes(stream(document("lost", layeringDefinition={"layer": "moon"})))
    line = lost.read_text().splitlines().index("    layer: moon") + 1
    fault = "error: InvalidDocumentLayer"
    assert f"{lost}:{line}: {fault}" in run("create", "site", folder)
    for given in (["commit", "--dryrun"], ["commit"]):
        said = run(*given, expect=4)
        assert fault in said
        assert f"({SCRIPT} lost .metadata.layeringDefinition.layer, line " in said
        assert " of collection site)" in said
    run("create", "other", "-", "--mode", "append", given=stream(document("other")))
    assert "FORCED SUCCESS" in run("commit", "--force")


def _changed(run: Run, folder: Path) -> str:
    """Return the printed differences after a change of a document in a folder."""
    (folder / "deep" / "one.yml").write_bytes(stream(document("one", {"value": 2})))
    run("create", "site", folder)
    return run("diff", expect=1)


@pytest.mark.parametrize(
    "data",
    [
        {"builds": {}},
        {"builds": [1]},
        {"builds": [{}]},
        {"builds": [{"archive_url": 1}]},
        {"builds": [{"archive_url": "gs://b/c/d", "artifacts": "x"}]},
        {"builds": [{"archive_url": "gs://b/c/d", "more": 1}]},
        {"builds": [], "more": 1},
    ],
)
def test_builds_of_another_form_are_not_committed(client: StagingClient, data: object) -> None:
    wrong = document("builds", data, schema="staging/Builds/v1")
    client.documents.create("a", stream(wrong, policy()))
    with pytest.raises(Invalid, match="Validations failed"):
        client.documents.commit()
