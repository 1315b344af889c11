"""Responses as the client interprets them, without a service."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from inspect import Parameter, signature

import pytest

from staging_api import errors
from staging_api.client import Lock, Pacing, StagedArtifact, Staging, StagingClient
from staging_api.client.fetching import staged_names
from staging_api.client.model import Answer
from staging_api.client.problems import problem, retry_after_seconds
from staging_api.documents.model import RenderingFailed
from staging_api.documents.refusals import BufferConflict, VersionNotFound
from tests import scripted_service as documents


def tree(kind: type[errors.StagingApiError]) -> Iterator[type[errors.StagingApiError]]:
    """Yield an error of the contract and all its subclasses; other packages refine some."""
    # A class without its own code is internal to the server.
    if "code" in vars(kind):
        yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def answered(
    status: int = 500, *, code: str, retryable: bool = False, **members: object
) -> errors.StagingApiError:
    """Return the error for a problem document."""
    document = documents.problem(code, retryable, **members)
    return problem(status, {}, json.dumps(document).encode())


def test_every_error_comes_back_as_itself() -> None:
    for kind in tree(errors.StagingApiError):
        error = answered(code=kind.code, retryable=kind.retryable)
        assert type(error) is kind
        assert error.detail == f"the detail of {kind.code}"


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in tree(errors.StagingApiError)]
    assert len(codes) == len(set(codes))


def test_an_unknown_code_is_kept_on_the_nearest_error() -> None:
    error = answered(404, code="distribution_not_found", retryable=True)
    assert type(error) is errors.NotFound
    assert (error.code, error.retryable) == ("distribution_not_found", True)
    assert type(answered(418, code="teapot")) is errors.StagingApiError
    assert (errors.NotFound.code, errors.NotFound.retryable) == ("not_found", False)


@pytest.mark.parametrize(
    ("status", "kind"), [(409, BufferConflict), (404, VersionNotFound), (422, RenderingFailed)]
)
def test_an_error_of_a_room_of_the_service_comes_back_as_the_nearest_of_the_contract(
    status: int, kind: type[errors.StagingApiError]
) -> None:
    error = answered(status, code=kind.code)
    assert type(error).__module__ == errors.__name__
    assert (error.code, error.detail) == (kind.code, f"the detail of {kind.code}")
    assert type(answered(409, code="lock_held")) is errors.LockHeld


def test_the_fields_that_are_wrong_and_the_lock_are_kept() -> None:
    wrong = answered(400, code="invalid_request", errors=[{"field": "a", "message": "b"}])
    assert isinstance(wrong, errors.Invalid)
    assert wrong.errors == (errors.FieldError("a", "b"),)
    held = answered(409, code="lock_held", lock={"holder": "pod-3"})
    assert held.extra["lock"] == {"holder": "pod-3"}
    assert held.extra["request_id"] == "r-1"


def test_an_answer_is_made_by_names_alone() -> None:
    kinds: list[type[Answer]] = [Answer, *Answer.__subclasses__()]
    assert {Lock, StagedArtifact, Staging} < set(kinds)
    for kind in kinds:
        given = signature(kind).parameters.values()
        assert {each.kind for each in given} == {Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_a_refusal_that_is_no_problem_document_is_judged_by_its_status(body: bytes) -> None:
    assert type(problem(403, {}, body)) is errors.Forbidden
    assert type(problem(504, {}, body)) is errors.Unavailable
    assert type(problem(500, {}, body)) is errors.AnswerUnusable


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthenticated),
        (402, errors.StagingApiError),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (405, errors.StagingApiError),
        (409, errors.Conflict),
        (410, errors.StagingApiError),
        (412, errors.StagingApiError),
        (413, errors.LimitExceeded),
        (414, errors.StagingApiError),
        (500, errors.StagingApiError),
        (502, errors.StagingApiError),
        (503, errors.Unavailable),
        (504, errors.StagingApiError),
    ],
)
def test_an_unknown_code_and_a_refusal_of_documents_are_of_the_kind_of_their_status(
    status: int, kind: type[errors.StagingApiError]
) -> None:
    assert type(answered(status, code="teapot")) is kind
    document = {"kind": "Status", "message": "no", "reason": "this"}
    assert type(problem(status, {}, json.dumps(document).encode())) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthenticated),
        (402, errors.AnswerUnusable),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.LimitExceeded),
        (428, errors.AnswerUnusable),
        (429, errors.Unavailable),
        (430, errors.AnswerUnusable),
        (500, errors.AnswerUnusable),
        (501, errors.AnswerUnusable),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (504, errors.Unavailable),
        (505, errors.AnswerUnusable),
    ],
)
def test_an_answer_of_a_proxy_is_of_the_kind_of_its_status(
    status: int, kind: type[errors.StagingApiError]
) -> None:
    assert type(problem(status, {}, b"<html>")) is kind


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_seconds("7") == 7
    in_a_minute = datetime.now(UTC) + timedelta(seconds=60)
    found = retry_after_seconds(format_datetime(in_a_minute, usegmt=True))
    assert found is not None
    assert 50 < found <= 60
    assert retry_after_seconds("Mon, 01 Jan 2001 00:00:00 GMT") == 0
    # By the server's clock, which may differ from ours by days.
    until = "Mon, 01 Jan 2001 00:00:30 GMT"
    assert retry_after_seconds(until, "Mon, 01 Jan 2001 00:00:00 GMT") == 30
    assert retry_after_seconds(until, "Mon, 01 Jan 2001 00:01:00 GMT") == 0
    assert retry_after_seconds(until, "no date") == 0


@pytest.mark.parametrize("header", [None, "", "soon", "-1", "1.5", "Mon, 99 Foo 2001"])
def test_a_retry_after_that_makes_no_sense_is_none(header: str | None) -> None:
    assert retry_after_seconds(header) is None


def test_a_pause_is_never_shorter_than_retry_after_and_has_jitter() -> None:
    pacing = Pacing(floor_seconds=0.5, jitter=0.25)
    pauses = {pacing.pause_seconds(1, 4) for _ in range(50)}
    assert all(4 <= pause <= 5 for pause in pauses)
    assert len(pauses) > 1
    assert pacing.pause_seconds(1, 0) >= 0.5


def test_pauses_without_retry_after_double_up_to_a_ceiling() -> None:
    pacing = Pacing(floor_seconds=0.5, ceiling_seconds=3, jitter=0)
    assert [pacing.pause_seconds(tries, None) for tries in (1, 2, 3, 4, 5000)] == [0.5, 1, 2, 3, 3]


def test_members_of_a_newer_service_are_kept() -> None:
    shown = documents.staging("resting", mood="good")
    staging = Staging.of(shown)
    assert staging.state == "resting"
    assert not staging.final
    assert staging.document["mood"] == "good"
    assert staging.created_at == datetime(2026, 11, 22, 9, 0, 0, 500_000, tzinfo=UTC)
    assert staging.artifacts[0].path == "board/R17-1/update.gz"
    assert staging == Staging.of(documents.staging("resting"))


def test_an_artifact_in_a_folder_is_unpacked() -> None:
    assert StagedArtifact.of(documents.artifact(path="board/R17-1/autotest/")).unpacked
    assert not StagedArtifact.of(documents.artifact()).unpacked


def test_what_an_older_service_does_not_say_is_none() -> None:
    shown = documents.lock()
    del shown["ended_by"], shown["reference_id"]
    assert Lock.of(shown).ended_by is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8080", "ftp://x", "http://", "/static"),
        *("http://[::1", "http://host:99999", "http://host:x", "http://host:0"),
    ],
)
def test_an_address_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(errors.Invalid):
        StagingClient(url)


def test_words_mean_what_the_catalogue_says_with_what_an_entry_brings() -> None:
    entries = [
        {"name": "a", "group": "g", "aliases": ["x"], "brings": ["c"]},
        {"name": "b", "group": "g", "aliases": ["x"], "brings": []},
        {"name": "c", "group": "more", "aliases": []},
    ]
    catalogue = {"default": ["g"], "artifacts": entries}
    for words, names in {
        None: ["a", "b"],
        ("x",): ["a", "b"],
        ("a",): ["a", "c"],
        ("b", "c", "b"): ["b", "c"],
        ("file:o", "member:o!/m"): ["file:o", "member:o!/m"],
    }.items():
        assert staged_names([catalogue], words) == names
