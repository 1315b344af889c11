"""The staging engine side by side with the commands that people would use instead.

    python -m benchmarks.staging [--scale 0.1] [--rounds 3] [--rows 100000] [--answers-only]

Needs nginx, curl, unzip, bzip2 and wrk. Each round starts its own service, so that it has no cached
objects of the round before, and runs ours and the peer in turn. The service has staged small builds
before, like a service that has run for days. No file is removed before the end: without a journal,
ext4 creates files slowly for minutes after thousands were deleted, which would slow the next side.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from zipfile import ZipFile

import psycopg2
from psycopg2.extensions import cursor

from benchmarks import bench
from benchmarks.bench import Comparison, of_call, of_shell
from benchmarks.make_build import BOARD, BUILD, OLDER
from staging_api.client import StagingClient
from staging_api.db.embedded import running

FULL = f"chromeos_{BUILD}_x86-generic_full_dev.bin"
NTON = f"chromeos_{BUILD}_{BUILD}_x86-generic_delta_dev.bin"
MTON = f"chromeos_{OLDER}_{BUILD}_x86-generic_delta_dev.bin"

# The steps of the 2012 devserver: fetch each artifact to a temporary folder, then move it to its
# place or unpack it, one after the other.
ANCESTOR = f"""
mkdir -p tmp build/au/n build/au/m
for name in {FULL} stateful.tgz test_suites.tar.bz2 {NTON} {MTON} autotest.tar; do
    curl -sS -o tmp/$name $URL/$name
    case $name in
        {FULL}) mv tmp/$name build/update.gz ;;
        stateful.tgz) mv tmp/$name build/ ;;
        test_suites.tar.bz2) tar -xjf tmp/$name -C build ;;
        {NTON}) mv tmp/$name build/au/n/update.gz ;;
        {MTON}) mv tmp/$name build/au/m/update.gz ;;
        autotest.tar) tar -xf tmp/$name -C build --exclude=autotest/test_suites ;;
    esac
done
"""


# And the further work of the service: digest each file, and flush everything to disk.
VERIFIED = f"{ANCESTOR}\nfind build -type f -print0 | xargs -0 sha256sum; sync -f build"

#: Small builds; two processes share their requests by chance.
WARM_BUILDS, WARM_SCALE = 6, 0.002

# Builds of ten artifacts each, all of them staged.
FILL = """
WITH n AS (SELECT i, '00' || lpad(i::text, 24, '0') AS id, 'http://h/b/R' || i AS url
           FROM generate_series(%(first)s, %(last)s) i),
a AS (INSERT INTO archives (archive_url, static_prefix) SELECT url, 'b/R' || i FROM n),
s AS (INSERT INTO stagings (id, archive_url, state, requested, caller, foreground_staged_at,
          finished_at)
      SELECT id, url, 'staged', ARRAY['full_payload'], 'fill', now(), now() FROM n)
INSERT INTO staged_artifacts (id, staging_id, archive_url, name, lock_kind, phase, state, path,
    size_bytes, sha256, source_url, fence, staged_at)
SELECT '0' || k || right(id, 24), id, url, CASE k WHEN 0 THEN 'full_payload' ELSE 'file:' || k END,
    'archive', 'foreground', 'staged', 'b/R' || i || '/' || k, 1,
    md5(i::text) || md5(k::text), url, 1, clock_timestamp()
