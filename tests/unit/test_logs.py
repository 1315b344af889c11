"""What log lines say, and what they must not tell."""

import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from staging_api import logs

Form = Literal["console", "json"]
FORMS = pytest.mark.parametrize("form", ["console", "json"])


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, source = root.handlers[:], root.level, logging._srcfile
    # Other tests of this process have worked in the same context.
    logs.clear_log_context()
    yield
    logs.clear_log_context()
    root.handlers[:], root.level, logging._srcfile = handlers, level, source


def only_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().err.splitlines()
    shown: dict[str, Any] = json.loads(line)
    return shown


def test_a_line_of_a_library_has_every_id_of_the_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    logs.bind_log_context(request_id="r", caller="ci")
    logs.bind_log_context(lock_id="l", caller="boss")
    logging.getLogger("a.library").warning("%d of %s", 7, "9")
    shown = only_line(capsys)
    assert shown.pop("timestamp").endswith("Z")
    assert shown == {
        "event": "7 of 9",
        "level": "warning",
        "logger": "a.library",
        "request_id": "r",
        "reference_id": None,
        "lock_id": "l",
        "staging_id": None,
        "caller": "boss",
    }


def test_what_was_a_request_s_is_forgotten_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logs.bind_log_context(request_id="r", caller="ci")
    logs.clear_log_context()
    logging.getLogger("x").info("idle")
    shown = only_line(capsys)
    assert shown["request_id"] is None
    assert "caller" not in shown


def test_a_line_for_people_has_the_ids_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console")
    logs.bind_log_context(request_id="r-17")
    logging.getLogger("x").info("done")
    shown = capsys.readouterr().err
    assert "done" in shown
    assert "r-17" in shown
    assert "staging_id" not in shown


@pytest.mark.parametrize("text", ["two\nlines", "\udcff of a file's name", 'a "quote"', "grün"])
def test_every_log_record_is_one_line_of_json(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json")
    logging.getLogger("x").info("%s", text)
    assert only_line(capsys)["event"] == text


@FORMS
def test_a_traceback_names_lines_and_no_values(
    form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(form)
    try:
        raise_with("open sesame".replace(" ", "-"))
    except ValueError:
        logging.getLogger(__name__).exception("it failed")
    shown = capsys.readouterr().err
    assert "raise_with" in shown
    assert "open-sesame" not in shown


@FORMS
def test_a_secret_in_an_error_is_redacted(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(form)
    try:
        fail("no route to postgresql://staging:hunter22@db/staging")
    except ConnectionError:
        logging.getLogger(__name__).exception("it failed")
    shown = capsys.readouterr().err
    assert "no route to postgresql://***@db/staging" in shown
    assert "hunter22" not in shown


@FORMS
def test_secrets_in_the_message_and_in_ids_are_redacted(
    form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(form)
    logs.bind_log_context(caller="https://hunter22@idp/me")
    logging.getLogger("x").info("sent BEARER hunter22.hunter22")
    shown = capsys.readouterr().err
    assert "***" in shown
    assert "hunter22" not in shown


def fail(text: str) -> None:
    raise ConnectionError(text)


def raise_with(_password: str) -> None:
    raise ValueError("not good")


@pytest.mark.parametrize(
    "secret",
    [
        "postgresql+psycopg2://staging:hunter22@db/staging",
        "https://bucket.example/o?X-Amz-Signature=hunter22&x=1",
        "Authorization: Bearer hunter22.hunter22",
        "stg_hunter22hunter22hunter22",
        "eyJhunter22.hunter22.hunter22",
        "password=hunter22",
        "{'password': 'hunter22'}",
        "token: hunter22",
    ],
)
def test_what_looks_like_a_secret_is_hidden(secret: str) -> None:
    assert "hunter22" not in logs.redact(f"it failed: {secret} and so on")


@pytest.mark.parametrize(
    "harmless",
    [
        "GET /api/v1.0/stagings 200 1.5 ms",
        "gs://bucket/board/R17-1.0.0/update.gz",
        "tokens were read anew",
        "http://archive:8080/a?",
    ],
)
def test_what_does_not_is_left_as_it_is(harmless: str) -> None:
    assert logs.redact(harmless) == harmless


def test_an_exception_is_described_with_those_that_led_to_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    try:
        try:
            fail("no route")
        except ConnectionError as error:
            error.add_note("on Monday")
            raise ExceptionGroup("two", [KeyError("k"), OSError(5, "e")]) from error
    except ExceptionGroup:
        logging.getLogger("x").exception("it failed")
    group, cause = only_line(capsys)["exception"]
    assert (group["exc_type"], group["is_group"], group["is_cause"]) == (
        "ExceptionGroup",
        True,
        False,
    )
    assert [one["exc_type"] for (one,) in group["exceptions"]] == ["KeyError", "OSError"]
    assert [frame["name"] for frame in cause.pop("frames")][-1] == "fail"
    assert cause == {
        "exc_type": "ConnectionError",
        "exc_value": "no route",
        "exc_notes": ["on Monday"],
        "syntax_error": None,
        "is_cause": True,
        "is_group": False,
        "exceptions": [],
    }


def test_an_endless_recursion_is_described_by_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    try:
        recurse(200)
    except ConnectionError:
        logging.getLogger("x").exception("it failed")
    frames = only_line(capsys)["exception"][0]["frames"]
    assert len(frames) == 51
    assert frames[25]["name"].startswith("Skipped frames: 1")
    assert frames[-1]["name"] == "fail"


def test_an_error_that_its_own_cause_caused_is_described_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    logging.getLogger("x").error("it failed", exc_info=one)
    found = only_line(capsys)["exception"]
    assert [each["exc_value"] for each in found] == ["one", "other"]


def recurse(depth: int) -> None:
    if depth:
        recurse(depth - 1)
    fail("too deep")
