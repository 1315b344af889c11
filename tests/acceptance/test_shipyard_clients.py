"""Shipyard's clients on real sockets: token and service address from Keystone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from keystoneauth1.identity import v3

from staging_api.db.engine import Database, open_database
from staging_api.locks.hold import RequestOrigin, hold
from staging_api.locks.model import CONFIGDOCS_UPDATE, GLOBAL
from tests.databases import Migrated
from tests.documents import DocumentApi, document, document_api, loaded, policy, secret
from tests.keystone_server import CONFIG, Keystone, keystone, scoped
from tests.rows import select
from tests.service import service
from tests.shipyard_client import ShipyardClient

# Keystone's libraries bring deprecations that are not ours.
pytestmark = pytest.mark.filterwarnings("default")

PASSWORD = "open-sesame"
MARKER = "0b2f9a3e-3f0d-4a54-9a50-0d6f6f1c2f11"
NO_ERRORS = "####  Errors: 0, Warnings: 0, Infos: 0, Other: 0  ####"
NOT_EMPTY = (
    "- Error: Buffer is either not empty or the collection already exists in buffer. Setting a"
    " different buffermode may provide the desired functionality"
)
ONE_ERROR = "####  Errors: 1, Warnings: 0, Infos: 0, Other: 0  ####"


@pytest.fixture(scope="module")
def provider() -> Iterator[Keystone]:
    with keystone() as running:
        running.tokens = {
            "of-admin": scoped("admin", "admin"),
            "of-deployer": scoped("deployer", "member"),
            "of-reader": scoped("reader", "reader"),
        }
        yield running


@pytest.fixture(scope="module")
def own_database(migrated: Migrated) -> Iterator[str]:
    with migrated() as url:
        yield url


@pytest.fixture(scope="module", autouse=True)
def world(
    provider: Keystone, own_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A pod that authenticates callers by Keystone, and is in Keystone's catalog."""
    folder = tmp_path_factory.mktemp("shipyard")
    config = folder / "keystone.conf"
    config.write_text(CONFIG.format(url=provider.url))
    rules = "operator:roles=admin,stager:roles=member,viewer:roles=reader"
    with service(
        folder,
        own_database,
        auth="keystone",
        keystone_config=str(config),
        role_rules=rules,
    ) as made:
        (pod,) = made.api(1)
        provider.endpoints["shipyard"] = f"{pod.url}/api/v1.0"
        yield


@pytest.fixture
def rows_there(own_database: str) -> Iterator[Database]:
    pools = open_database(own_database, pool_size=2)
    yield pools
    pools.close()


@pytest.fixture
def another(own_database: str, tmp_path: Path) -> Iterator[DocumentApi]:
    """Another process on the same database."""
    with document_api(own_database, tmp_path) as made:
        yield made


@pytest.fixture
def admin(provider: Keystone, another: DocumentApi) -> ShipyardClient:
    """A client that logs in with a password; there are no documents when a test begins."""
    if another.status():
        back = another.ask("POST", "/document-revisions/0/rollback", {"over_buffer": True})
        assert back.status == 201
        another.commit(force="true")
    return ShipyardClient(password(provider, "admin"), marker=MARKER)


def password(provider: Keystone, name: str) -> v3.Password:
    return v3.Password(
        auth_url=provider.url,
        username=name,
        password=PASSWORD,
        project_name="builds",
        user_domain_name="Default",
        project_domain_name="Default",
    )


def test_the_journey_of_a_collection_as_the_command_line_prints_it(
    admin: ShipyardClient, rows_there: Database
) -> None:
    assert admin.status() == "None"
    added = admin.create("design", document("one", {"mode": "0644"}), policy())
    assert added.splitlines() == [
        "Configuration documents added.",
        "Status: Validations succeeded",
        "Reason: Validation",
        NO_ERRORS,
    ]
    title, row = admin.status().splitlines()
    assert title.startswith("Comparing Base: committed (Deckhand revision ")
    assert ") to New: buffer (Deckhand revision " in title
    assert row == "design, not present, created"
    assert loaded(admin.documents("design").encode()) == [
        document("one", {"mode": "0644"}),
        policy(),
    ]
    for mode in (None, "append"):
        assert admin.create("design", document("one"), mode=mode).splitlines() == [
            "Error: Invalid collection specified for buffer",
            f"Reason: Buffermode : {mode or 'rejectoncontents'}",
            NOT_EMPTY,
            ONE_ERROR,
        ]
    assert admin.create("other", document("two"), mode="append").endswith(NO_ERRORS)
    assert admin.commit(dryrun=True).splitlines() == [
        "Configuration documents were not committed. Currently in dryrun mode.",
        "Status: Validations succeeded DRYRUN",
        "Reason: Validation",
        NO_ERRORS,
    ]
    assert admin.commit().splitlines()[:2] == [
        "Configuration documents committed.",
        "Status: Validations succeeded",
    ]
    assert admin.commit().splitlines()[:2] == [
        "Error: Unable to commit configuration documents",
        "Reason: There are no documents in the buffer to commit",
    ]
    assert "mode: '0644'" in admin.rendered("committed")
    assert admin.status("committed", "last_site_action").splitlines()[:2] == [
        "Error: Version does not exist",
        "Reason: last_site_action version does not exist",
    ]
    assert admin.create("other", empty=True).startswith("Configuration documents added.")
    assert admin.documents("other") == ""
    assert admin.documents("design").splitlines()[0] == "Error: No documents to retrieve"
    assert admin.commit().startswith("Configuration documents committed.")
    # The context marker finds all its events in the record.
    asked = "SELECT caller, count(*) FROM document_revisions WHERE reference_id = :m GROUP BY 1"
    ((caller, count),) = select(rows_there, asked, m=MARKER)
    assert caller.endswith("admin")
    assert count >= 3