FROM n, generate_series(0, 9) k
"""
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index i
WHERE indrelid IN ('archives'::regclass, 'stagings'::regclass, 'staged_artifacts'::regclass)
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""
_ARTIFACTS_A_BUILD = 10
_BUILDS_A_STEP = 20_000
_TURNS = 5


@dataclass(frozen=True)
class Service:
    """A running service, with access to its costs."""

    url: str
    database_url: str
    scratch: Path
    pids: Callable[[], Sequence[int]]

    def stage(self, archive_url: str, *artifacts: str, background: bool = False) -> None:
        """Stage an archive, and wait until all artifacts are staged."""
        with StagingClient(self.url) as client:
            staging = client.stage(archive_url, list(artifacts) or None)
            if background:
                client.wait(staging.id)


@contextmanager
def service(
    source: str, scratch: Path, *, warmed: bool = True, processes: int = 2
) -> Iterator[Service]:
    """Run API processes and a worker on the embedded PostgreSQL, with only small builds staged.

    Args:
        source: URL prefix of the archives.
        scratch: folder for the data of the service.
        warmed: whether the source has small builds, which are staged first.
        processes: number of API processes.
    """
    port, home = bench.free_port(), tempfile.mkdtemp(prefix="service-", dir=scratch)
    with running(Path(home)) as server:
        settings = {
            "STAGING_BIND": f"127.0.0.1:{port}",
            "STAGING_HOME": home,
            "STAGING_SOURCES": f"{source}/",
            "STAGING_WORKERS": str(processes),
            "STAGING_LOG_FORMAT": "json",
        }
        with Path(home, "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "staging_api", "serve"],
                env={"PATH": "/usr/bin:/bin", **settings},
                stderr=log,
            )
            url = f"http://127.0.0.1:{port}"
            try:
                bench.wait_for(f"{url}/readyz", process)
                ours = Service(
                    url,
                    server.url,
                    scratch,
                    lambda: bench.tree(process.pid) + bench.tree(server.postmaster_pid),
                )
                if warmed:
                    warm_up(ours, source)
                yield ours
            finally:
                process.terminate()
                process.wait()


def warm_up(ours: Service, source: str) -> None:
    """Stage the small builds, often enough that each process has run all code once."""
    for number in range(WARM_BUILDS):
        url = f"{source}/warm{number}/{BOARD}/{BUILD}"
        ours.stage(url, background=True)
        ours.stage(url, "symbols", "test_image")


def rows(rounds: int) -> dict[str, Comparison]:
    """Return the table, without results."""
    named = {
        "plain": ("a plain object against curl, sha256sum", "-"),
        "image": ("one image of image.zip against curl, unzip, sha256sum", "<= 0.33"),
        "symbols": ("debug.tgz against curl, tar, sha256sum", "<= 0.50"),
        "build": ("a whole build against fetch, then unpack", "< 1"),
        "verified": ("the same against fetch, unpack, sha256sum, sync", "-"),
        "throttled": ("10 MB/s a connection against one curl", "<= 0.20"),
        "served": ("serving a big file against nginx", "<= 1.11"),
    }
    assert rounds > 0
    return {key: Comparison(*words) for key, words in named.items()}


def one_round(
    table: dict[str, Comparison], archive: Path, scratch: Path, many_rows: int
) -> list[tuple[str, float, float]]:
    """Measure every row once, ours and the peer in turn; return both rates of responses."""
    slow = f"location /slow/ {{ alias {archive}/; limit_rate 10m; }}"
    with (
        bench.nginx(archive, scratch, slow) as source,
        service(source, scratch) as ours,
    ):
        url, log = f"{source}/{BOARD}/{BUILD}", scratch / "access.log"
        compare(table["plain"], ours, url, "full_payload", f"curl -sS {url}/{FULL} | sha256sum")
        zipped = f"curl -sS -o i.zip {url}/image.zip; unzip -q i.zip chromiumos_test_image.bin"
        before = sent(log)
        compare(table["image"], ours, url, "test_image", f"{zipped}; sha256sum *.bin")
        note_bytes(table["image"], archive, log, before)
        tarred = f"curl -sS -o d.tgz {url}/debug.tgz; tar -xzf d.tgz debug/breakpad"
        hashed = "find debug -type f -print0 | xargs -0 sha256sum"
        compare(table["symbols"], ours, url, "symbols", f"{tarred}; {hashed}")
        served(table["served"], ours, source, scratch)
        rates = answers(ours, url, scratch, many_rows)
    with bench.nginx(archive, scratch, slow) as source, service(source, scratch) as ours:
        url = f"{source}/{BOARD}/{BUILD}"
        table["build"].peer.append(peer(f"URL={url}; {ANCESTOR}", scratch))
        table["verified"].peer.append(peer(f"URL={url}; {VERIFIED}", scratch))
        cost = of_call(lambda: ours.stage(url, background=True), ours.pids)
        table["build"].ours.append(cost)
        table["verified"].ours.append(cost)
    with bench.nginx(archive, scratch, slow) as source, service(source, scratch) as ours:
        url = f"{source}/slow/{BOARD}/{BUILD}"
        compare(
            table["throttled"],
            ours,
            url,
            "full_payload",
            f"curl -sS {url}/{FULL} | sha256sum",
        )
    return rates


def round_of_answers(
    archive: Path, scratch: Path, many_rows: int
) -> list[tuple[str, float, float]]:
    """Measure only the responses per second."""
    with bench.nginx(archive, scratch, "") as source, service(source, scratch) as ours:
        url = f"{source}/{BOARD}/{BUILD}"
        ours.stage(url, "full_payload")
        return answers(ours, url, scratch, many_rows)


def answers(
    ours: Service, url: str, scratch: Path, many_rows: int
) -> list[tuple[str, float, float]]:
    """Answers per second about what is staged, ours and the peer's; with many rows at last."""
    rates = [
        ("already staged", *already_staged(ours, url, scratch)),
        ("is_staged, 1,000 pollers", *polled(ours, url, scratch)),
    ]
    fill(ours.database_url, many_rows)
    return [*rates, (f"the same, {many_rows} rows", *already_staged(ours, url, scratch))]


