"""Command line against a loopback server: output and exit codes."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from staging_api.cli import VERBS, main
from staging_api.cli import locks as locks_verb
from staging_api.cli.cures import _CURES
from staging_api.cli.exits import EXIT_CODES, exit_code
from staging_api.cli.options import pacing_for
from staging_api.client import Pacing
from staging_api.errors import StagingApiError
from tests import forked_command
from tests.scripted_service import (
    STAGING_ID,
    STAGINGS,
    Script,
    Seen,
    Step,
    artifact,
    in_turn,
    lock,
    lock_held,
    problem,
    says,
    service,
    staging,
)

ARCHIVE = "gs://builds/board/R17-1"
#: Libraries of the service, which a client must not import. (Typer itself may import pydantic.)
SERVICE_ONLY = (
    "sqlalchemy",
    "falcon",
    "prometheus_client",
    "psycopg2",
    "alembic",
    "gunicorn",
    "obstore",
)
OUR_CLIENT = (
    "staging_api.cli",
    "staging_api.client",
    "staging_api.disk_room",
    "staging_api.environment",
    "staging_api.errors",
    "staging_api.bucket_answers",
    "staging_api.buckets",
    "staging_api.proxies",
    "staging_api.sizes",
    "staging_api.vocabulary",
)

ROOT = Path(__file__).parents[2]

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


def errors(
    kind: type[StagingApiError] = StagingApiError,
) -> Iterator[type[StagingApiError]]:
    """Yield every class of error that all parts share."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == StagingApiError.__module__:
            yield from errors(child)


def posted(
    *steps: Step, looks: Script = lambda _: says(200, {"items": [], "next": None})
) -> Script:
    """Return a script that answers POST by these steps, and GET by `looks`."""
    posts = in_turn(*steps)
    return lambda seen: posts(seen) if seen.method == "POST" else looks(seen)


