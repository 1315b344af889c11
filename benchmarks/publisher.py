"""The publisher side by side with reprepro, aptly and apt-ftparchive, in one run on one machine.

    python -m benchmarks.publisher --packages 2000 --packages 50000 --repeat 5

Ours is measured from outside: requests to an API process over loopback, with PostgreSQL writing to
disk, index files as gz and xz, by hash, signed. The others run as their users run them, by command
line, unsigned, in their default formats; apt-ftparchive with a warm cache, followed by gzip -9 and
xz -6, since it does not compress by itself in this use.

Needs: reprepro, aptly, apt-utils, gpg; the extras `test` of this project.
"""

import argparse
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import urllib3
from sqlalchemy import text

from staging_api.db.embedded import running
from staging_api.db.engine import Database, open_database
from staging_api.db.migrate import migrate
from staging_api.debian.forms import Form
from tests.keys import signing_key, stop_agent
from tests.packages import control_text, deb
from tests.publisher import shop
from tests.service import service

API = "/api/v1.0"
_AT_ONCE = 500
_REFUSALS = 300


def package(number: int, version: str = "1.0-1") -> tuple[str, bytes]:
    """Return file name and bytes of a generated package of about 0.9 kB."""
    name = f"package-{number:06}"
    more = {"Section": "misc", "Priority": "optional", "Installed_Size": str(number % 9973)}
    more["Homepage"] = f"https://example.org/projects/{number * 7919 % 1_000_003:x}/{name}"
    raw = deb(control_text(name, version, "amd64", **more), Form.GZ)
    return f"{name}_{version}_amd64.deb", raw


@dataclass
class Row:
    """Results of a tool at one size."""

    tool: str
    packages: int
    fill_seconds: float = 0.0
    one_more: list[float] = field(default_factory=list)
    nothing_new: list[float] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """Return a line of the table."""
        told = ", ".join(f"{name} {value}" for name, value in self.more.items())
        cells = [self.tool, f"{self.packages:,}", f"{self.fill_seconds:.1f}"]
        cells += [_median(self.one_more), _median(self.nothing_new), told]
        return "| " + " | ".join(cells) + " |"


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a call took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


class Ours:
    """A pod with its database, called over loopback."""

    def __init__(self, url: str, database: Database, database_url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=4, retries=False, timeout=urllib3.Timeout(3600))
        self._database = database
        self._database_url = database_url

    def measure(self, packages: int, repeat: int) -> Row:
        """Measure the row at one size."""
        row = Row("staging_api", packages)
        name = f"bench-{packages}"
        intake, first = self.fill(name, packages)
        row.fill_seconds = intake + first
        row.more["intake"] = f"{packages / intake:,.0f}/s"
        row.more["first publish"] = f"{first:.1f} s"
        self.one_more(name, packages, "1.9")  # warms up: reads everything that is not cached yet
        before = self._kept_bytes()
        for number in range(repeat):
            target = (number * 2 + 1) * packages // (2 * repeat)
            row.one_more.append(self.one_more(name, target, f"2.{number}"))
        row.more["bytes kept"] = f"{(self._kept_bytes() - before) / repeat / 1000:,.0f} kB"
        row.nothing_new = [timed(lambda: self._publish(name)) for _ in range(max(repeat, 9))]
        refusals = self._refusals(name)
        row.more["409 median"] = f"{statistics.median(refusals) * 1000:.1f} ms"
        row.more["p99"] = f"{statistics.quantiles(refusals, n=100)[98] * 1000:.1f} ms"
        return row

    def fill(self, name: str, packages: int) -> tuple[float, float]:
        """Make an archive; return the seconds of intake, and of the first publish."""
        self._post("/apt-archives", {"name": name, "suites": [{"name": "stable"}]})
        return timed(lambda: self._fill(name, packages)), timed(lambda: self._publish(name))

    def _fill(self, name: str, packages: int) -> None:
        for start in range(0, packages, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, packages))
            fields = [("file", package(number)) for number in numbers]
            body, media = urllib3.encode_multipart_formdata(fields)
            self._upload(name, body, media, "")

    def one_more(self, name: str, number: int, version: str) -> float:
        """Upload a package and publish it; return the seconds of both."""
        file_name, raw = package(number, version)

        def add() -> None:
            self._upload(name, raw, "application/octet-stream", file_name)
            self._publish(name)

        return timed(add)

    def _upload(self, name: str, body: bytes, media: str, file_name: str) -> None:
        query = urlencode({"suite": "stable"} | ({"name": file_name} if file_name else {}))
        url = f"{self._url}{API}/apt-archives/{name}/uploads?{query}"
        answer = self._pool.request("POST", url, body=body, headers={"Content-Type": media})
        assert answer.status == 201, answer.data

    def _publish(self, name: str) -> None:
        self._post("/publications", {"operation": "publish-ftpmaster", "archive": name})

    def _post(self, path: str, body: dict[str, Any]) -> None:
        answer = self._pool.request("POST", self._url + API + path, json=body)
        assert answer.status == 201, answer.data

    def _refusals(self, name: str) -> list[float]:
        """Return the seconds until a run request is refused with 409, as a run is in progress."""
        body = {"operation": "publish-distro", "archive": name}
        found: list[float] = []

        def ask() -> None:
            answer = self._pool.request("POST", f"{self._url}{API}/publications", json=body)
            assert answer.status == 409, answer.data

        def reached(step: str) -> None:
            if step == "begun":
                found.extend(timed(ask) for _ in range(_REFUSALS))

        with (
            TemporaryDirectory(prefix="bench-") as folder,
            shop(self._database, self._database_url, Path(folder), reached=reached) as here,
        ):
            replace(here, name=name).run("process-accepted")
        return found

    def _kept_bytes(self) -> int:
        """Return the total bytes of index files and Releases of kept generations."""
        query = """
            SELECT (SELECT coalesce(sum(length(zst) + coalesce(length(gz), 0)
                        + coalesce(length(xz), 0)), 0) FROM index_blocks)
                + (SELECT coalesce(sum(pg_column_size(blocks)), 0) FROM index_layouts)
                + (SELECT coalesce(sum(pg_column_size(f.*)), 0) FROM index_files f)
                + (SELECT coalesce(sum(pg_column_size(f.*)), 0) FROM release_files f)
        """
        with self._database.connect() as conn:
            return int(conn.execute(text(query)).scalar_one())


