"""Client library against a real loopback server that refuses, dies, stalls and sends wrong data."""

import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from itertools import islice
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from staging_api.client import Pacing, Staging, StagingClient, errors
from tests.client_kinds import KINDS
from tests.scripted_service import (
    STAGING_ID,
    STAGINGS,
    Script,
    ScriptedService,
    Step,
    artifact,
    cut_off,
    hangs_up,
    in_turn,
    lock,
    lock_held,
    problem,
    says,
    service,
    silent_until,
    staging,
)

ARCHIVE = "gs://builds/board/R17-1"
CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{SHA256}"'
FILE = "board/R17-1/update.gz"
SOON = Pacing(floor_seconds=0.01, jitter=0, patience_seconds=5)


@pytest.fixture(autouse=True, params=sorted(KINDS))
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each test with the blocking client and with the asynchronous client."""
    monkeypatch.setitem(globals(), "StagingClient", KINDS[request.param])
    return str(request.param)


class GivenUpError(BaseException):
    """Stand-in for `KeyboardInterrupt`, which would end the event loop of a test."""


@contextmanager
def talking(
    script: Script, token: str | None = None
) -> Iterator[tuple[StagingClient, ScriptedService]]:
    """Yield a client and the scripted service that it calls."""
    with (
        service(script) as running,
        StagingClient(running.url, token=token, pacing=SOON) as client,
    ):
        yield client, running


def test_one_post_is_sent_again_with_its_key_until_it_is_done() -> None:
    script = in_turn(
        lock_held(),
        says(503, problem("unavailable", retryable=True), Retry_After="0"),
        says(409, problem("idempotency_key_busy", retryable=True)),
        says(201, staging()),
    )
    with talking(script) as (client, running):
        staged = client.stage(ARCHIVE, ["full_payload"])
    assert staged.state == "staged"
    assert len(running.seen) == 4
    assert len({seen.headers["Idempotency-Key"] for seen in running.seen}) == 1
    assert all(
        seen.body == {"archive_url": ARCHIVE, "artifacts": ["full_payload"]}
        for seen in running.seen
    )


def test_each_post_has_a_key_and_all_of_a_client_have_its_marker() -> None:
    with talking(in_turn(says(201, staging()), says(200, staging()))) as (client, running):
        client.stage(ARCHIVE)
        client.stage(ARCHIVE)
    keys = {UUID(seen.headers["Idempotency-Key"]) for seen in running.seen}
    assert len(keys) == 2
    assert {seen.headers["X-Context-Marker"] for seen in running.seen} == {
        str(client.context_marker)
    }


def test_after_a_lost_reply_the_same_key_comes_again() -> None:
    with talking(in_turn(hangs_up, says(201, staging()))) as (client, running):
        client.stage(ARCHIVE)
    first, second = running.seen
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_a_response_cut_off_in_its_body_is_requested_again() -> None:
    script = in_turn(cut_off(says(201, staging()), after_bytes=20), says(201, staging()))
    with talking(script) as (client, running):
        assert client.stage(ARCHIVE).state == "staged"
    assert len(running.seen) == 2


def test_a_service_that_is_not_there_yet_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    refused: list[errors.StagingApiError] = []
    with ExitStack() as later, StagingClient(f"http://127.0.0.1:{port}", pacing=SOON) as client:

        def start(error: errors.StagingApiError, _pause: float) -> None:
            if not refused:
                later.enter_context(service(in_turn(says(201, staging())), port))
            refused.append(error)

        assert client.stage(ARCHIVE, on_retry=start).state == "staged"
    assert isinstance(refused[0], errors.Unavailable)
    assert "refused" in refused[0].detail


def test_a_service_out_of_reach_for_too_long_ends_the_call() -> None:
    pacing = Pacing(floor_seconds=0.01, jitter=0, patience_seconds=0.05)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with (
        StagingClient(f"http://127.0.0.1:{port}", pacing=pacing) as client,
        pytest.raises(errors.Unavailable),
    ):
        client.stage(ARCHIVE)


def test_an_address_where_nothing_ever_answered_is_told_within_seconds() -> None:
    pacing = Pacing(floor_seconds=0.01, jitter=0, patience_seconds=3600, refused_seconds=0.05)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    tries: list[errors.StagingApiError] = []
    with (
        StagingClient(f"http://127.0.0.1:{port}", pacing=pacing) as client,
        pytest.raises(errors.Unreachable, match="refused"),
    ):
        client.stage(ARCHIVE, on_retry=lambda error, _: tries.append(error))
    assert tries


def test_a_service_that_answered_before_is_waited_for_with_patience() -> None:
    pacing = Pacing(floor_seconds=0.01, jitter=0, patience_seconds=60, refused_seconds=0)
    refused: list[errors.StagingApiError] = []
    with ExitStack() as first, ExitStack() as later:
        answered = says(200, staging("running"), Connection="close")
        before = first.enter_context(service(in_turn(answered)))
        client = later.enter_context(StagingClient(before.url, pacing=pacing))
        client.staging(STAGING_ID)
        first.close()
        port = int(before.url.rpartition(":")[2])

        def start(error: errors.StagingApiError, _pause: float) -> None:
            refused.append(error)
            if len(refused) == 2:
                later.enter_context(service(in_turn(says(201, staging())), port))

        assert client.stage(ARCHIVE, on_retry=start).state == "staged"
    assert isinstance(refused[-1], errors.Unreachable)


def test_requests_and_retries_are_logged_without_the_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = says(200, {"items": [], "next": None})
    with (
        caplog.at_level("DEBUG", logger="staging_api.client"),
        talking(in_turn(lock_held(), page), token="secret") as (client, _),
    ):
        list(client.artifacts(archive_url="https://b.example/x?X-Amz-Signature=secret"))
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("GET /api/v1.0/artifacts: 409 after")
    assert said[1].startswith("lock_held: trying again in")
    assert said[2].startswith("GET /api/v1.0/artifacts: 200 after")
    assert "secret" not in caplog.text


def test_how_long_to_wait_for_an_upload_is_the_caller_s_choice() -> None:
    with talking(in_turn(says(201, staging(waiting_for=["full_payload"])))) as (client, running):
        staged = client.stage(ARCHIVE, upload_wait_seconds=90)
    assert running.seen[0].body == {"archive_url": ARCHIVE, "upload_wait_seconds": 90}
    assert staged.waiting_for == ("full_payload",)


def test_a_conflict_until_the_time_is_over_says_who_holds_the_lock() -> None:
    with (
        talking(lambda _: lock_held()) as (client, running),
        pytest.raises(errors.LockHeld) as refused,
    ):
        client.stage(ARCHIVE, timeout=0.1)
    assert refused.value.lock is not None
    assert refused.value.lock.holder == "pod-3"
    assert refused.value.lock.expires_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert refused.value.request_id == "r-1"
    assert len(running.seen) > 1


def test_the_last_try_is_made_at_the_deadline_even_if_retry_after_is_later() -> None:
    pauses: list[tuple[float | None, float]] = []
    with talking(in_turn(lock_held("7"), says(201, staging()))) as (client, _):
        client.stage(
            ARCHIVE,
            timeout=0.2,
            on_retry=lambda error, pause: pauses.append((error.retry_after_seconds, pause)),
        )
    (shown, pause), *others = pauses
    assert shown == 7
    assert pause <= 0.2
    assert not others


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid_request", errors.Invalid),
        (401, "unauthenticated", errors.Unauthenticated),
        (403, "source_not_allowed", errors.SourceNotAllowed),
        (404, "archive_not_found", errors.ArchiveNotFound),
        (409, "cancelled", errors.Cancelled),
        (413, "limit_exceeded", errors.LimitExceeded),
        (502, "source_failed", errors.SourceFailed),
        (504, "upload_wait_over", errors.UploadWaitOver),
        (507, "no_space", errors.NoSpace),
    ],
)
def test_what_a_retry_does_not_change_is_raised_at_once(
    status: int, code: str, error: type[errors.StagingApiError]
) -> None:
    script = in_turn(says(status, problem(code, retryable=error.retryable)))
    with talking(script) as (client, _), pytest.raises(error) as raised:
        client.stage(ARCHIVE)
    assert type(raised.value) is error
    assert raised.value.detail == f"the detail of {code}"


def test_a_request_is_retried_when_a_proxy_does_not_reach_the_service() -> None:
    script = in_turn(says(502, raw=b"<html>Bad Gateway</html>"), says(201, staging()))
    with talking(script) as (client, _):
        assert client.stage(ARCHIVE).state == "staged"


@pytest.mark.parametrize(
    "raw", [b"<html>welcome", b'{"id": ', b"[]", b"7", b'{"id": "x"}', b"\xff"]
)
def test_a_response_that_is_no_staging_is_refused(raw: bytes) -> None:
    with talking(in_turn(says(200, raw=raw))) as (client, _), pytest.raises(errors.AnswerUnusable):
        client.staging(STAGING_ID)


def test_a_head_that_is_not_read_is_named_and_not_asked_for_again(kind: str) -> None:
    long, many = {"X_Long": "x" * 70_000}, {f"X_{number}": "1" for number in range(120)}
    # Only the standard library limits the number of headers.
    for headers in [long, many] if kind == "blocking" else [long]:
        answer = says(200, staging(), None, **headers)
        with talking(in_turn(answer, answer)) as (client, running):
            with pytest.raises(errors.AnswerUnusable, match=r"not read|too long"):
                client.staging(STAGING_ID)
        assert len(running.seen) == 1


def test_a_redirect_is_reported_and_not_followed() -> None:
    with (
        talking(in_turn(says(301, Location="https://elsewhere.example/"))) as (client, _),
        pytest.raises(errors.AnswerUnusable, match="elsewhere"),
    ):
        client.staging(STAGING_ID)


def test_a_service_that_stays_silent_ends_the_call_in_time() -> None:
    over = Event()
    with talking(lambda _: silent_until(over)) as (client, _):
        with pytest.raises(errors.DeadlineOver):
            client.stage(ARCHIVE, timeout=0.2)
        over.set()


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with talking(in_turn(says(200, staging()))) as (client, _):
        assert client.staging(STAGING_ID).id == STAGING_ID


def test_a_token_is_sent_as_a_bearer() -> None:
    with talking(in_turn(says(200, staging())), token="secret\n") as (client, running):
        client.staging(STAGING_ID)
    assert running.seen[0].headers["Authorization"] == "Bearer secret"


def test_stage_without_wait_sends_respond_async() -> None:
    with talking(in_turn(says(202, staging("queued")))) as (client, running):
        assert client.stage(ARCHIVE, wait=False).state == "queued"
    assert running.seen[0].headers["Prefer"] == "respond-async"


def test_a_wait_is_a_long_poll_that_tells_each_change() -> None:
    script = in_turn(
        says(200, staging("running"), ETag='"v1"'),
        says(304, ETag='"v1"'),
        says(200, staging("foreground_staged"), ETag='"v2"'),
        says(200, staging("foreground_staged"), ETag='"v2"'),
        says(200, staging("staged"), ETag='"v3"'),
    )
    states: list[str] = []
    with talking(script) as (client, running):
        client.wait(STAGING_ID, on_change=lambda changed: states.append(changed.state))
    assert states == ["running", "foreground_staged", "staged"]
    assert "If-None-Match" not in running.seen[0].headers
    assert [seen.headers["If-None-Match"] for seen in running.seen[1:]] == [
        '"v1"',
        '"v1"',
        '"v2"',
        '"v2"',
    ]
    assert running.seen[1].headers["Prefer"] == "wait=30"


def test_a_wait_whose_first_answer_is_no_staging_ends_at_once() -> None:
    with (
        service(lambda _: says(304)) as running,
        StagingClient(running.url, pacing=SOON) as client,
        pytest.raises(errors.AnswerUnusable),
    ):
        client.wait(STAGING_ID, timeout=30)
    assert len(running.seen) == 1


def test_a_wait_for_the_foreground_ends_with_it() -> None:
    with talking(in_turn(says(200, staging("foreground_staged")))) as (client, _):
        assert client.wait(STAGING_ID, until="foreground_staged").state == "foreground_staged"


def test_a_wait_outlives_a_restart_of_the_service() -> None:
    script = in_turn(says(200, staging("running"), ETag='"v1"'), hangs_up, says(200, staging()))
    with talking(script) as (client, _):
        assert client.wait(STAGING_ID).state == "staged"


def test_a_wait_for_what_failed_raises_why() -> None:
    failure = {"code": "archive_corrupt", "retryable": False, "message": "the tar is cut short"}
    script = in_turn(says(200, staging("failed", error=failure)))
    with talking(script) as (client, _), pytest.raises(errors.ArchiveCorrupt) as raised:
        client.wait(STAGING_ID)
    assert raised.value.detail == "the tar is cut short"
    assert raised.value.extra == {"staging_id": STAGING_ID}


def test_a_wait_for_what_was_cancelled_says_so() -> None:
    script = in_turn(says(200, staging("cancelled")))
    with talking(script) as (client, _), pytest.raises(errors.Cancelled):
        client.wait(STAGING_ID)


def test_a_wait_that_takes_too_long_ends_and_tells_the_state() -> None:
    script = in_turn(says(200, staging("running"), ETag='"v1"'))
    with talking(script) as (client, _), pytest.raises(errors.DeadlineOver) as over:
        client.wait(STAGING_ID, timeout=0)
    assert over.value.extra == {"staging_id": STAGING_ID, "state": "running"}


def test_a_list_is_fetched_page_by_page_as_it_is_read() -> None:
    script = in_turn(
        says(200, {"items": [staging(), staging()], "next": "01A"}),
        says(200, {"items": [staging()], "next": None}),
    )
    since = datetime(2026, 11, 22, tzinfo=UTC)
    with talking(script) as (client, running):
        found = client.stagings(state="staged", since=since, page_size=2)
        first = list(islice(found, 2))
        asked_so_far = len(running.seen)
        assert len([*first, *found]) == 3
    assert asked_so_far == 1
    query = "state=staged&since=2026-11-22T00%3A00%3A00%2B00%3A00&limit=2"
    assert [seen.path for seen in running.seen] == [
        f"{STAGINGS}?{query}",
        f"{STAGINGS}?{query}&after=01A",
    ]


def test_each_verb_asks_for_its_resource() -> None:
    full = artifact(staging_id=STAGING_ID, pinned_until="2027-01-01T00:00:00Z")
    until = datetime(2027, 1, 1, tzinfo=UTC)
    with talking(
        in_turn(
            says(202, staging("cancelled")),
            says(200, full),
            says(200, full),
            says(200, full),
            says(200, {"items": [full], "next": None}),
            says(200, {"items": [lock()], "next": None}),
            says(200, lock(outcome="broken")),
        )
    ) as (client, running):
        assert client.cancel("S").state == "cancelled"
        assert client.artifact("A").staging_id == STAGING_ID
        assert client.pin("A", until).pinned_until == until
        assert client.evict("A").name == "full_payload"
        assert [found.name for found in client.artifacts(name="x")] == ["full_payload"]
        assert [found.holder for found in client.locks("all", scope="global")] == ["pod-3"]
        assert client.break_lock("L", "the pod is gone").outcome == "broken"
    assert [(seen.method, seen.path.removeprefix("/api/v1.0")) for seen in running.seen] == [
        ("DELETE", "/stagings/S"),
        ("GET", "/artifacts/A"),
        ("POST", "/artifacts/A/pin"),
        ("DELETE", "/artifacts/A"),
        ("GET", "/artifacts?name=x&limit=100"),
        ("GET", "/locks?state=all&scope=global&limit=100"),
        ("DELETE", "/locks/L"),
    ]
    assert running.seen[2].body == {"until": "2027-01-01T00:00:00+00:00"}
    assert running.seen[6].body == {"reason": "the pod is gone"}


def test_an_id_cannot_lead_to_another_resource() -> None:
    with talking(in_turn(says(200, staging()))) as (client, running):
        client.staging("../locks?x")
    assert running.seen[0].path == f"{STAGINGS}/..%2Flocks%3Fx"


def whole() -> Step:
    """Return a step that sends the whole file."""
    return says(200, raw=CONTENT, ETag=ETAG)


def rest(start: int) -> Step:
    """Return a step that sends the file from `start` on."""
    total = len(CONTENT)
    content_range = f"bytes {start}-{total - 1}/{total}"
    return says(206, raw=CONTENT[start:], ETag=ETAG, Content_Range=content_range)


def part_of(to: Path) -> Path:
    """Return the path of an incomplete download."""
    return to.with_name(f".{to.name}.{SHA256[:16]}.part")


def test_a_download_appears_whole_and_verified(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    to = tmp_path / "new" / "update.gz"
    with talking(in_turn(whole(), whole())) as (client, running):
        assert client.download(FILE, to, on_bytes=lambda *each: steps.append(each)) == to
    assert to.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [seen.method for seen in running.seen] == ["HEAD", "GET"]
    assert list(to.parent.iterdir()) == [to]


def test_a_download_whose_length_is_not_told_has_as_much_as_came(tmp_path: Path) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("ETag", ETAG)
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(CONTENT)

    steps: list[tuple[int, int]] = []
    with talking(in_turn(endless)) as (client, _):
        client.download(
            FILE, tmp_path / "a", sha256=SHA256, on_bytes=lambda *each: steps.append(each)
        )
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), 0)


def test_a_download_that_is_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    to = tmp_path / "update.gz"
    with talking(in_turn(cut_off(whole(), 70_000), rest(70_000))) as (client, running):
        client.download(f"/static/{FILE}", to, sha256=SHA256)
    assert to.read_bytes() == CONTENT
    assert running.seen[1].headers["Range"] == "bytes=70000-"
    assert running.seen[1].headers["If-Range"] == ETAG


def test_a_download_goes_on_behind_what_another_process_left(tmp_path: Path) -> None:
    to = tmp_path / "update.gz"
    part_of(to).write_bytes(CONTENT[:1000])
    with talking(in_turn(rest(1000))) as (client, running):
        client.download(FILE, to, sha256=SHA256)
    assert to.read_bytes() == CONTENT
    assert running.seen[0].headers["Range"] == "bytes=1000-"


@pytest.mark.parametrize("name", ["n" * 255, "\U0001f600" * 63, "\U0001f600" * 59])
def test_a_download_has_a_name_as_long_as_a_disk_takes(tmp_path: Path, name: str) -> None:
    to = tmp_path / name
    with talking(in_turn(cut_off(whole(), 70_000), rest(70_000))) as (client, _):
        client.download(FILE, to, sha256=SHA256)
    assert to.read_bytes() == CONTENT


def test_a_download_that_only_had_to_be_renamed_is_renamed(tmp_path: Path) -> None:
    to = tmp_path / "update.gz"
    part_of(to).write_bytes(CONTENT)
    with talking(in_turn(says(416, raw=b"", ETag=ETAG))) as (client, _):
        client.download(FILE, to, sha256=SHA256)
    assert to.read_bytes() == CONTENT


def test_a_damaged_part_is_begun_anew(tmp_path: Path) -> None:
    to = tmp_path / "update.gz"
    part_of(to).write_bytes(b"x" * 1000)
    with talking(in_turn(rest(1000), whole())) as (client, _):
        client.download(FILE, to, sha256=SHA256)
    assert to.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_understood(tmp_path: Path) -> None:
    to = tmp_path / "update.gz"
    part_of(to).write_bytes(CONTENT[:1000])
    with talking(in_turn(whole())) as (client, _):
        client.download(FILE, to, sha256=SHA256)
    assert to.read_bytes() == CONTENT


def test_a_download_with_wrong_bytes_leaves_the_old_file(tmp_path: Path) -> None:
    to = tmp_path / "update.gz"
    to.write_bytes(b"old")
    wrong = says(200, raw=b"y" + CONTENT[1:], ETag=ETAG)
    with talking(in_turn(wrong)) as (client, _), pytest.raises(errors.ArchiveCorrupt):
        client.download(FILE, to, sha256=SHA256)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


def test_a_file_that_changed_meanwhile_is_not_mixed(tmp_path: Path) -> None:
    other = says(200, raw=b"other", ETag=f'"{"1" * 64}"')
    with (
        talking(in_turn(cut_off(whole(), 70_000), other)) as (client, _),
        pytest.raises(errors.SourceChanged),
    ):
        client.download(FILE, tmp_path / "update.gz", sha256=SHA256)
    assert not (tmp_path / "update.gz").exists()


def test_a_download_that_its_caller_gave_up_does_not_disturb_the_next_call(tmp_path: Path) -> None:
    def give_up(_done: int, _total: int) -> None:
        raise GivenUpError

    big = says(200, raw=CONTENT * 4, ETag=ETAG)
    with talking(in_turn(big, says(200, staging()))) as (client, _):
        with pytest.raises(GivenUpError):
            client.download(FILE, tmp_path / "update.gz", sha256=SHA256, on_bytes=give_up)
        assert client.staging(STAGING_ID).id == STAGING_ID


def test_connections_are_kept(tmp_path: Path, kind: str) -> None:
    ports: set[int] = set()

    def noting(step: Step) -> Step:
        def answer(request: BaseHTTPRequestHandler) -> None:
            ports.add(request.client_address[1])
            step(request)

        return answer

    to = tmp_path / "update.gz"
    part_of(to).write_bytes(CONTENT)
    script = in_turn(
        noting(says(200, staging())),
        noting(says(416, raw=b"there is no more", ETag=ETAG)),
        noting(says(404, problem("not_found"))),
        noting(says(200, staging())),
    )
    with talking(script) as (client, _):
        client.staging(STAGING_ID)
        client.download(FILE, to, sha256=SHA256)
        with pytest.raises(errors.NotFound):
            client.staging("x")
        client.staging(STAGING_ID)
    # Each download has its own thread and connection.
    assert len(ports) == (1 if kind == "blocking" else 2)


def test_an_artifact_that_is_not_staged_cannot_be_downloaded(tmp_path: Path) -> None:
    script = in_turn(says(404, problem("not_found")), says(404, problem("not_found")))
    with talking(script) as (client, _):
        for sha256 in (None, SHA256):
            with pytest.raises(errors.NotFound):
                client.download(FILE, tmp_path / "update.gz", sha256=sha256)
    assert not list(tmp_path.iterdir())


def test_an_empty_file_can_be_downloaded(tmp_path: Path) -> None:
    empty = says(200, raw=b"", ETag=f'"{hashlib.sha256().hexdigest()}"')
    with talking(in_turn(empty, empty)) as (client, _):
        to = client.download("a b/#1", tmp_path / "empty")
    assert to.read_bytes() == b""


def test_a_client_may_be_given_its_marker_and_a_mounted_service() -> None:
    marker = UUID(int=7)
    with (
        service(in_turn(says(200, staging()))) as running,
        StagingClient(f"{running.url}/mounted/", context_marker=marker) as client,
    ):
        found: Staging = client.staging(STAGING_ID)
    assert found.final
    assert running.seen[0].path == f"/mounted{STAGINGS}/{STAGING_ID}"
    assert running.seen[0].headers["X-Context-Marker"] == str(marker)


def test_a_request_for_a_lock_waits_in_the_queue_before_it_comes_again() -> None:
    with talking(in_turn(lock_held("1"), says(201, staging()))) as (client, running):
        client.stage(ARCHIVE, timeout=600)
    with talking(in_turn(says(202, staging()))) as (asynchronous, asked):
        asynchronous.stage(ARCHIVE, wait=False, timeout=10)
    prefers = [request.headers["Prefer"] for request in (*running.seen, *asked.seen)]
    assert prefers == ["wait=30", "wait=30", "respond-async"]


def test_a_client_that_queued_retries_at_once_and_a_refused_one_after_retry_after() -> None:
    shown: list[float | None] = []

    def refused_in_the_end(request: BaseHTTPRequestHandler) -> None:
        time.sleep(float(request.headers["Prefer"].partition("=")[2]))
        lock_held("600")(request)

    def note(error: errors.StagingApiError, _pause: float) -> None:
        shown.append(error.retry_after_seconds)

    with talking(in_turn(lock_held("0"), refused_in_the_end, says(201, staging()))) as (client, _):
        client.stage(ARCHIVE, timeout=2.5, on_retry=note)
    assert shown == [0, None]
