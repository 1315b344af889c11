"""The command line against a server on loopback: what it prints, and what it exits with."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest

from staging_api.cli import VERBS, main
from tests.scripted_service import (
    STAGING_ID,
    STAGINGS,
    Script,
    Seen,
    Step,
    in_turn,
    lock,
    lock_held,
    problem,
    says,
    service,
    staging,
)

ARCHIVE = "gs://builds/board/R17-1"
#: What a client must not load: it is the service's. (Typer itself may load pydantic.)
SERVICE_ONLY = (
    "sqlalchemy",
    "falcon",
    "pydantic_settings",
    "psycopg2",
    "alembic",
    "gunicorn",
    "obstore",
)
OUR_CLIENT = (
    "staging_api.cli",
    "staging_api.client",
    "staging_api.errors",
    "staging_api.vocabulary",
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line against a service with this script: code, output, errors."""

    def run(script: Script, *arguments: str) -> tuple[int, str, str]:
        with service(script) as running:
            monkeypatch.setenv("STAGING_SERVER", running.url)
            with pytest.raises(SystemExit) as ended:
                main(arguments)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def posted(
    *steps: Step, looks: Script = lambda _: says(200, {"items": [], "next": None})
) -> Script:
    """Answer POST by these steps, and GET by `looks`."""
    posts = in_turn(*steps)
    return lambda seen: posts(seen) if seen.method == "POST" else looks(seen)


