"""The API against its OpenAPI document: reproducible generated cases, sent to a real pod.

Half of the generated names are those of existing objects: else nearly every response would be 404.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
import urllib3
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.apt_archive_api import AptArchiveApi
from tests.builds import build, build_path
from tests.contract import to_be_fuzzed
from tests.databases import Migrated
from tests.documents import document, policy, secret, stream
from tests.packages import control_text, deb
from tests.service import Client, Pod, service
from tests.source import archive_source

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def body_conformance(ctx: Any, response: Any, case: Any) -> Any:
    """Check a body against the document; a YAML stream as text, since the check reads one of it."""
    if response.headers.get("content-type", [""])[0].startswith("application/x-yaml"):
        return None
    return response_schema_conformance(ctx, response, case)


#: Numbers of cases of each operation: drawing one takes several times as long as its response.
_CASES = [
    pytest.param(40, id="some"),
    pytest.param(160, id="many", marks=pytest.mark.prove),
]
#: Number of cases of a simple path: a probe, or a devserver path.
_CASES_OF_OTHERS = 12
_OURS = r"^/(api/v1\.0|static|archive)/"
_DOCUMENT = "/api/v1.0/documents/{namespace}/{kind}/{version}/{name}"
_CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    body_conformance,
]
#: Headers of HTTP itself, and headers that the document describes for all responses at once.
_OF_EVERY_ANSWER = frozenset(
    {
        *("server", "date", "connection", "content-type", "content-length", "transfer-encoding"),
        *("allow", "cache-control", "x-content-type-options", "x-frame-options"),
        *("referrer-policy", "x-accel-buffering", "vary"),
    }
)

SCHEMA = schemathesis.openapi.from_dict(dict(to_be_fuzzed()))
#: Statuses of the responses, by the number of cases of an operation.
sent: defaultdict[int, Counter[int]] = defaultdict(Counter)


@dataclass(frozen=True)
class There:
    """A pod, and its existing objects' names, by parameter or body member."""

    pod: Pod
    names: Mapping[str, list[str]]

    def instead(self, path: str, member: str, drawn: Any) -> Any:
        """Return the name of an existing object in half of all cases, by the drawn value."""
        known = self.names.get(f"{path} {member}", self.names.get(member))
        lot = zlib.crc32(repr(drawn).encode())
        return known[(lot >> 1) % len(known)] if known and lot % 2 else drawn


