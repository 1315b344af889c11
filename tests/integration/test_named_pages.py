"""Dashboard addresses in the command line's output, if the service has a dashboard."""

import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest

from staging_api.cli import main
from tests.scripted_service import (
    STAGING_ID,
    Script,
    Seen,
    Step,
    lock_held,
    problem,
    says,
    service,
    staging,
)

RUN_ID = "01JD000000000000000000000R"
MARKER = "X-Context-Marker"
Run = Callable[..., tuple[int, str, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb against a scripted service: code, output, errors, address."""

    def run(script: Script, *arguments: str) -> tuple[int, str, str, str]:
        with service(script) as running:
            monkeypatch.setenv("STAGING_SERVER", running.url)
            with pytest.raises(SystemExit) as ended:
                main(arguments)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err, running.url

    return run


def after(event: Event, step: Step) -> Step:
    """Return a step that answers once the event is set."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        event.wait(30)
        step(request)

    return answer


def at_root(links: object, others: Script) -> Script:
    """Return a script that answers ``GET /`` with these links, and the rest by `others`."""
    return lambda seen: says(200, {"links": links}) if seen.path == "/" else others(seen)


PAGES = {"dashboard": "/ui", "me": "/api/v1.0/me"}


def test_a_staging_is_shown_with_its_page(run: Run) -> None:
    script = at_root(PAGES, lambda _: says(200, staging()))
    code, out, err, url = run(script, "status", STAGING_ID)
    assert (code, out.splitlines()[0].split()[0]) == (0, "staged")
    assert err == f"see {url}/ui/stagings/{STAGING_ID}\n"


@pytest.mark.parametrize("links", [{"me": "/api/v1.0/me"}, {"dashboard": 7}, None, []])
def test_a_service_without_pages_names_none(run: Run, links: object) -> None:
    code, _, err, _ = run(at_root(links, lambda _: says(200, staging())), "status", STAGING_ID)
    assert (code, err) == (0, "")


def test_json_is_one_line_and_asks_for_no_page(run: Run) -> None:
    def script(seen: Seen) -> Step:
        assert seen.path != "/"
        return says(200, staging())

    code, out, err, _ = run(script, "status", STAGING_ID, "--json")
    assert (code, out.count("\n"), err) == (0, 1, "")


def test_an_error_names_the_page_of_the_lock_in_its_line(run: Run) -> None:
    script = at_root(PAGES, lambda _: lock_held("30"))
    code, _, err, url = run(script, "stage", "gs://builds/board/R17-1", "--timeout", "1")
    assert code == 3
    assert re.fullmatch(r"staging-api: [^\n]+\n", err.splitlines(keepends=True)[-1])
    assert f"; see {url}/ui/locks/01JD000000000000000000000L (request r-1)" in err


def test_an_error_without_a_page_leads_to_its_cause_and_cure(run: Run) -> None:
    script = at_root(PAGES, lambda _: says(404, problem("not_found", help="/errors/not_found")))
    code, _, err, url = run(script, "status", STAGING_ID)
    assert (code, err.count("\n")) == (5, 1)
    assert f"; see {url}/errors/not_found (request r-1)" in err


def test_the_help_of_an_operator_is_named_as_it_is(run: Run) -> None:
    page = "https://wiki.example.org/staging#not_found"
    script = at_root(PAGES, lambda _: says(404, problem("not_found", help=page)))
    assert f"; see {page} " in run(script, "status", STAGING_ID)[2]


def test_a_publisher_run_is_named_and_followed_while_it_runs(run: Run) -> None:
    looked = Event()
    run_ = {
        "id": RUN_ID,
        "operation": "publish-distro",
        "archive": "example",
        "state": "running",
        "started_at": "2026-11-22T09:00:00Z",
        "phase": "index",
        "items_total": 12,
    }
    other = {**run_, "id": "01JD000000000000000000000Q", "reference_id": "of-another"}

    def script(seen: Seen) -> Step:
        if seen.method == "POST":
            return lambda request: (
                looked.wait(30),
                says(201, {**run_, "state": "succeeded"})(request),
            )[1]
        ours = {**run_, "reference_id": seen.headers[MARKER]}
        looked.set()
        return says(200, {"items": [other, ours], "next": None})

    code, out, err, url = run(at_root(PAGES, script), "publish", "publish-distro", "example")
    assert (code, out) == (0, f"succeeded example ({RUN_ID}): nothing to do\n")
    assert err.splitlines() == [f"run {RUN_ID}", "index, 12 to do", f"see {url}/ui/apt/example"]


def test_a_list_of_events_without_any_says_so(run: Run) -> None:
    code, out, err, _ = run(lambda _: says(200, {"items": [], "next": None}), "events")
    assert (code, out, err) == (0, "", "no events\n")
