"""Log lines: their content, and secrets that they must not contain."""

import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from staging_api import logs
from staging_api.log_writer import LineWriter

Form = Literal["console", "json"]
FORMS = pytest.mark.parametrize("form", ["console", "json"])


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, source = root.handlers[:], root.level, logging._srcfile
    of_steps = logging.getLogger("alembic").level
    # Other tests of this process have used the same context.
    logs.clear_log_context()
    yield
    logs.clear_log_context()
    root.handlers[:], root.level, logging._srcfile = handlers, level, source
    logging.getLogger("alembic").setLevel(of_steps)


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


@pytest.mark.parametrize(("logger", "is_shown"), [("alembic.runtime", False), ("a.library", True)])
def test_what_each_step_of_the_schema_says_is_not_shown(
    capsys: pytest.CaptureFixture[str], logger: str, is_shown: bool
) -> None:
    logging.getLogger("alembic").setLevel(logging.NOTSET)
    logs.configure("console")
    logging.getLogger(logger).info("running upgrade")
    logging.getLogger(logger).warning("a step is slow")
    lines = capsys.readouterr().err.splitlines()
    assert [("upgrade" in line, "slow" in line) for line in lines] == (
        [(True, False), (False, True)] if is_shown else [(False, True)]
    )


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


class Wordless(Exception):
    """Error that cannot be converted to text."""

    def __str__(self) -> str:
        raise ZeroDivisionError


@FORMS
def test_a_call_whose_values_do_not_fit_its_text_writes_a_line_with_both_and_no_secret(
    form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(form)
    log = logging.getLogger("a.library")
    log.info("%d files of %s", "no number", "https://ci:hunter22@host/")
    log.info("one of %s", "two", "three")  # noqa: PLE1205 - a mistake, which this is about
    log.info(Wordless())
    first, second, third = capsys.readouterr().err.splitlines()
    assert "%d files of %s ('no number', 'https://***@host/')" in first
    assert "one of %s ('two', 'three')" in second
    assert "<str-error ZeroDivisionError> ()" in third
    assert form == "console" or json.loads(first)["logger"] == "a.library"


def test_an_error_that_cannot_say_what_happened_is_described_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    logging.getLogger("x").error("it failed", exc_info=Wordless())
    (described,) = only_line(capsys)["exception"]
    assert (described["exc_type"], described["exc_value"]) == (
        "Wordless",
        "<str-error ZeroDivisionError>",
    )


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
def test_harmless_texts_are_not_redacted(harmless: str) -> None:
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


def test_a_line_that_holds_no_error_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logging.getLogger("x").info("done", exc_info=True)  # noqa: LOG014 - there is none
    assert "exception" not in only_line(capsys)


def test_an_error_that_another_one_hides_or_follows_is_told_as_python_tells_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    for hidden in (True, False):
        try:
            try:
                fail("no route")
            except ConnectionError:
                if hidden:
                    raise ValueError("later") from None
                raise ValueError("later")  # noqa: B904 - it follows
        except ValueError:
            logging.getLogger("x").exception("it failed")
    first, second = (
        [each["exc_value"] for each in json.loads(line)["exception"]]
        for line in capsys.readouterr().err.splitlines()
    )
    assert (first, second) == (["later"], ["later", "no route"])


def test_an_error_that_led_to_itself_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    logging.getLogger("x").error("it failed", exc_info=one)
    told = [each["exc_value"] for each in only_line(capsys)["exception"]]
    assert told == ["one", "other"]


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (
            SyntaxError("bad", ("a.py", 3, 7, "x = (")),
            {"offset": 7, "filename": "a.py", "line": "x = (", "lineno": 3, "msg": "bad"},
        ),
        (
            SyntaxError("bad"),
            {"offset": 0, "filename": "?", "line": "", "lineno": 0, "msg": "bad"},
        ),
    ],
)
def test_an_error_of_syntax_says_where_it_is_as_far_as_it_is_known(
    error: SyntaxError, place: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json")
    logging.getLogger("x").error("it failed", exc_info=error)
    assert only_line(capsys)["exception"][0]["syntax_error"] == place


@pytest.mark.parametrize(
    ("level", "colour"),
    [("DEBUG", 32), ("INFO", 32), ("WARNING", 33), ("ERROR", 31), ("CRITICAL", 31), ("OWN", 0)],
)
def test_a_terminal_shows_levels_in_colours_and_a_file_does_not(level: str, colour: int) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "done", (), None)
    record.levelname = level
    plain = logs.Lines(coloured=False).format(record)
    shown = logs.Lines(coloured=True).format(record)
    assert "\033" not in plain
    assert f"[\033[{colour}m{level.lower():<9}\033[0m]" in shown


def refuse(_: object) -> bool:
    return False


class Taken(logging.Handler):
    """Handler that keeps its records."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize(
    "arranged",
    [
        "nothing else",
        *("filter of the logger", "level of the logger", "handler of the logger"),
        *("filter of the handler", "level of the handler"),
        *("another handler", "handler of the logger above"),
    ],
)
def test_a_line_that_is_said_passes_all_that_any_line_passes(
    form: Form, arranged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(form)
    root, name = logging.getLogger(), f"said {form} {arranged}"
    log, above, taken = logging.getLogger(f"{name}.below"), logging.getLogger(name), Taken()
    if arranged != "handler of the logger above":
        log.parent = root
    match arranged:
        case "filter of the logger":
            log.addFilter(refuse)
        case "level of the logger":
            log.setLevel(logging.WARNING)
        case "handler of the logger":
            log.addHandler(taken)
        case "filter of the handler":
            root.handlers[0].addFilter(refuse)
        case "level of the handler":
            root.handlers[0].setLevel(logging.WARNING)
        case "another handler":
            root.addHandler(taken)
        case "handler of the logger above":
            above.addHandler(taken)
    logs.say(log, "one")
    refused = arranged.startswith(("filter", "level"))
    assert capsys.readouterr().err.count("one") == (0 if refused else 1)
    assert taken.lines == (["one"] if "handler" in arranged and not refused else [])


def test_every_handler_is_flushed_and_those_of_ours_are_started() -> None:
    class Other(logging.Handler):
        flushed = False

        def flush(self) -> None:
            self.flushed = True

    logs.configure("json")
    root = logging.getLogger()
    ours, other = root.handlers[0], Other()
    root.addHandler(other)
    logs.write_together()
    assert isinstance(ours, LineWriter)
    assert ours._thread is not None
    logs.flush()
    assert other.flushed


def fall(depth: int) -> None:
    if depth > 1:
        fall(depth - 1)
    raise ValueError("at the bottom")


@pytest.mark.parametrize("more", [0, 1, 9])
def test_the_middle_of_a_deep_traceback_is_left_out_and_counted(more: int) -> None:
    with pytest.raises(ValueError, match="bottom") as raised:
        fall(50 + more)
    traceback = raised.value.__traceback__
    assert traceback is not None
    frames = logs._frames(traceback.tb_next)  # without the frame of this test itself
    gaps = [frame["name"] for frame in frames if not frame["filename"]]
    assert gaps == ([f"Skipped frames: {more}"] if more else [])
    assert len(frames) - len(gaps) == 50
    assert {frame["name"] for frame in frames if frame["filename"]} == {"fall"}