@pytest.fixture(scope="module")
def there(migrated: Migrated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with archive_source() as source, migrated() as url:
        with service(folder, url, f"{source.url}/", workers="2", log_format="json") as pods:
            pods.worker()
            pod = pods.api()[0]
            archives = [source.add(build_path(), build(f"fuzz {n}")) for n in range(3)]
            yield There(pod, _filled(pod, archives))


def _filled(pod: Pod, archives: list[str]) -> Mapping[str, list[str]]:
    client, folder = pod.client, "/".join(archives[0].split("/")[3:])
    stagings = [client.stage_in_the_end(url).json["id"] for url in archives[:2]]
    shop = AptArchiveApi.make(client)
    for number in range(3):
        raw = deb(control_text(package=f"fuzz{number}"))
        assert shop.upload(f"fuzz{number}_1.0-1_amd64.deb", raw).status == 201
    shop.published("process-accepted")
    run = shop.published()

    _fill_documents(client)

    def ids(path: str) -> list[str]:
        return [item["id"] for item in client.get(path).json["items"]]

    return {
        "staging_id": stagings,
        "artifact_id": ids("/api/v1.0/artifacts"),
        "lock_id": ids("/api/v1.0/locks?state=all&limit=5"),
        "archive_url": archives,
        "build": [folder],
        "target": [folder.rpartition("/")[0]],
        "path": [f"{folder}/stateful.tgz", f"{folder}/"],
        "/archive/{archive}/{path} path": [
            "dists/stable/Release",
            *(f"pool/main/f/fuzz{n}/fuzz{n}_1.0-1_amd64.deb" for n in range(3)),
        ],
        "archive": [shop.name],
        "suite": ["stable"],
        "collection": ["fuzz0", "fuzz1", "fuzz2"],
        "number": ["1", "2", "3"],
        "tag": ["good"],
        f"{_DOCUMENT} namespace": ["pegleg"],
        f"{_DOCUMENT} kind": ["Script"],
        f"{_DOCUMENT} version": ["v1"],
        f"{_DOCUMENT} name": ["one", "two"],
        "upload_id": ids(f"{shop.path}/uploads"),
        "package_id": ids(f"{shop.path}/packages"),
        "publication_id": [run["id"]],
        "generation_id": ids(f"/api/v1.0/distributions/{shop.name}/generations"),
    }


def _fill_documents(client: Client) -> None:
    """Commit three collections, and put one of them in the buffer again."""
    headers = {"Content-Type": "application/x-yaml"}
    contents = [[document("one"), policy()], [document("two")], [secret("password")]]
    for number, documents in enumerate(contents):
        path = f"/api/v1.0/configdocs/fuzz{number}?buffermode=append"
        assert client.send("POST", path, stream(*documents), headers).status == 201
    assert client.send("POST", "/api/v1.0/commitconfigdocs").status == 200
    changed = stream(document("two", 2))
    assert client.send("POST", "/api/v1.0/configdocs/fuzz1", changed, headers).status == 201
    for number in (1, 2):
        assert (
            client.send(
                "PUT",
                f"/api/v1.0/document-revisions/{number}/tags/good",
                b"{}",
                {"Content-Type": "application/json"},
            ).status
            == 200
        )


@schemathesis.check
def every_header_is_documented(ctx: Any, response: Any, case: Any) -> None:
    shown = case.operation.responses.find_by_status_code(response.status_code)
    names = {name.lower() for name in (dict(shown.headers.items()) if shown is not None else ())}
    extra = {name.lower() for name in response.headers} - names - _OF_EVERY_ANSWER
    assert not extra, f"undocumented headers of a {response.status_code}: {sorted(extra)}"


def operations(*, ours: bool) -> list[Any]:
    """Return the operations of our own API, or all others; each is a test with its name."""
    some = SCHEMA.include(path_regex=_OURS) if ours else SCHEMA.exclude(path_regex=_OURS)
    found = list(some.get_all_operations())
    right = [result.ok() for result in found if isinstance(result, Ok)]
    assert len(right) == len(found), "the document describes an operation in a wrong way"
    return [pytest.param(operation, id=operation.label) for operation in right]


def sampled(operation: Any, cases: int, answer: Callable[[schemathesis.Case[Any]], None]) -> None:
    """Draw `cases` cases, the same in every run: half valid by the document, half invalid."""
    drawn = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    chosen = settings(
        max_examples=cases,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    seed(20121)(chosen(given(st.one_of(drawn))(answer)))()


@pytest.mark.parametrize("cases", _CASES)
@pytest.mark.parametrize("operation", operations(ours=True))
def test_every_answer_is_one_that_the_document_promises(there: There, operation: Any, cases: int):
    def answer(case: schemathesis.Case[Any]) -> None:
        sent[cases][answered(there, case, not_a_server_error)] += 1

    sampled(operation, cases, answer)


@pytest.mark.parametrize("operation", operations(ours=False))
def test_probe_and_devserver_responses_match_openapi(there: There, operation: Any):
    """Its clients take 500 for any failure, including their own mistakes."""

    def answer(case: schemathesis.Case[Any]) -> None:
        answered(there, case)

    sampled(operation, _CASES_OF_OTHERS, answer)


def answered(there: There, case: schemathesis.Case[Any], *checks: Any) -> int:
    """Send a case, and check its response against the document; return the status."""
    # Framing of a body is part of HTTP: the server refuses invalid framing on any route.
    case.headers.pop("Transfer-Encoding", None)
    parts: list[Any] = [case.path_parameters, case.query, case.body]
    for part in (part for part in parts if isinstance(part, dict)):
        for name, drawn in list(part.items()):
            part[name] = there.instead(case.operation.path, name, drawn)
    answer = case.call(base_url=there.pod.url, timeout=60)
    case.validate_response(answer, checks=[*checks, *_CHECKS, every_header_is_documented])
    return answer.status_code


@pytest.mark.parametrize("cases", _CASES)
def test_nearly_all_cases_were_sent_and_not_all_for_nothing(cases: int):
    statuses = sent[cases]
    assert statuses.total() >= 0.75 * cases * len(operations(ours=True))
    succeeded = sum(count for status, count in statuses.items() if status < 300)
    assert succeeded > statuses.total() / 10, statuses


def test_the_pod_is_as_well_as_before(there: There):
    assert there.pod.client.get("/readyz").status == 200
    assert urllib3.request("GET", f"{there.pod.url}/livez").status == 200
    assert "unexpected error" not in there.pod.log.read_text()
