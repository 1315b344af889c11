"""Frequent requests of many clients, each beside a bare Falcon resource, in one run.

    python -m benchmarks.answers [--rounds 5] [--seconds 3] [--only static] [--rows 10000000]

A process of ours and a gunicorn process with the bare resource take turns; 16 connections, the load
generator and PostgreSQL share the machine. Besides responses per second, it prints the processor
time per response: of the serving process, and of PostgreSQL. On a busy machine, this is more
reliable than the rate. `--rows` adds this many rows of other builds, and measures again.
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
    """A request to our service, and the corresponding request to the peer.

    Attributes:
        goal: goal for the ratio of our rate to the peer's; None: no goal.
        others: our paths that take turns with the first, so that no two connections request the
            same object at once.
        keep_alive: whether a connection carries more than one request.
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
    """Results of a turn of load."""

    rate: float
    own_us: float
    database_us: float


@dataclass
class Measured:
    """The turns of a request, ours and the peer's."""

    ours: list[Turn] = field(default_factory=list)
    peer: list[Turn] = field(default_factory=list)

    def line(self, question: Question) -> str:
        """Return the row of the table."""
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
    """Stage the requested builds, hold the lock of the refused build; return the requests."""
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
        # These exclude the savings of concurrent requests for the same object.
        Question("GET of 16 stagings by turns", None, first, peer, others=tuple(rest)),
        Question("GET, each by a new connection", None, first, peer, keep_alive=False),
    ]


def staging_path(staging: object) -> str:
    """Return the path of the file of a staging with a single file."""
    return f"/{staging.artifacts[0].path}"  # type: ignore[attr-defined]


def make_builds(builds: Path) -> str:
    """Make an archive with a plain object and a container file, and others; return its URL."""
    for name in ("R1", "R1-busy", *(f"R1-{n}" for n in range(_OTHERS))):
        folder = builds / name
        folder.mkdir(parents=True)
        (folder / SMALL).write_bytes(os.urandom(_BYTES))
        (folder / BUSY).write_bytes(b"busy")
    make_tar(builds / "R1" / WORD, 200, 1, {"f/4k": os.urandom(_BYTES)})
    return f"file://{builds}/R1"


def turn(url: str, question: Question, script: Path, seconds: int, pids: Sequence[int]) -> Turn:
    """Send load for `seconds`; every response must be the expected one.

    Raises:
        SystemExit: a response is not the expected one.
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
    """Return the processor seconds of the serving processes, and of PostgreSQL's processes."""
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
    """Write the script of the load generator; without paths it requests only that of its URL."""
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


#: URL, expected status, paths that take turns, serving processes, list for the results.
_Side = tuple[str, int, Sequence[str], Callable[[], Sequence[int]], list[Turn]]


def measure(
    ours: Service, questions: Sequence[Question], scratch: Path, given: argparse.Namespace
) -> dict[str, Measured]:
    """Measure each request in turns of both sides."""
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
                    if number:  # the first turn warms both up
                        into.append(took)
    return found


def main() -> None:
    """Measure all requests, and print the table."""
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
