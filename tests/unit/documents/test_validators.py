"""Requests to validators: their content, and the caller in their headers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from staging_api.documents import validators
from staging_api.documents.validators import Validators, parse_validators
from staging_api.errors import Unavailable
from tests.scripted_http import Reply, scripted_http
from tests.slow_answers import dripping

TWO = parse_validators("one=http://one.test/design, two=http://two.test/design")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, Mapping[str, str], float]]:
    """Record body, headers and timeout of each request by address; each gets its own response."""
    found: dict[str, tuple[Any, Mapping[str, str], float]] = {}

    def answer(
        url: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Sequence[Mapping[str, Any]]:
        found[url] = json.loads(body), headers, seconds
        return [{"message": f"by {url}"}]

    monkeypatch.setattr(validators, "_answer", answer)
    return found


def test_each_is_asked_about_the_revision_for_the_request(
    sent: dict[str, tuple[Any, Mapping[str, str], float]], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    messages = Validators(TWO, 3, "http://service.test", token).ask(7, "a-marker")
    href = "http://service.test/api/v1.0/renderedconfigdocs?revision=7"
    headers = {
        "Content-Type": "application/json",
        "X-Context-Marker": "a-marker",
        "X-Auth-Token": "secret",
    }
    body = {"rel": "design", "href": href, "type": "application/x-yaml"}
    assert sent == {each.url: (body, headers, 3) for each in TWO}
    assert [each["message"] for each in messages] == [f"by {each.url}" for each in TWO]


def test_without_a_marker_or_a_token_none_is_sent(
    sent: dict[str, tuple[Any, Mapping[str, str], float]],
) -> None:
    Validators(TWO).ask(7, None)
    assert [headers for _, headers, _ in sent.values()] == [
        {"Content-Type": "application/json"} for _ in TWO
    ]
    assert {seconds for _, _, seconds in sent.values()} == {60}


def test_without_the_token_nothing_is_asked(
    sent: dict[str, tuple[Any, Mapping[str, str], float]], tmp_path: Path
) -> None:
    with pytest.raises(Unavailable) as refused:
        Validators(TWO, token_file=tmp_path / "none").ask(7, None)
    assert refused.value.retry_after_seconds == 5
    assert not sent


def test_where_none_is_configured_none_is_asked(
    sent: dict[str, tuple[Any, Mapping[str, str], float]],
) -> None:
    assert Validators().ask(7, None) == []
    assert not sent


@pytest.mark.parametrize(
    "beginning",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 ",
    ],
    ids=["a body", "a body without a length", "a head"],
)
def test_an_answer_that_comes_byte_by_byte_ends_with_its_time(beginning: bytes) -> None:
    with dripping(beginning) as url:
        slow = parse_validators(f"slow={url}/design")
        (message,) = Validators(slow, seconds=0.3).ask(7, None)
    assert message["diagnostic"] == "TimeoutError: the answer did not end in time"
    assert message["error"]


MESSAGE = b'{"details": {"messageList": [{"message": "fine"}]}}'


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (Reply(200, MESSAGE), None),
        (Reply(200, MESSAGE.ljust(4 << 20)), None),
        (Reply(200, MESSAGE.ljust((4 << 20) + 1)), "ValueError: more than 4194304 bytes"),
        (Reply(201, MESSAGE), "ValueError: status 201"),
        (Reply(401, MESSAGE), "ValueError: status 401"),
        (Reply(500, MESSAGE), "ValueError: status 500"),
        (Reply(302, headers={"Location": "/there"}), "ValueError: status 302"),
        (Reply(200, b"[]"), "TypeError: the answer has no details"),
        (
            Reply(200, b'{"details": {"messageList": [1]}}'),
            "TypeError: details.messageList is not a list of messages",
        ),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_why(reply: Reply, shown: str | None) -> None:
    with scripted_http(lambda _asked: reply) as server:
        one = parse_validators(f"one={server.url}/design")
        (message,) = Validators(one, seconds=20).ask(7, None)
    assert [each.path for each in server.asked] == ["/design"]
    assert (message["source"], message["error"]) == ("one", shown is not None)
    assert message["diagnostic"] == shown
    if shown is None:
        assert message["message"] == "fine"


@pytest.mark.parametrize(
    ("said", "listed", "shown"),
    [
        ({}, [], ["refused without a message"]),
        ({"message": "no room"}, [], ["no room"]),
        ({"message": "no room"}, [{"message": "a hint"}], ["a hint", "no room"]),
        ({"message": "no room"}, [{"message": "a fault", "error": True}], ["a fault"]),
    ],
)
def test_a_refusal_has_an_error_message_even_if_the_validator_lists_none(
    said: Mapping[str, Any], listed: Sequence[Mapping[str, Any]], shown: list[str]
) -> None:
    document = {**said, "details": {"messageList": listed}}
    found = validators._messages(400, document)
    assert [each["message"] for each in found] == shown
    assert any(each.get("error") for each in found)
    assert validators._messages(200, document) == listed
