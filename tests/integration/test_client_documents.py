"""Client for documents: requests it repeats, waits, and reading of paged responses."""

from collections.abc import Callable
from typing import Any

import pytest

from staging_api.client import Pacing, StagingClient
from staging_api.errors import Conflict, LockHeld
from tests.scripted_service import Step, hangs_up, in_turn, says, service

QUICK = Pacing(floor_seconds=0.0, ceiling_seconds=0.01)


def status(code: str, message: str, *, retry: bool = False) -> Any:
    return {
        "kind": "status",
        "message": message,
        "reason": "a reason",
        "code": code,
        "details": {"messageList": []},
        "retry": retry,
    }


DONE = {**status("201 Created", "Validations succeeded"), "kind": "Status", "revision": 1}
BLOCKED = says(409, status("409 Conflict", "Blocked by another process"), Retry_After="0")
BUSY = says(409, status("409 Conflict", "The first request still runs", retry=True))

CHANGES: dict[str, Callable[[StagingClient], object]] = {
    "create": lambda client: client.documents.create("a", b'{"a": 1}'),
    "empty": lambda client: client.documents.empty("a"),
    "commit": lambda client: client.documents.commit(),
    "rollback": lambda client: client.documents.rollback(1),
    "confirm": lambda client: client.documents.confirm(1),
    "site action": lambda client: client.documents.site_action("success"),
}


@pytest.mark.parametrize("lost", [hangs_up, BLOCKED, BUSY, says(503)])
@pytest.mark.parametrize("change", CHANGES)
def test_every_post_is_sent_again_with_its_key(change: str, lost: Step) -> None:
    with service(in_turn(lost, lost, says(201, DONE))) as running:
        with StagingClient(running.url, pacing=QUICK) as client:
            assert CHANGES[change](client) == DONE
            first, *others = running.seen
            assert len(others) == 2
            for other in others:
                assert (other.method, other.path, other.body) == (
                    *("POST", first.path),
                    first.body,
                )
                assert other.headers["Idempotency-Key"] == first.headers["Idempotency-Key"]
            assert first.headers["Prefer"].startswith("wait=")


def test_two_posts_have_two_keys() -> None:
    with service(lambda _: says(201, DONE)) as running, StagingClient(running.url) as client:
        client.documents.create("a", b"{}")
        client.documents.create("a", b"{}")
        keys = {each.headers["Idempotency-Key"] for each in running.seen}
        assert len(keys) == 2


def test_a_commit_of_nothing_is_not_sent_again_though_its_answer_says_retry() -> None:
    empty = status("409 Conflict", "Unable to commit configuration documents", retry=True)
    with service(lambda _: says(409, empty)) as running:
        with StagingClient(running.url, pacing=QUICK) as client, pytest.raises(Conflict) as refused:
            client.documents.commit()
        assert len(running.seen) == 1
        assert not refused.value.retryable
        assert not isinstance(refused.value, LockHeld)


def test_a_comparison_is_read_to_its_end() -> None:
    pages = [
        {"old": 1, "new": 2, "changes": [{"n": 1}, {"n": 2}], "next": "c/=&"},
        {"old": 1, "new": 2, "changes": [{"n": 3}], "next": None},
    ]
    with service(in_turn(*(says(200, page) for page in pages))) as running:
        with StagingClient(running.url) as client:
            found = client.documents.differences("committed", "buffer", rendered=True)
        assert found == {"old": 1, "new": 2, "changes": [{"n": n} for n in (1, 2, 3)], "next": None}
        assert "after" not in running.seen[0].path
        assert running.seen[1].path.endswith("&after=c%2F%3D%26")
        assert "rendered=true" in running.seen[1].path


def test_a_collection_is_read_with_the_etag_that_lets_only_this_version_be_replaced() -> None:
    text = says(200, raw=b"a: 1\n", ETag='"e"', Content_Type="application/x-yaml")
    with service(in_turn(text, says(201, DONE))) as running, StagingClient(running.url) as client:
        found = client.documents.posted("a")
        assert (found.text, found.etag) == (b"a: 1\n", '"e"')
        client.documents.create("a", b"{}", if_match=found.etag)
        assert running.seen[1].headers["If-Match"] == '"e"'