def test_faults_of_documents_are_printed_with_kind_and_document(admin: ShipyardClient) -> None:
    printed = admin.create("wrong", document("one") | {"more": 1}).splitlines()
    assert printed[0] == "Error: Document(s) invalid syntax or otherwise unsuitable"
    assert "- Error: D001" in printed
    assert printed[-1] == ONE_ERROR
    parent = {
        "abstract": False,
        "layer": "moon",
    }
    admin.create("moon", document("lost", layeringDefinition=parent), policy())
    printed = admin.commit().splitlines()
    assert printed[0] == "Error: Validations failed"
    assert any(line.startswith("Message: InvalidDocumentLayer: ") for line in printed)
    assert "Document: pegleg/Script/v1 - lost" in printed
    forced = admin.commit(force=True).splitlines()
    assert forced[1] == "Status: Validations failed FORCED SUCCESS"
    admin.create("moon", empty=True)
    assert admin.commit(force=True).startswith("Configuration documents committed.")


def test_the_second_of_two_writers_reads_the_words_that_it_knows(
    admin: ShipyardClient, another: DocumentApi
) -> None:
    with hold(another.services.locks, CONFIGDOCS_UPDATE, GLOBAL, RequestOrigin("another")):
        answer = admin.post("configdocs/a", {}, "{}\n")
        assert (answer.status_code, answer.json()["retry"]) == (400, False)  # read before the lock
        answer = admin.post("commitconfigdocs", {"force": False, "dryrun": False})
        assert answer.status_code == 409
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        first, second, third, summary = admin.create("a", document("a")).splitlines()
    assert first == "Error: Blocked by another process"
    words = "Another process is currently blocking this request with a lock for configdocs_update."
    assert second.startswith(f"Reason: {words} Lock expires in not more than ")
    assert third == second.replace("Reason: ", "- Error: ")
    assert summary == ONE_ERROR


def test_of_many_writers_at_once_one_has_the_buffer(admin: ShipyardClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        printed = list(
            threads.map(lambda n: admin.create(f"c{n}", document(f"d{'abcdefgh'[n]}")), range(8))
        )
    done = [each for each in printed if each.startswith("Configuration documents added.")]
    refused = {each.splitlines()[0] for each in printed if each not in done}
    assert len(done) == 1, printed
    assert refused <= {
        "Error: Blocked by another process",
        "Error: Invalid collection specified for buffer",
    }


def test_a_token_of_the_environment_or_of_a_token_does_what_a_password_does(
    provider: Keystone, admin: ShipyardClient
) -> None:
    by_token = v3.Token(auth_url=provider.url, token="of-deployer")
    for name, client in {
        "one": ShipyardClient(by_token),
        "two": ShipyardClient(password(provider, "deployer"), token="of-deployer"),
    }.items():
        assert client.create("a", document(name), policy(), mode="replace").endswith(NO_ERRORS)
        assert f"name: {name}" in client.documents("a")
    assert admin.status().endswith("a, not present, created")


def test_who_may_not_or_is_unknown_reads_so(provider: Keystone, admin: ShipyardClient) -> None:
    reader = ShipyardClient(password(provider, "reader"))
    unknown = ShipyardClient(password(provider, "reader"), token="of-nobody")
    assert reader.create("a", document("one")) == "Error: Unauthorized to perform this action."
    assert reader.commit() == "Error: Unauthorized to perform this action."
    for printed in (unknown.create("a", document("one")), unknown.commit(), unknown.status()):
        assert printed == "Error: Command requires authentication. Check credential values"
    admin.create("a", secret("hidden"), policy())
    assert "swordfish" not in admin.documents("a")
    assert "swordfish" in admin.documents("a", secrets=True)
    assert "swordfish" not in reader.rendered()
    refused = reader.rendered(secrets=True)
    assert refused == "Error: Unauthorized to perform this action."


@pytest.mark.parametrize("path", ["actions", "site_statuses", "workflows", "notedetails/1"])
def test_a_path_that_is_not_served_is_a_404_that_the_old_client_prints(
    admin: ShipyardClient, path: str
) -> None:
    answer = admin.get(path, {})
    assert answer.status_code == requests.codes.not_found
    assert {"message", "reason", "details"} <= set(answer.json())


def test_every_verbosity_of_the_command_line_is_taken(admin: ShipyardClient) -> None:
    for verbosity in range(6):
        admin.verbosity = verbosity
        assert admin.status() == "None" or admin.status().startswith("Comparing")