def after(event: Event, step: Step) -> Step:
    """Answer once that has happened."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        event.wait(30)
        step(request)

    return answer


def test_stage_prints_the_staging_and_its_artifacts(run: Run) -> None:
    code, out, _ = run(posted(says(201, staging())), "stage", ARCHIVE, "--artifact", "full_payload")
    assert code == 0
    assert out.splitlines()[0] == f"staged {ARCHIVE} ({STAGING_ID})"
    assert "full_payload  staged  12.3 MB  /static/board/R17-1/update.gz" in out


def test_stage_with_json_prints_one_line_and_nothing_else(run: Run) -> None:
    code, out, err = run(posted(says(201, staging(mood="new"))), "stage", ARCHIVE, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert json.loads(out) == staging(mood="new")


def test_stage_shows_progress_while_the_request_runs(run: Run) -> None:
    looked = Event()

    def looks(seen: Seen) -> Step:
        assert "reference_id=" in seen.path
        looked.set()
        return says(200, {"items": [staging("running")], "next": None})

    script = posted(after(looked, says(201, staging())), looks=looks)
    code, _, err = run(script, "stage", ARCHIVE)
    assert code == 0
    assert "full_payload: staging" in err
    assert err.splitlines()[-1].startswith("full_payload: staged")


def test_stage_names_the_holder_it_waits_for_once(run: Run) -> None:
    script = posted(lock_held(), lock_held(), says(201, staging()))
    code, _, err = run(script, "stage", ARCHIVE)
    assert code == 0
    assert err.count("waiting for pod-3, which holds the archive lock") == 1


def test_stage_can_leave_it_to_a_worker(run: Run) -> None:
    code, out, _ = run(posted(says(202, staging("queued"))), "stage", ARCHIVE, "--no-wait")
    assert code == 0
    assert out.startswith("queued")


def test_stage_can_wait_for_the_background_too(run: Run) -> None:
    waited: list[str] = []

    def looks(seen: Seen) -> Step:
        if not seen.path.startswith(f"{STAGINGS}/"):
            return says(200, {"items": [], "next": None})
        waited.append(seen.path)
        return says(200, staging("staged"))

    script = posted(says(201, staging("foreground_staged")), looks=looks)
    code, out, _ = run(script, "stage", ARCHIVE, "--background")
    assert code == 0
    assert out.startswith("staged")
    assert waited == [f"{STAGINGS}/{STAGING_ID}"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says(502, problem("source_failed", retryable=True)), 1),
        (says(500, raw=b"oops"), 1),
        (says(409, problem("cancelled")), 1),
        (says(409, problem("conflict")), 3),
        (says(400, problem("invalid_request")), 4),
        (says(401, problem("unauthenticated")), 4),
        (says(403, problem("source_not_allowed")), 4),
        (says(404, problem("archive_not_found")), 5),
        (says(503, problem("unavailable")), 6),
    ],
)
def test_each_error_has_its_exit_code(run: Run, answer: Step, code: int) -> None:
    assert run(posted(answer), "stage", ARCHIVE)[0] == code


def test_a_conflict_until_the_time_is_over_has_its_exit_code(run: Run) -> None:
    code, _, err = run(lambda _: lock_held("30"), "stage", ARCHIVE, "--timeout", "0.3")
    assert code == 3
    assert "staging-api: lock held: the detail of lock_held" in err


def test_a_service_out_of_reach_has_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stage", ARCHIVE, "--timeout", "0.1", "--server", "http://127.0.0.1:1"])
    assert ended.value.code == 6
    assert "cannot be reached: Connection refused" in capsys.readouterr().err


def test_a_wait_that_takes_too_long_has_its_exit_code(run: Run) -> None:
    script = in_turn(says(200, staging("running")))
    assert run(script, "wait", STAGING_ID, "--timeout", "0")[0] == 7


def test_an_error_with_json_is_one_line_too(run: Run) -> None:
    wrong = problem("invalid_request", errors=[{"field": "archive_url", "message": "no"}])
    code, out, err = run(in_turn(says(400, wrong)), "stage", "nonsense", "--json")
    assert (code, err) == (4, "")
    shown = json.loads(out)
    assert (shown["code"], shown["retryable"]) == ("invalid_request", False)
    assert shown["errors"] == [{"field": "archive_url", "message": "no"}]


def test_an_error_names_the_fields_and_the_request(run: Run) -> None:
    wrong = problem("invalid_request", errors=[{"field": "archive_url", "message": "no"}])
    _, out, err = run(in_turn(says(400, wrong)), "stage", "nonsense")
    assert out == ""
    assert "  archive_url: no" in err
    assert "request id r-1" in err


def test_wait_for_the_foreground_ends_with_it(run: Run) -> None:
    script = in_turn(says(200, staging("foreground_staged")))
    assert run(script, "wait", STAGING_ID, "--foreground")[0] == 0


def test_wait_for_what_failed_exits_by_its_reason(run: Run) -> None:
    failure = {"code": "archive_not_found", "retryable": False, "message": "gone"}
    code, _, err = run(in_turn(says(200, staging("failed", error=failure))), "wait", STAGING_ID)
    assert code == 5
    assert "gone" in err


def test_status_of_what_failed_is_no_failure(run: Run) -> None:
    code, out, _ = run(in_turn(says(200, staging("failed"))), "status", STAGING_ID)
    assert code == 0
    assert out.startswith("failed")


def test_status_lists_at_most_the_limit(run: Run) -> None:
    page = {"items": [staging(), staging("failed")], "next": "01A"}
    code, out, _ = run(in_turn(says(200, page)), "status", "--limit", "2")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == ["staged", "failed"]


def test_nothing_to_list_is_nothing_printed(run: Run) -> None:
    assert run(in_turn(says(200, {"items": [], "next": None})), "status") == (0, "", "")


def test_cancel_shows_the_state(run: Run) -> None:
    code, out, _ = run(in_turn(says(202, staging("cancelled"))), "cancel", STAGING_ID)
    assert code == 0
    assert out.startswith("cancelled")


def test_locks_lists_the_held_locks(run: Run) -> None:
    script = in_turn(says(200, {"items": [lock()], "next": None}))
    code, out, _ = run(script, "locks")
    assert code == 0
    assert "held  archive  gs://builds/board/R17-1  pod-3" in out


def test_locks_with_json_is_one_line(run: Run) -> None:
    script = in_turn(says(200, {"items": [lock()], "next": None}))
    assert json.loads(run(script, "locks", "--all", "--json")[1]) == {"items": [lock()]}


def test_a_lock_is_broken_with_a_reason(run: Run) -> None:
    def script(seen: Seen) -> Step:
        assert (seen.method, seen.body) == ("DELETE", {"reason": "the pod is gone"})
        return says(200, lock(outcome="broken"))

    code, out, _ = run(script, "locks", "break", "L", "--reason", "the pod is gone")
    assert code == 0
    assert out.startswith("broken archive")


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["stage"],
        ["stage", ARCHIVE, "--timeout", "soon"],
        ["stage", ARCHIVE, "--no-wait", "--background"],
        ["locks", "break", "L"],
        ["locks", "smash"],
    ],
)
def test_a_wrong_command_line_sends_nothing(run: Run, arguments: list[str]) -> None:
    code, out, err = run(in_turn(), *arguments)
    assert (code, out) == (2, "")
    assert "Error" in err


def test_help_lists_each_verb_and_the_exit_codes(run: Run) -> None:
    code, out, _ = run(in_turn(), "--help")
    assert code == 0
    assert all(f"  {verb} " in out and each.line in out for verb, each in VERBS.items())
    assert "    3    in conflict" in out


def test_on_a_terminal_there_are_bars() -> None:
    looked, times = Event(), [0]

    def looks(_: Seen) -> Step:
        times[0] += 1
        if times[0] > 1:  # by then the first has been drawn
            looked.set()
        return says(200, {"items": [staging("running")], "next": None})

    script = posted(lock_held(), after(looked, says(201, staging())), looks=looks)
    ours, theirs = pty.openpty()
    with service(script) as running:
        command = [sys.executable, "-m", "staging_api", "stage", ARCHIVE, "--server", running.url]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
        os.close(theirs)
        drawn = drain(ours)
        with child:
            assert child.communicate(timeout=30)[0].startswith(b"staged ")
    assert "━" in drawn
    assert "full_payload staging" in drawn
    assert "waiting for pod-3" in drawn


def drain(terminal: int) -> str:
    """All that is written to a terminal until its other end is closed."""
    chunks: list[bytes] = []
    try:
        while chunk := os.read(terminal, 65536):
            chunks.append(chunk)
    except OSError:  # Linux: the other end is closed
        pass
    finally:
        os.close(terminal)
    return b"".join(chunks).decode()


def test_ctrl_c_ends_at_once_and_leaves_the_service_alone() -> None:
    asked, over = Event(), Event()

    def script(seen: Seen) -> Step:
        if seen.method == "POST":
            asked.set()
            return after(over, says(201, staging()))
        return says(200, {"items": [], "next": None})

    with service(script) as running:
        command = [sys.executable, "-m", "staging_api", "stage", ARCHIVE, "--server", running.url]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
            assert asked.wait(30)
            child.send_signal(2)
            err = child.communicate(timeout=30)[1].decode()
        over.set()
    assert child.returncode == 130
    assert "Traceback" not in err
    assert {seen.method for seen in running.seen} <= {"GET", "POST"}


@pytest.mark.parametrize(
    ("arguments", "script"),
    [
        (["stage", ARCHIVE], posted(says(201, staging()))),
        (["wait", STAGING_ID], lambda _: says(200, staging())),
        (["status"], lambda _: says(200, {"items": [], "next": None})),
        (["cancel", STAGING_ID], lambda _: says(202, staging())),
        (["locks"], lambda _: says(200, {"items": [], "next": None})),
        (["--help"], in_turn()),
    ],
)
def test_a_client_verb_loads_nothing_of_the_service(arguments: list[str], script: Script) -> None:
    program = (
        "import sys\n"
        "from staging_api.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: code = ended.code\n"
        "print(); print(code or 0, *sys.modules)\n"
    )
    with service(script) as running:
        ran = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "STAGING_SERVER": running.url},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    code, *modules = ran.stdout.splitlines()[-1].split()
    assert code == "0"
    assert not [each for each in modules if each.split(".")[0] in SERVICE_ONLY]
    ours = [each for each in modules if each.startswith("staging_api.")]
    assert not [each for each in ours if not each.startswith(OUR_CLIENT)]


def test_importing_the_client_loads_no_http_library_yet() -> None:
    program = "import sys, staging_api.client; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    modules = ran.stdout.split()
    assert not {"urllib3", "typer", "rich", "http.client", "ssl"} & set(modules)
    ours = [each for each in modules if each.startswith("staging_api.")]
    assert all(each.startswith(OUR_CLIENT[1:]) for each in ours)
