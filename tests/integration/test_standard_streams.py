"""Command line on standard streams that are closed, full, or of another encoding than the names."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from staging_api.cli.streams import standard_streams

NAME = "\u00e9 \u2013 \u2603 \U0001f600"
SAY = f"say({NAME!r})"
LINE = "staging-api: standard output cannot be written: No space left on device\n"
MAIN = "from staging_api.cli import main; main({!r})"


def run(
    program: str, streams: Mapping[str, Any] | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a Python program; standard output and standard error are pipes unless given."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **(streams or {})}
    command = [sys.executable, "-c", program]
    env = {**os.environ, **variables}
    return subprocess.run(command, check=False, env=env, timeout=120, **given)


def printing(statement: str) -> str:
    """Return a program that prints as the verbs do."""
    return (
        "from staging_api.cli.output import print_json, say\n"
        "from staging_api.cli.streams import standard_streams\n"
        f"with standard_streams():\n    {statement}"
    )


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp437"])
def test_a_name_that_the_terminal_has_not_is_escaped(encoding: str) -> None:
    done = run(printing(SAY), PYTHONIOENCODING=encoding)
    expected = NAME.encode(encoding, "backslashreplace") + os.linesep.encode()
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "utf-8"])
def test_json_is_json_in_any_encoding(encoding: str) -> None:
    done = run(printing(f"print_json({{'name': {NAME!r}}})"), PYTHONIOENCODING=encoding)
    # Even a stream that declares ASCII gets UTF-8.
    text = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)
    assert (done.returncode, json.loads(text)) == (0, {"name": NAME})


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "program",
    [
        MAIN.format(["--help"]),
        printing("say('x')"),
        printing("import sys; sys.stdout.write('x')"),
        printing(
            "from staging_api.cli.documents.reading import print_text;"
            " print_text(b'x' * 100_000, as_json=False)"
        ),
    ],
)
def test_a_result_that_finds_no_space_is_an_error_of_one_line(
    program: str, unbuffered: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(program, {"stdout": full}, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr.decode()) == (1, LINE)


def test_progress_that_finds_no_space_ends_nothing() -> None:
    with Path("/dev/full").open("wb") as full:
        program = printing("say('progress', err=True); say('result')")
        done = run(program, {"stderr": full}, PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stdout) == (0, b"result\n")


def test_a_reader_that_closes_early_causes_no_error_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run(printing("import sys; sys.stdout.write('x')"), {"stdout": writing})
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_that_is_closed_goes_nowhere(closed: int, tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from staging_api.cli.display import display\n"
        "from staging_api.cli.output import say\n"
        "from staging_api.cli.streams import standard_streams\n"
        "with standard_streams(), display(False) as shown:\n"
        f"    say('a result'); shown.note('progress'); assert os.fstat({closed})\n"
        f"    assert os.open({str(tmp_path / 'x')!r}, os.O_CREAT | os.O_WRONLY) > 2\n"
    )
    # Like `>&-` in a shell.
    start = (
        f"import os, sys; os.close({closed});"
        f" os.execv(sys.executable, [sys.executable, '-c', {program!r}])"
    )
    done = run(start)
    told = (done.stdout, done.stderr)
    expected = (b"", b"progress\n") if closed == 1 else (b"a result\n", b"")
    assert (done.returncode, told) == (0, expected)


def test_what_was_written_before_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "output").open("w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        sys.stdout.write("before, ")
        with standard_streams():
            sys.stdout.write("after")
    assert (tmp_path / "output").read_text() == "before, after"
