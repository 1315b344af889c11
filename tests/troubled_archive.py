"""An APT archive with continuous publishing and real apt clients, during several disturbances.

Each upload is a request of its own, decided at the end of the run that takes it; a run takes all
waiting uploads. The target is ten a second; the printed line has the actual rate.
"""

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from staging_api.debian.forms import Form
from tests.apt import Apt
from tests.apt_archive_api import AptArchiveApi
from tests.packages import control_text, deb, dsc, source_file
from tests.service import API, Answer, eventually
from tests.slow_front import SlowFront
from tests.two_keys import Keys

JSON = {"Content-Type": "application/json"}
#: Number of generations that go live between a client's Release and the files that it names.
MEANWHILE = 2
UPLOADERS = 2
EVERY_SECONDS = 0.1
#: Percentage of updates before: another key signs, a suite rolls back, a source goes, it is lifted.
NEW_KEY, BACK, GONE, LIFTED = 20, 40, 60, 80
#: The package that the rollback withdraws, and the version that clients then get.
WITHDRAWN, OLDER = "package-0000", "1.0-1"


def small(package: str, version: str = "1.0-1") -> bytes:
    """Return a package of some hundred bytes."""
    return deb(control_text(package, version), Form.GZ, holds=package)


def send_source(
    archive: AptArchiveApi, version: str, component: str = "main", suite: str = "stable"
) -> None:
    """Upload a source for apt to download; its revisions share an upstream archive."""
    upstream = version.partition("-")[0]
    files = {f"hello_{upstream}.orig.tar.gz": b"orig", f"hello_{version}.debian.tar.xz": b"debian"}
    listed = [source_file(*each) for each in files.items()]
    text = dsc(
        listed,
        version=version,
        Files="".join(f"\n {'0' * 32} {f.size_bytes} {f.name}" for f in listed),
    )
    sent = archive.send({f"hello_{version}.dsc": text.encode(), **files}, component, suite)
    assert sent.status == 201, sent.body


def delete(
    archive: AptArchiveApi, package: str, architecture: str = "amd64", suite: str = "stable"
) -> None:
    """Delete the publications of a package in a suite."""
    query = f"package={package}&suite={suite}"
    listed = archive.client.get(f"{archive.path}/packages?{query}").json["items"]
    for each in listed:
        if each["state"] == "published" and each["architecture"] == architecture:
            path = f"{archive.path}/packages/{each['id']}"
            assert archive.client.delete(path, {"reason": "a mistake"}).status == 200


def succeeds(outcome: "subprocess.CompletedProcess[str]") -> str:
    """Return the output of a program that must succeed."""
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@dataclass
class Troubled:
    """The archive, and the results.

    Attributes:
        archive: the archive, accessed through the pod that publishes at present.
        names: names of its packages.
        generations: number of generations that went live.
        uploads: number of uploads, of one package each, that runs have taken.
        decided: by package, the newest version that a run has published.
        failed: apt's message for each failed update.
        stale: packages that apt did not see although they were published before the update.
        seen: by number of the update, the newest visible version of the withdrawn package.
    """

    archive: AptArchiveApi
    names: list[str]
    generations: int = 0
    uploads: int = 0
    decided: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    seen: dict[int, str] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _sent: SimpleQueue[tuple[str, int]] = field(default_factory=SimpleQueue)
    _began: float = field(default_factory=time.monotonic)

    def upload(self) -> None:
        """Upload to the suite that is never held, package after package, at a fixed rate."""
        while not self.stop.is_set():
            number = next(self._numbers)
            self.stop.wait(self._began + number * EVERY_SECONDS - time.monotonic())
            turn, place = divmod(number, len(self.names))
            name, version = self.names[place], turn + 2
            sent = self.archive.upload("x.deb", small(name, str(version)), suite="testing")
            assert sent.status == 201, sent.body
            self._sent.put((name, version))

    def publish(self) -> None:
        """Publish the uploads, run after run."""
        while not self.stop.is_set():
            waiting = [self._sent.get() for _ in range(self._sent.qsize())]
            if not waiting:
                time.sleep(0.005)
                continue
            run = self.insist(self.archive.publish)
            assert run.json["state"] == "succeeded", run.body
            self.generations += run.json["generation_id"] is not None
            self.uploads += run.json["counts"].get("accepted", 0)
            for name, version in waiting:
                self.decided[name] = max(version, self.decided.get(name, 0))

    def meanwhile(self) -> None:
        """Wait for further generations before a client gets its Release."""
        wanted = self.generations + MEANWHILE
        eventually(lambda: self.generations >= wanted or self.stop.is_set(), "nothing is published")

    def insist(self, ask: Callable[[], Answer]) -> Answer:
        """Repeat a request until no other operation runs."""
        while (answer := ask()).status == 409:
            time.sleep(0.02)
        assert answer.status in (200, 201), answer.body
        return answer

    def update(self, apt: Apt, done: int) -> None:
        """Update, and check that apt sees all versions published before."""
        before = dict(self.decided)
        outcome = apt.update()
        self.failed += [outcome.stderr] * (outcome.returncode != 0)
        versions = newest(apt, *before, WITHDRAWN)
        self.seen[done] = versions.get(("stable", WITHDRAWN), "")
        for name, version in before.items():
            if int(versions.get(("testing", name), "0").partition(".")[0]) < version:
                self.stale.append(f"{name} {version}")