def after(event: Event, step: Step) -> Step:
    """Return a step that answers once the event is set."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        event.wait(30)
        step(request)

    return answer


def test_stage_prints_the_staging_and_its_artifacts(run: Run) -> None:
    code, out, _ = run(posted(says(201, staging())), "stage", ARCHIVE, "--artifact", "full_payload")
    assert code == 0
    assert out.splitlines()[0] == f"staged {ARCHIVE} ({STAGING_ID})"
    assert "full_payload  staged  12.3 MB  /static/board/R17-1/update.gz" in out


#: Would clear the screen, set the window title, and reverse the colours of the following text.
HOSTILE = "a\x1b[2J\x9d0;owned\x9c\u202egnp\r"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_control_characters_are_printed_escaped(run: Run, options: tuple[str, ...]) -> None:
    shown = staging(artifacts=[artifact(name=HOSTILE, url=HOSTILE, warnings=[HOSTILE])])
    code, out, _ = run(posted(says(201, shown)), "stage", ARCHIVE, *options)
    assert code == 0
    refusal = problem("artifact_not_found", detail=HOSTILE)
    _, *refused = run(posted(says(404, refusal)), "stage", ARCHIVE, *options)
    for text in (out, "".join(refused)):
        assert "owned" in text
        assert all(each.isprintable() or each == "\n" for each in text)
    if options:
        assert json.loads(out)["artifacts"][0]["name"] == HOSTILE


def test_stage_with_json_prints_one_line_and_nothing_else(run: Run) -> None:
    code, out, err = run(posted(says(201, staging(mood="new"))), "stage", ARCHIVE, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert json.loads(out) == staging(mood="new")


def test_stage_shows_progress_while_the_request_runs(run: Run) -> None:
    looked = Event()

    def looks(seen: Seen) -> Step:
        if seen.path == "/":
            return says(200, {"links": {}})
        assert "reference_id=" in seen.path
        looked.set()
        return says(200, {"items": [staging("running")], "next": None})

    script = posted(after(looked, says(201, staging())), looks=looks)
    code, _, err = run(script, "stage", ARCHIVE)
    assert code == 0
    assert "full_payload: staging" in err
    assert err.splitlines()[0] == f"staging {STAGING_ID}"
    assert err.splitlines()[-1].startswith("full_payload: staged")


@pytest.mark.parametrize(
    ("state", "waiting_for", "said"),
    [
        ("running", ["full_payload"], "waits for its upload"),
        ("running", [], "waits for its turn"),
        ("queued", [], "waits for a worker"),
    ],
    ids=["upload", "turn", "worker"],
)
def test_progress_says_what_an_artifact_waits_for(
    run: Run, state: str, waiting_for: list[str], said: str
) -> None:
    waiting = artifact(state="pending", bytes_done=0)
    pending = staging(state, waiting_for=waiting_for, artifacts=[waiting])
    script = in_turn(says(200, pending, ETag="1"), says(200, staging(), ETag="2"))
    code, _, err = run(script, "wait", STAGING_ID)
    assert (code, err.splitlines()[1]) == (0, f"full_payload: {said}")


def test_stage_names_the_holder_it_waits_for_once(run: Run) -> None:
    script = posted(lock_held(), lock_held(), says(201, staging()))
    code, _, err = run(script, "stage", ARCHIVE)
    assert code == 0
    assert err.count("waiting for pod-3, which holds the archive lock") == 1


def test_stage_can_leave_the_work_to_a_worker(run: Run) -> None:
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
    assert err.splitlines()[-1] == (
        "staging-api: lock held: the detail of lock_held; `staging-api locks` shows who works; or"
        " give a longer --timeout (request r-1)"
    )


def test_a_service_out_of_reach_has_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stage", ARCHIVE, "--timeout", "0.1", "--server", "http://127.0.0.1:1"])
    assert ended.value.code == 6
    assert "cannot be reached: Connection refused" in capsys.readouterr().err


def test_a_database_out_of_reach_is_named_with_what_its_driver_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/staging")
    with pytest.raises(SystemExit) as ended:
        main(["migrate"])
    assert ended.value.code == 6
    said = capsys.readouterr().err
    assert '"127.0.0.1", port 1 failed: Connection refused' in said
    assert "STAGING_DATABASE_URL says where that is" in said
    assert "secret" not in said
    assert "readyz" not in said


def test_a_wrong_setting_is_not_called_a_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_WORKERS", "many")
    with pytest.raises(SystemExit) as ended:
        main(["api"])
    assert ended.value.code == 4
    assert "staging-api: The settings are not valid: STAGING_WORKERS: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("server", "waits"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://[::1]:80/x", True),
        ("http://pods.example:8080", False),
        ("http://127.0.0.1.example", False),
    ],
)
def test_a_service_of_this_machine_that_is_about_to_start_is_waited_for(
    server: str, waits: bool
) -> None:
    assert (pacing_for(server).refused_seconds > Pacing().refused_seconds) is waits


@pytest.mark.parametrize("verb", [("stage", ARCHIVE), ("status",)])
def test_what_is_no_address_is_refused_in_a_line(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*verb, "--server", "http://[::1"])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out, printed.err.count("\n")) == (4, "", 1)
    assert "must be http://... or https://..., not 'http://[::1'" in printed.err


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


def test_an_error_is_one_line_that_names_the_fields_and_the_request(run: Run) -> None:
    wrong = problem("invalid_request", errors=[{"field": "archive_url", "message": "no\nway"}])
    _, out, err = run(in_turn(says(400, wrong)), "stage", "nonsense")
    assert out == ""
    assert err == (
        "staging-api: invalid request: the detail of invalid_request; archive_url: no way"
        " (request r-1)\n"
    )


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("unauthenticated", "STAGING_TOKEN"),
        ("source_not_allowed", "STAGING_SOURCES"),
        ("archive_not_found", "catalogue --check"),
        # No prune: it frees nothing in a store of packages, and the service evicts by itself.
        ("no_space", "`staging-api store` shows"),
    ],
)
def test_an_error_says_what_to_do(run: Run, code: str, cure: str) -> None:
    _, _, err = run(in_turn(says(400, problem(code))), "status")
    assert cure in err
    assert err.count("\n") == 1


def test_each_cure_is_of_an_error_that_exists() -> None:
    known = {each.code for each in errors()}
    assert _CURES.keys() <= known


def test_the_page_has_each_exit_code_and_no_other() -> None:
    page = (ROOT / "docs/reference/command-line.md").read_text().partition("## Exit codes")[2]
    on_page = set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE))
    in_help = set(re.findall(r"^  (\d+) ", EXIT_CODES, re.MULTILINE))
    given = {str(exit_code(error("x"))) for error in errors()}
    assert on_page == in_help
    assert given | {"0", "2", "130"} == in_help


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


@pytest.mark.parametrize(
    ("limit", "expected"), [("0", 2), ("1", 0), ("1000", 0), ("1001", 2), ("x", 2)]
)
def test_a_list_is_of_one_to_a_thousand(run: Run, limit: str, expected: int) -> None:
    page = {"items": [staging(), staging("failed")]}
    code, out, _ = run(in_turn(says(200, page)), "status", "--limit", limit)
    assert code == expected
    assert len(out.splitlines()) == (0 if expected else min(int(limit), 2))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["status"], "no stagings"),
        (["artifacts"], "no artifacts"),
        (["locks"], "no locks"),
        (["locks", "--all"], "no locks"),
        (["publish", "list", "tools"], "no runs"),
        (["publish", "packages", "tools"], "no packages"),
        (["publish", "generations", "tools"], "no generations"),
        (["documents", "history"], "no revisions"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_empty_list_is_said_in_words(run: Run, arguments: list[str], word: str) -> None:
    script = in_turn(says(200, {"items": [], "next": None}))
    assert run(script, *arguments) == (0, "", f"{word}\n")


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run(in_turn(), "--version") == (0, f"staging-api {version('staging_api')}\n", "")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("staging-api pub", "publish"),
        ("staging-api locks b", "break"),
        ("staging-api publish publish-f", "publish-ftpmaster"),
        ("staging-api stage --back", "--background"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_verbs_actions_and_options(shell: str, line: str, offered: str) -> None:
    words = line.split()
    environment = {
        "_STAGING_API_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    if shell == "bash":
        environment |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        forked_command.words(),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert offered in done.stdout
    assert done.stderr == ""


def test_locks_are_watched_and_printed_when_they_change(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(locks_verb, "time", SimpleNamespace(sleep=pauses.append))
    lists = [[], [lock()], [lock()], [lock(), lock(id="01JD000000000000000000000M")]]
    answers = [says(200, {"items": items, "next": None}) for items in lists]
    code, out, err = run(in_turn(*answers), "locks", "--watch")
    assert code == 1  # the script has no more answers
    assert [line.split()[0][-1] for line in out.splitlines()] == ["L", "L", "M"]
    assert err.startswith("no locks\n")
    # Before each look except the first.
    assert pauses == [2] * len(lists)


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


@pytest.mark.parametrize(
    ("given", "days"), [(["--days", "2"], 2), (["--until", "2031-05-06"], None)]
)
def test_an_artifact_is_pinned_for_days_or_until_a_moment(
    run: Run, given: list[str], days: int | None
) -> None:
    sent: list[str] = []

    def script(seen: Seen) -> Step:
        sent.append(seen.body["until"])
        return says(200, artifact())

    before = datetime.now(UTC)
    code, out, err = run(script, "pin", "A", *given)
    assert (code, err) == (0, "")
    assert out.startswith("staged full_payload")
    (until,) = map(datetime.fromisoformat, sent)
    if days is None:
        assert until == datetime(2031, 5, 6, tzinfo=UTC)
    else:
        since = until - timedelta(days=days)
        assert before - timedelta(seconds=1) <= since <= datetime.now(UTC)


def test_a_pin_is_released_and_needs_exactly_one_of_three_options(run: Run) -> None:
    def script(seen: Seen) -> Step:
        assert seen.body == {"until": None}
        return says(200, artifact())

    assert run(script, "pin", "A", "--release")[0] == 0
    for wrong in ([], ["--release", "--days", "1"], ["--days", "1", "--until", "2031-05-06"]):
        code, _, err = run(script, "pin", "A", *wrong)
        assert code == 2
        assert "give one of --days, --until and --release" in err


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
        ["locks", "--watch", "--all"],
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


def test_a_terminal_shows_progress_bars() -> None:
    looked, times = Event(), [0]

    def looks(_: Seen) -> Step:
        times[0] += 1
        if times[0] > 1:  # by then the first progress bar has been drawn
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
    assert f"staging {STAGING_ID}" in drawn
    assert "/100 bytes" not in drawn
    assert "0/" not in drawn
    assert "waiting for pod-3" in drawn


def drain(terminal: int) -> str:
    """Return all bytes written to a terminal until its other end is closed."""
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
        return says(200, {"items": [staging("running")], "next": None})

    with service(script) as running:
        command = [sys.executable, "-m", "staging_api", "stage", ARCHIVE, "--server", running.url]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
            assert asked.wait(30)
            child.send_signal(2)
            err = child.communicate(timeout=30)[1].decode()
        over.set()
    assert child.returncode == 130
    assert "Traceback" not in err
    assert f"staging {STAGING_ID} goes on" in err.splitlines()[-1]
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