@contextmanager
def ours(folder: Path) -> Iterator[Ours]:
    """Run a service with a signing key, on a database that writes to disk."""
    key = signing_key(folder)
    with running(folder / "postgres") as server:
        migrate(server.url)
        database = open_database(server.url, pool_size=5)
        settings = {"signing_home": str(key.home), "signing_key": key.fingerprint}
        (folder / "service").mkdir()
        with service(
            folder / "service", server.url, **settings, log_format="json", lease_seconds="15"
        ) as made:
            (pod,) = made.api()
            yield Ours(pod.url, database, server.url)
        database.close()
    stop_agent(key.home)


def run(argv: Sequence[str | Path], cwd: Path, output: Path | None = None) -> None:
    """Run a program, which must succeed."""
    with (output or Path("/dev/null")).open("wb") as out:
        subprocess.run(argv, cwd=cwd, check=True, stdout=out, stderr=subprocess.PIPE)


def write_packages(folder: Path, packages: int) -> None:
    """Write the packages as files."""
    folder.mkdir()
    for number in range(packages):
        name, raw = package(number)
        (folder / name).write_bytes(raw)


def more_packages(folder: Path, packages: int, repeat: int) -> list[Path]:
    """Write the packages to publish one by one: newer versions, spread over the archive."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(repeat):
        name, raw = package((number * 2 + 1) * packages // (2 * repeat), f"2.{number}")
        (folder / name).write_bytes(raw)
        paths.append(folder / name)
    return paths


def a_reprepro(home: Path, debs: Path) -> tuple[str, Callable[[Sequence[Path]], None]]:
    """Fill an archive of reprepro, plain and gz, unsigned; return its name and an adding call."""
    (home / "conf").mkdir(parents=True)
    (home / "conf/distributions").write_text(
        "Codename: stable\nSuite: stable\nArchitectures: amd64\nComponents: main\n"
    )

    def add(paths: Sequence[Path]) -> None:
        call = ["reprepro", "--silent", "-b", str(home), "includedeb", "stable"]
        run([*call, *paths], home)

    # Some thousand at a time, because of the limit on arguments.
    files = sorted(debs.iterdir())
    for start in range(0, len(files), 2000):
        add(files[start : start + 2000])
    return "reprepro", add


def reprepro(folder: Path, debs: Path, packages: int, repeat: int) -> Row:
    """Measure reprepro, on an archive by `a_reprepro`."""
    row, home = Row("reprepro", packages), folder / "reprepro"
    began = time.monotonic()
    _, add = a_reprepro(home, debs)
    row.fill_seconds = time.monotonic() - began
    for path in more_packages(folder / "more", packages, repeat):
        row.one_more.append(timed(partial(add, [path])))
    export = ["reprepro", "--silent", "-b", str(home), "export", "stable"]
    row.nothing_new = [timed(lambda: run(export, home)) for _ in range(3)]
    return row


def aptly(folder: Path, debs: Path, packages: int, repeat: int) -> Row:
    """Measure aptly: gz and plain, unsigned, without Contents."""
    row, home = Row("aptly", packages), folder / "aptly"
    home.mkdir()
    config = home / "aptly.conf"
    config.write_text(f'{{"rootDir": "{home}", "architectures": ["amd64"]}}')
    call = ["aptly", f"-config={config}"]
    publish = ["-skip-signing", "-skip-contents"]
    run([*call, "repo", "create", "-distribution=stable", "bench"], home)

    def fill() -> None:
        run([*call, "repo", "add", "bench", debs], home)
        run([*call, "publish", "repo", *publish, "bench"], home)

    row.fill_seconds = timed(fill)
    update = [*call, "publish", "update", *publish, "stable"]
    for path in more_packages(folder / "more", packages, repeat):

        def one_more(path: Path = path) -> None:
            run([*call, "repo", "add", "-force-replace", "bench", path], home)
            run(update, home)

        row.one_more.append(timed(one_more))
    row.nothing_new = [timed(lambda: run(update, home)) for _ in range(3)]
    return row


def apt_ftparchive(folder: Path, debs: Path, packages: int, repeat: int) -> Row:
    """Measure apt-ftparchive with its cache, then gzip -9, xz -6 and a Release."""
    row, home = Row("apt-ftparchive", packages), folder / "ftparchive"
    (home / "dists").mkdir(parents=True)
    (home / "pool").symlink_to(debs)

    def publish() -> None:
        index = home / "dists/Packages"
        run(["apt-ftparchive", "--db", "cache.db", "packages", "pool/"], home, index)
        run(["gzip", "-9nkf", index], home)
        run(["xz", "-6kf", index], home)
        run(["apt-ftparchive", "release", "dists"], home, home / "Release")

    row.fill_seconds = timed(publish)
    for path in more_packages(folder / "more", packages, repeat):
        shutil.copy(path, debs / path.name)
        row.one_more.append(timed(publish))
    row.nothing_new = [timed(publish) for _ in range(1)]
    return row


def by_turns(measured: Ours, folder: Path, packages: int, repeat: int) -> str:
    """Publish one more package by ours and by reprepro, in turns; return the ratio of each turn.

    A machine is slower for minutes at a time; turns expose both to the same slowness.
    """
    name, debs, home = f"turns-{packages}", folder / "debs", folder / "reprepro"
    write_packages(debs, packages)
    peer, add = a_reprepro(home, debs)
    measured.fill(name, packages)
    measured.one_more(name, 0, "1.9")
    ours, theirs = [], []
    for number, path in enumerate(more_packages(folder / "more", packages, repeat)):
        theirs.append(timed(partial(add, [path])))
        target = (number * 2 + 1) * packages // (2 * repeat)
        ours.append(measured.one_more(name, target, f"2.{number}"))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return (
        f"by turns, {packages:,} packages, {repeat} times: staging_api {_median(ours)} s, {peer}"
        f" {_median(theirs)} s; ratio {_median(ratios)}"
    )


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--packages", type=int, action="append", help="may be repeated")
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--only", choices=["ours", "peers"])
    options.add_argument("--turns", action="store_true", help="ours and reprepro alone, by turns")
    given = options.parse_args()
    sizes = given.packages or [2000]
    rows: list[Row] = []
    if given.turns:
        with TemporaryDirectory(prefix="bench-") as scratch, ours(Path(scratch)) as measured:
            for size in sizes:
                (home := Path(scratch) / f"turns-{size}").mkdir()
                print(by_turns(measured, home, size, given.repeat))
        return

    def show(row: Row) -> None:
        # Printed immediately: a run with many packages takes long.
        print(row.line(), flush=True)
        rows.append(row)

    print("| tool | packages | fill and first publish, s | one more, s | nothing new, s | more |")
    print("|---|---|---|---|---|---|")
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        if given.only != "peers":
            with ours(folder) as measured:
                for size in sizes:
                    show(measured.measure(size, given.repeat))
        for size in sizes if given.only != "ours" else []:
            for tool in (reprepro, aptly, apt_ftparchive):
                home = folder / f"{tool.__name__}-{size}"
                home.mkdir()
                write_packages(home / "debs", size)
                show(tool(home, home / "debs", size, given.repeat))
                shutil.rmtree(home)
    for name in dict.fromkeys(row.tool for row in rows):
        medians = [statistics.median(row.one_more) for row in rows if row.tool == name]
        if len(medians) > 1:
            print(f"{name}: growth of one more, {medians[-1] / medians[0]:.1f}x")


def _median(seconds: Sequence[float]) -> str:
    least, most = min(seconds), max(seconds)
    return f"{statistics.median(seconds):.3f} ({least:.3f} to {most:.3f})"


if __name__ == "__main__":
    main()