def newest(apt: Apt, *packages: str) -> dict[tuple[str, str], str]:
    """Return the version that apt offers, by suite and package."""
    table = succeeds(apt.run("madison", *packages, program="apt-cache"))
    found: dict[tuple[str, str], str] = {}
    for line in table.splitlines():
        name, version, source = (cell.strip() for cell in line.split("|"))
        suite = source.split()[1].partition("/")[0]
        found[suite, name] = max(found.get((suite, name), ""), version, key=_order)
    return found


def _order(version: str) -> tuple[int, str]:
    return int(version.partition(".")[0] or "0"), version


def troubled_updates(apt: Apt, keys: Keys, count: int, packages: int) -> Troubled:
    """Run `count` updates during continuous publishing, with four disturbances."""
    serving, publishing = keys.services[0].api(2)
    archive = AptArchiveApi.make(publishing.client)
    names, first = filled(archive, packages)
    troubled = Troubled(archive, names)
    events = troubles(troubled, keys, first)
    with (
        SlowFront(serving.client.url, troubled.meanwhile) as front,
        ThreadPoolExecutor(UPLOADERS + 1) as pool,
    ):
        apt.use(f"{front.url}/archive/{archive.name}", options=keys.trust(apt, 0, 1))
        reads_both_suites(apt)
        working = [pool.submit(troubled.upload) for _ in range(UPLOADERS)]
        working.append(pool.submit(troubled.publish))
        for each in working:
            each.add_done_callback(lambda _: troubled.stop.set())
        began = time.monotonic()
        try:
            for number in range(count):
                done, rest = divmod(100 * number, count)
                if rest < 100 and done in events:
                    events.pop(done)()
                troubled.update(apt, done)
                if number % 50 == 49:
                    report(troubled, number + 1, time.monotonic() - began)
                if troubled.stop.is_set():
                    break
        finally:
            troubled.stop.set()
        for each in working:
            each.result()
    assert not events
    report(troubled, count, time.monotonic() - began)
    return troubled


def report(troubled: Troubled, updates: int, seconds: float) -> None:
    """Print the rates so far."""
    print(
        f"{updates} updates of {seconds / updates:.2f} s, {len(troubled.failed)} failed,"
        f" {len(troubled.stale)} stale; beside them {troubled.uploads} uploads decided"
        f" ({troubled.uploads / seconds:.1f} a second) by {troubled.generations} generations"
        f" ({troubled.generations / seconds:.1f} a second)",
        flush=True,
    )


def filled(archive: AptArchiveApi, packages: int) -> tuple[list[str], str]:
    """Fill two suites; return the names of packages, and the generation for the rollback."""
    suite = {"name": "testing", "architectures": ["amd64"]}
    assert archive.client.post(f"{archive.path}/suites", suite).status == 201
    names = [f"package-{n:04}" for n in range(packages)]
    for suite_name in ("stable", "testing"):
        archive.send({f"{name}.deb": small(name, OLDER) for name in names}, suite=suite_name)
    send_source(archive, "1.0-1")
    first = archive.published()["generation_id"]
    archive.client.send("PUT", f"{API}/generations/{first}/pin")
    archive.upload("x.deb", small(WITHDRAWN, "2.0"))
    archive.published()
    send_source(archive, "1.0-1", suite="testing")
    return names, first


def troubles(troubled: Troubled, keys: Keys, first: str) -> dict[int, Callable[[], Any]]:
    """Return the disturbances, by the percentage of updates before each."""
    (other,) = keys.services[1].api()
    archive = troubled.archive
    holds = f"{API}/distributions/{archive.name}"
    back = json.dumps({"generation_id": first, "suites": ["stable"]}).encode()
    return {
        NEW_KEY: lambda: setattr(troubled, "archive", archive.at(other.client)),
        BACK: lambda: troubled.insist(lambda: archive.client.send("PATCH", holds, back, JSON)),
        GONE: lambda: delete(archive, "hello", "source", "testing"),
        LIFTED: lambda: archive.client.delete(f"{holds}/holds/stable"),
    }


def reads_both_suites(apt: Apt) -> None:
    """Let apt read sources and binaries of both suites."""
    path = apt.home / "etc/apt/sources.list"
    line = path.read_text()
    testing = line.replace(" stable ", " testing ").replace("main contrib", "main")
    sources = [each.replace("deb ", "deb-src ", 1) for each in (line, testing)]
    path.write_text("".join((line, testing, *sources)))


def holds_what_was_decided(troubled: Troubled) -> None:
    """Check that clients saw the withdrawn version before the rollback, and not during the hold."""
    seen = troubled.seen
    before = {seen[number] for number in seen if number < BACK}
    held = {seen[number] for number in seen if BACK <= number < LIFTED}
    assert (before, held) == ({"2.0"}, {OLDER})
    assert seen[max(seen)] == "2.0"
    assert troubled.stale == []
