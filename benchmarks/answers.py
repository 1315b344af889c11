"""The answers that a herd asks for all day, each beside a bare Falcon resource, in one run.

    python -m benchmarks.answers [--rounds 5] [--seconds 3] [--only static] [--rows 10000000]

One process of ours and one of gunicorn's with the bare resource answer by turns; 16 connections,
the load generator and PostgreSQL share the machine. Besides answers per second it prints what
processor time one answer takes: of the process that answers, and of PostgreSQL. On a busy machine
that says more than the rate. `--rows` adds so many rows of other builds, and measures again.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg2

from benchmarks import bench
from benchmarks.small_files import ARTIFACT, WORD, make_tar
from benchmarks.staging import Service, bare, fill, service
from staging_api.client import StagingClient

SMALL, BUSY = "small.bin", "busy.bin"
PLAIN = f"file:{SMALL}"
_BYTES = 4096
_OTHERS = 16  # as many as there are connections
_HELD_SECONDS = 24 * 3600.0
_HOLD = "SELECT result FROM lock_acquire(%s, 'archive', %s, 'bench', 'bench', NULL, %s, 0)"
_HOLDER = "01BENCH0000000000000000000"


@dataclass(frozen=True)
class Question:
    """A request of ours and the one of the peer.

    Attributes:
        goal: of our rate beside the peer's; None: there is none.
        others: paths of ours that take turns with the first, so that no two connections ask for
            the same thing at once.
        keep_alive: whether a connection has more than one request.
    """

    name: str
    goal: float | None
    path: str
    peer_path: str
    body: str | None = None
    status: int = 200
    others: tuple[str, ...] = ()
    keep_alive: bool = True


@dataclass
class Turn:
    """What one turn of load gave."""

    rate: float
    own_us: float
    database_us: float


@dataclass
class Measured:
    """The turns of a question, of ours and of the peer."""

    ours: list[Turn] = field(default_factory=list)
    peer: list[Turn] = field(default_factory=list)

    def line(self, question: Question) -> str:
        """The row of the table."""
        ratios = [a.rate / b.rate for a, b in zip(self.ours, self.peer, strict=True)]
        cpu = [
            (a.own_us + a.database_us) / (b.own_us + b.database_us)
            for a, b in zip(self.ours, self.peer, strict=True)
        ]
        return (
            f"| {question.name} | {question.goal or ''} | {median(ratios):.2f}"
            f" ({min(ratios):.2f} to {max(ratios):.2f}) | {1 / median(cpu):.2f}"
            f" | {_of(self.ours)} | {_of(self.peer)} |"
        )


def _of(turns: Sequence[Turn]) -> str:
    rate, own, database = (
        median(values)
        for values in zip(*((t.rate, t.own_us, t.database_us) for t in turns), strict=True)
    )
    return f"{rate:.0f}/s, {own:.0f} + {database:.0f} us"


HEADER = (
    "| answer | goal | ours beside the peer, answers a second: median (min to max)"
    " | the same by CPU an answer | ours: rate, CPU of it + PostgreSQL | peer |\n"
    "|---|---|---|---|---|---|"
)


def prepared(ours: Service, archive: str) -> list[Question]:
    """Stage what is asked for, hold the lock of what is refused; return the questions."""
    with StagingClient(ours.url) as client:
        staging = client.stage(archive, [PLAIN])
        packed = client.stage(archive, [ARTIFACT]).artifacts[0].path
        of_others = [client.stage(f"{archive}-{n}", [PLAIN]) for n in range(_OTHERS)]
    first, *rest = (f"/api/v1.0/stagings/{each.id}" for each in of_others)
    busy = f"{archive}-busy"
    with closing(psycopg2.connect(ours.database_url.replace("+psycopg2", ""))) as conn:
        conn.autocommit = True
        conn.cursor().execute(_HOLD, (_HOLDER, busy, _HELD_SECONDS))
    asked = f"archive_url={archive}&artifacts=&files={SMALL}"
    stagings = "/api/v1.0/stagings"
    peer = f"/?archive_url={archive}"
    wanted = json.dumps({"archive_url": archive, "artifacts": [PLAIN]})
    refused = json.dumps({"archive_url": busy, "artifacts": [f"file:{BUSY}"]})
    return [
        Question("POST of what is staged", 0.95, stagings, "/", wanted),
        Question("GET of a staging", 0.95, f"{stagings}/{staging.id}", peer),
        Question("409, another works on it", 0.95, stagings, "/", refused, status=409),
        Question("`is_staged`", 0.95, f"/is_staged?{asked}", peer),
        Question("`stage` of what is staged", 0.95, f"/stage?{asked}", peer),
        Question("4 KiB of a pack", 0.9, f"/static/{packed}f/4k", "/file"),
        Question("4 KiB, a blob", 0.9, f"/static{staging_path(staging)}", "/file"),
        # What a herd that asks for one thing spares is not in these.
        Question("GET of 16 stagings by turns", None, first, peer, others=tuple(rest)),
        Question("GET, each by a new connection", None, first, peer, keep_alive=False),
    ]


def staging_path(staging: object) -> str:
    """The path of the file of a staging with one."""
    return f"/{staging.artifacts[0].path}"  # type: ignore[attr-defined]


def make_builds(builds: Path) -> str:
    """Make an archive with a plain object and a container, and another beside it; its URL."""
    for name in ("R1", "R1-busy", *(f"R1-{n}" for n in range(_OTHERS))):
        folder = builds / name
        folder.mkdir(parents=True)
        (folder / SMALL).write_bytes(os.urandom(_BYTES))
        (folder / BUSY).write_bytes(b"busy")
    make_tar(builds / "R1" / WORD, 200, 1, {"f/4k": os.urandom(_BYTES)})
    return f"file://{builds}/R1"


def turn(url: str, question: Question, script: Path, seconds: int, pids: Sequence[int]) -> Turn:
    """Ask for so long; every answer has to be the one that is expected.

    Raises:
        SystemExit: one is not.
    """
    before = _cpu(pids)
    load = ["-t1", "-c16", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
    command = ["wrk", *load, url]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = _cpu(pids)
    wrong = re.search(r"wrong answers: (\d+)", out)
    if wrong is None or int(wrong[1]) or "Socket errors" in out:
        raise SystemExit(f"{question.name}: {out}")
    count = int(re.search(r"(\d+) requests in", out)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec: *([\d.]+)", out)[1])  # type: ignore[index]
    own, database = (1e6 * (b - a) / count for a, b in zip(before, after, strict=True))
    return Turn(rate, own, database)


def _cpu(pids: Sequence[int]) -> tuple[float, float]:
    """Seconds of the processes that answer, and of PostgreSQL's."""
    of_database = [pid for pid in pids if _is_postgres(pid)]
    return (
        bench.cpu_seconds([pid for pid in pids if pid not in of_database]),
        bench.cpu_seconds(of_database),
    )


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False


