"""Circuit breaker: calls to a failing host, and only to that host, are refused for a while."""

import pytest

from staging_api.errors import (
    ArchiveCorrupt,
    ArchiveUnsafe,
    ArtifactNotFound,
    Cancelled,
    LimitExceeded,
    NoSpace,
    SourceChanged,
    SourceFailed,
    SourceRefused,
)
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.breaker import Breakers
from staging_api.sources.model import SourceOptions
from staging_api.sources.url import parse
from tests.http_server import http_server


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def breakers(now):
    return Breakers(limit=3, open_seconds=30, clock=lambda: now[0])


def ask(breakers, error=None, host="h"):
    with breakers.calling(host):
        if error is not None:
            raise error


def fail(breakers, times, host="h"):
    for _ in range(times):
        with pytest.raises(SourceFailed, match="down"):
            ask(breakers, SourceFailed("down"), host)


def test_the_circuit_of_a_host_opens_after_failures_in_a_row(breakers, now):
    fail(breakers, 3)
    now[0] = 10
    with pytest.raises(SourceFailed, match="not called for now") as refused:
        ask(breakers)
    assert refused.value.retry_after_seconds == 20


def test_unless_said_otherwise_it_opens_after_five_failures_for_half_a_minute(now):
    usual = Breakers(clock=lambda: now[0])
    fail(usual, 5)
    with pytest.raises(SourceFailed, match="h failed 5 times") as refused:
        ask(usual)
    assert refused.value.retry_after_seconds == 30


def test_a_success_in_between_begins_the_count_anew(breakers):
    fail(breakers, 2)
    ask(breakers)
    fail(breakers, 2)
    ask(breakers)


@pytest.mark.parametrize(
    "error", [ArtifactNotFound("x"), ArchiveUnsafe("x"), LimitExceeded("x"), SourceRefused("x")]
)
def test_an_answer_that_is_an_error_begins_the_count_anew_unless_it_refuses(breakers, error):
    fail(breakers, 2)
    with pytest.raises(type(error)):
        ask(breakers, error)
    fail(breakers, 1)
    if isinstance(error, SourceRefused):
        with pytest.raises(SourceFailed, match="not called for now"):
            ask(breakers)
    else:
        fail(breakers, 1)
        ask(breakers)


def test_a_failing_host_does_not_break_the_circuit_of_another(breakers):
    fail(breakers, 3)
    ask(breakers, host="other")


def test_a_half_open_circuit_lets_one_request_through_and_its_success_closes_it(breakers, now):
    fail(breakers, 3)
    now[0] = 31
    with breakers.calling("h"), pytest.raises(SourceFailed, match="not called for now"):
        ask(breakers)
    ask(breakers)


def test_a_failure_of_a_half_open_circuit_opens_it_again(breakers, now):
    fail(breakers, 3)
    now[0] = 31
    fail(breakers, 1)
    now[0] = 60
    with pytest.raises(SourceFailed, match="not called for now"):
        ask(breakers)


@pytest.mark.parametrize(
    "error",
    [SourceRefused("x"), SourceChanged("x"), NoSpace("x"), Cancelled("x"), KeyboardInterrupt()],
)
def test_a_half_open_circuit_lets_the_next_through_if_the_first_ended_for_another_reason(
    breakers, now, error
):
    fail(breakers, 3)
    now[0] = 31
    with pytest.raises(type(error)):
        ask(breakers, error)
    fail(breakers, 1)
    with pytest.raises(SourceFailed, match="not called for now"):
        ask(breakers)


def test_what_began_before_the_circuit_opened_does_not_let_others_through(breakers):
    with pytest.raises(Cancelled), breakers.calling("h"):
        fail(breakers, 3)
        raise Cancelled("x")
    with pytest.raises(SourceFailed, match="not called for now"):
        ask(breakers)


@pytest.mark.parametrize(
    "error",
    [
        ArtifactNotFound("x"),
        SourceFailed("x", retryable=False),
        SourceChanged("x"),
        SourceRefused("x"),
        ArchiveCorrupt("x"),
        KeyError("x"),
    ],
)
def test_errors_that_are_not_the_hosts_fault_do_not_count(breakers, error):
    for _ in range(5):
        with pytest.raises(type(error)):
            ask(breakers, error)
    ask(breakers)


def test_the_sources_of_a_process_share_what_they_know(now):
    options = SourceOptions(
        attempts=1, breakers=Breakers(limit=2, open_seconds=30, clock=lambda: now[0])
    )
    with http_server({}) as server:
        server.wrong.fail = 100
        for _ in range(4):
            source = open_archive(parse(f"{server.url}/R17"), AllowList.parse(server.url), options)
            with pytest.raises(SourceFailed):
                source.names()
            source.close()
        assert len(server.requests) == 2


def test_an_object_is_read_behind_a_breaker_from_where_it_is_asked_for_and_else_whole():
    objects = {"/R17/a": b"the first", "/R17/b": b"another"}
    with http_server(objects) as server:
        url = parse(f"{server.url}/R17")
        source = open_archive(url, AllowList.parse(server.url), SourceOptions())
        first, other = map(source.stat, ("a", "b"))
        for found, start, end, content in (
            (first, 0, None, b"the first"),
            (first, 4, None, b"first"),
            (other, 1, 3, b"no"),
        ):
            with source.open(found, start, end) as chunks:
                assert b"".join(chunks) == content
        for found, content in ((first, b"the first"), (other, b"another")):
            with source.open(found) as chunks:
                assert b"".join(chunks) == content
        source.close()