def compare(row: Comparison, ours: Service, url: str, artifact: str, script: str) -> None:
    """Run the peer's commands, then ours."""
    row.peer.append(peer(script, ours.scratch))
    row.ours.append(of_call(lambda: ours.stage(url, artifact), ours.pids))


def peer(script: str, scratch: Path) -> bench.Cost:
    """Run a peer in an empty folder."""
    return of_shell(script, Path(tempfile.mkdtemp(prefix="peer-", dir=scratch)))


def sent(log: Path) -> int:
    """Return the bytes of bodies that nginx sent, by its access log."""
    return sum(int(line.split()[9]) for line in log.read_text().splitlines())


def note_bytes(row: Comparison, archive: Path, log: Path, before: int) -> None:
    """Note the bytes transferred beyond those of the member itself."""
    whole = archive / BOARD / BUILD / "image.zip"
    with ZipFile(whole) as image:
        member = image.getinfo("chromiumos_test_image.bin").compress_size
    ours = sent(log) - before - whole.stat().st_size
    row.notes[:] = [f"over the wire: the member and {ours - member} bytes"]


def served(row: Comparison, ours: Service, source: str, scratch: Path) -> None:
    """Download the staged full payload from ours, and the file from nginx, eight times each."""
    path = f"{BOARD}/{BUILD}"
    again = "for i in 1 2 3 4 5 6 7 8; do curl -sS -o /dev/null %s; done"
    row.peer.append(of_shell(again % f"{source}/{path}/{FULL}", scratch))
    row.ours.append(of_shell(again % f"{ours.url}/static/{path}/update.gz", scratch))
    row.notes[:] = ["CPU is curl's"]


def already_staged(ours: Service, url: str, scratch: Path) -> tuple[float, float]:
    """Return the responses per second to a request for staged artifacts: ours and bare."""
    script = scratch / "post.lua"
    body = json.dumps({"archive_url": url, "artifacts": ["full_payload"]})
    script.write_text(
        f"wrk.method, wrk.body = 'POST', [[{body}]]\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
    )
    with bare(ours) as (peer_url, _):
        return in_turns(f"{ours.url}/api/v1.0/stagings", f"{peer_url}/", script)


def polled(ours: Service, url: str, scratch: Path) -> tuple[float, float]:
    """Return the responses per second to a thousand clients that poll a staging without pause."""
    script = scratch / "get.lua"
    script.write_text("wrk.method = 'GET'\n")
    question = f"/is_staged?archive_url={url}&artifacts=full_payload&files="
    with bare(ours) as (peer_url, _):
        peer_question = f"{peer_url}/?archive_url={url}"
        return in_turns(f"{ours.url}{question}", peer_question, script, connections=1000)


@contextmanager
def bare(
    ours: Service, file: Path = Path(os.devnull), *, processes: int = 2
) -> Iterator[tuple[str, Callable[[], Sequence[int]]]]:
    """Run the peer, served like ours, which sends `file`; yield its URL and its processes."""
    address = f"127.0.0.1:{bench.free_port()}"
    command = ["gunicorn", "-k", "gthread", "-w", str(processes), "--threads", "32", "-b", address]
    environment = {"BARE_DATABASE_URL": ours.database_url, "BARE_FILE": str(file)}
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--no-control-socket", "benchmarks.bare:app"],
        env={"PATH": "/usr/bin:/bin", **environment},
        stderr=subprocess.DEVNULL,
    )
    try:
        bench.wait_for(f"http://{address}/", process)
        yield f"http://{address}", lambda: bench.tree(process.pid)
    finally:
        process.terminate()
        process.wait()