SCRIPT = """
wrk.method = '%(method)s'
wrk.body = %(body)s
wrk.headers['Content-Type'] = %(type)s
wrk.headers['Connection'] = %(connection)s
local paths = {%(paths)s}
local turn = 0
if #paths > 0 then
  function request()
    turn = turn %% #paths + 1
    return wrk.format(nil, paths[turn])
  end
end
local threads = {}
function setup(thread) table.insert(threads, thread) end
wrong = 0
function response(status) if status ~= %(status)d then wrong = wrong + 1 end end
function done()
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get('wrong') end
  print('wrong answers: ' .. all)
end
"""


def script_of(question: Question, status: int, paths: Sequence[str], scratch: Path) -> Path:
    """What the load generator does; without paths it asks for that of its URL alone."""
    script = scratch / f"ask-{status}.lua"
    body = question.body
    script.write_text(
        SCRIPT
        % {
            "method": "GET" if body is None else "POST",
            "body": "nil" if body is None else f"[[{body}]]",
            "type": "nil" if body is None else "'application/json'",
            "status": status,
            "connection": "nil" if question.keep_alive else "'close'",
            "paths": ", ".join(f"'{path}'" for path in paths),
        }
    )
    return script


#: URL, expected status, paths that take turns, processes that work, where the turns are added.
_Side = tuple[str, int, Sequence[str], Callable[[], Sequence[int]], list[Turn]]


def measure(
    ours: Service, questions: Sequence[Question], scratch: Path, given: argparse.Namespace
) -> dict[str, Measured]:
    """Let both answer each question by turns."""
    found = {question.name: Measured() for question in questions}
    with bare(ours, scratch / "peer.bin", processes=1) as (peer_url, peer_pids):

        def peer_all() -> list[int]:
            return [*peer_pids(), *(pid for pid in ours.pids() if _is_postgres(pid))]

        for number in range(given.rounds + 1):
            for question in questions:
                seconds = given.seconds if number else 1
                by_turns = (question.path, *question.others) if question.others else ()
                measured = found[question.name]
                both: list[_Side] = [
                    (peer_url + question.peer_path, 200, (), peer_all, measured.peer),
                    (ours.url + question.path, question.status, by_turns, ours.pids, measured.ours),
                ]
                for url, status, paths, pids, into in both:
                    script = script_of(question, status, paths, scratch)
                    took = turn(url, question, script, seconds, pids())
                    if number:  # the first warms both up
                        into.append(took)
    return found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default="", help="questions with this in their name")
    parser.add_argument("--rows", type=int, default=0, help="of other builds, added at last")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="answers-bench-") as folder:
        scratch = Path(folder)
        (scratch / "peer.bin").write_bytes(os.urandom(_BYTES))
        archive = make_builds(scratch / "builds")
        source = f"file://{scratch}/builds"
        with service(source, scratch, warmed=False, processes=1) as ours:
            questions = [q for q in prepared(ours, archive) if given.only in q.name]
            print(f"{bench.machine()}, load {os.getloadavg()[0]:.1f}\n\n{HEADER}", flush=True)
            for rows in (0, given.rows) if given.rows else (0,):
                if rows:
                    fill(ours.database_url, rows)
                    print(f"| with {rows} rows more | | | | | |")
                found = measure(ours, questions, scratch, given)
                for question in questions:
                    print(found[question.name].line(question), flush=True)


if __name__ == "__main__":
    main()