def in_turns(
    our_url: str, peer_url: str, script: Path, connections: int = 16
) -> tuple[float, float]:
    """Return responses per second, ours and the peer's: medians of five turns, on an idle disk."""
    os.sync()
    ours, theirs = [], []
    for _ in range(_TURNS):
        theirs.append(answers_per_second(peer_url, script, connections))
        ours.append(answers_per_second(our_url, script, connections))
    return median(ours), median(theirs)


def answers_per_second(url: str, script: Path, connections: int) -> float:
    """Return wrk's rate over 3 seconds; no response may be an error, or take longer than 10 s."""
    load = ["-t1", f"-c{connections}", "-d3s", "--timeout", "10s"]
    command = ["wrk", *load, "-s", str(script), url]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(out)
    line = next(line for line in out.splitlines() if line.startswith("Requests/sec"))
    return float(line.split()[1])


def fill(database_url: str, count: int) -> None:
    """Add `count` rows of other builds, bypassing the usual costs of writing a row."""
    builds = count // _ARTIFACTS_A_BUILD
    with closing(psycopg2.connect(database_url.replace("+psycopg2", ""))) as conn:
        conn.autocommit = True
        cursor = conn.cursor()
        # Triggers and foreign keys.
        cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        with _indexes_made_after(cursor):
            for first in range(1, builds + 1, _BUILDS_A_STEP):
                last = min(first + _BUILDS_A_STEP - 1, builds)
                cursor.execute(FILL, {"first": first, "last": last})
        # As autovacuum would have done by then; all writes are flushed to disk.
        cursor.execute("VACUUM (ANALYZE) staged_artifacts, stagings, archives")
        cursor.execute("CHECKPOINT")


@contextmanager
def _indexes_made_after(cursor: cursor) -> Iterator[None]:
    """Drop indexes of the filled tables during the block, except those of constraints.

    Built at the end by sorting, the indexes of ten million rows take minutes. Row by row, each is
    written at random places of its file: most of an hour, once it outgrows the memory.
    """
    cursor.execute(_INDEXES)
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    try:
        yield
    finally:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for _, definition in indexes:
            cursor.execute(definition)


def make_builds(archive: Path, scale: float) -> None:
    """Make the measured build, and the small builds below ``warm0``, ``warm1`` and so on."""
    made = Path(__file__).with_name("make_build.py")
    small = ["--scale", str(WARM_SCALE), "--seed", "2"]
    for folder, options in ((archive, ["--scale", str(scale)]), (archive / "warm0", small)):
        command = [sys.executable, str(made), str(folder), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for number in range(1, WARM_BUILDS):
        (archive / f"warm{number}").symlink_to("warm0")


def main() -> None:
    """Run every round and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1, help="1 is a build of 1.8 GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of other builds")
    parser.add_argument("--answers-only", action="store_true", help="nothing of the table")
    options = parser.parse_args()
    table = rows(options.rounds)
    with tempfile.TemporaryDirectory(prefix="staging-bench-") as folder:
        Path(folder).chmod(0o755)
        archive = Path(folder, "archive")
        make_builds(archive, options.scale)
        rates = []
        for number in range(options.rounds):
            scratch = Path(folder, f"round{number}")
            scratch.mkdir()
            if options.answers_only:
                rates += round_of_answers(archive, scratch, options.rows)
            else:
                rates += one_round(table, archive, scratch, options.rows)
    print(f"scale {options.scale}, {options.rounds} rounds, {bench.machine()}\n")
    if not options.answers_only:
        print("\n".join([bench.HEADER, *(row.line() for row in table.values())]))
    print(
        "\n| answers per second (goal 0.8) | ours | bare Falcon and one SELECT | ratio |\n"
        "|---|---|---|---|"
    )
    for name, mine, bare in rates:
        print(f"| {name} | {mine:.0f} | {bare:.0f} | {mine / bare:.2f} |")


if __name__ == "__main__":
    main()
