"""Chaos test of a store: stagings, reads, evictions, pins and restarts with damaged contents.

Several clients use two pods and a worker. Each process is killed now and then and restarted with
another quota, while contents are deleted, cut, flipped and replaced by other kinds of entries, and
while the bucket refuses, throttles, delays and cuts. Each client's responses are checked at once;
the final state is checked by `settle`, which makes no operator's intervention:
it lets time pass and runs housekeeping.
"""

import hashlib
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import urllib3

from staging_api.db.engine import Database
from staging_api.processes.bootstrap import build as build_services
from staging_api.settings import Settings
from staging_api.staging import reconcile
from staging_api.staging.scrub import Scrub
from staging_api.staging.upkeep import StoreTerms, Upkeep
from staging_api.store.blob_store import BlobStore
from staging_api.store.opening import open_store
from tests import damage
from tests.builds import FULL_PAYLOAD, build_path, with_manifest
from tests.faulty_bucket import Fault, FaultyBucket
from tests.rows import execute, select
from tests.service import Pod, Service, eventually
from tests.source import ArchiveSource
from tests.stores import blobs_of

#: Statuses that a client may get during the chaos; 500 is always a fault of the service.
_EXPECTED = {200, 201, 202, 404, 409, 429, 502, 503, 507}
_ARTIFACTS = ("full_payload", "stateful")
_SERVED = {"full_payload": "update.gz", "stateful": "stateful.tgz"}
_QUOTAS = (600_000, 900_000, 1_500_000, 0)
_IDLE_SECONDS = 1.0
_PATIENCE_SECONDS = 120.0


@dataclass
class World:
    """Environment of the chaos.

    Attributes:
        store_url: URL for the pods, through the proxy if there is one.
        direct_url: the same store, without the proxy.
        bucket: the proxy; None: the store is a folder.
    """

    folder: Path
    database_url: str
    rows: Database
    source: ArchiveSource
    store_url: str
    direct_url: str
    bucket: FaultyBucket | None = None


@dataclass
class Archive:
    """One build, and the correct bytes of its served files, by path."""

    url: str
    files: dict[str, bytes]


@dataclass
class Chaos:
    """One chaos run; `wrong` lists the violations."""

    world: World
    seed: int = 1
    wrong: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._damaged_at: dict[str, float] = {}
        noise = random.Random(self.seed)
        contents = [noise.randbytes(noise.randrange(20_000, 150_000)) for _ in range(9)]
        # Fewer contents than files: several builds share most contents.
        self.archives = [self._archive(noise, contents) for _ in range(10)]
        self._services = [
            Service(
                self._made(f"quota-{quota}"),
                self.world.database_url,
                f"{self.world.source.url}/",
                store=self.world.store_url,
                quota_bytes=str(quota),
                scrub_bytes_per_second=str(50 << 20),
            )
            for quota in _QUOTAS
        ]
        self.api: list[Pod] = []
        self.workers: list[Pod] = []

    def run(self, seconds: float, until: Mapping[str, int]) -> None:
        """Run for this long; on a busy machine, until each event of `until` was seen so often."""
        self.api = [self._services[0].api()[0] for _ in range(2)]
        self.workers = [self._services[0].worker()]
        actors: list[Callable[[random.Random], None]] = [
            *[self._stage] * 3,
            *[self._read] * 3,
            self._operate,
            self._damage,
            self._restart,
        ]
        if self.world.bucket is not None:
            actors.append(self._disturb)
        with ThreadPoolExecutor(len(actors)) as pool:
            doing = [
                pool.submit(self._act, each, random.Random(f"{self.seed} {number}"))
                for number, each in enumerate(actors)
            ]
            self._over.wait(seconds)
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not self.has_seen(until) and time.monotonic() < deadline:
                self._over.wait(0.5)
            self._over.set()
            for done in doing:
                done.result()
        if self.world.bucket is not None:
            self.world.bucket.behave()
        self.close()

    def has_seen(self, least: Mapping[str, int]) -> bool:
        """Return whether each of these events was seen at least this often."""
        return all(self.seen[name] >= count for name, count in least.items())

    def close(self) -> None:
        """Kill every pod."""
        for each in self._services:
            each.kill()

    def _archive(self, noise: random.Random, contents: list[bytes]) -> Archive:
        path = build_path()
        objects = {FULL_PAYLOAD: noise.choice(contents), "stateful.tgz": noise.choice(contents)}
        url = self.world.source.add(path, with_manifest(dict(objects)))
        served = {"update.gz": objects[FULL_PAYLOAD], "stateful.tgz": objects["stateful.tgz"]}
        return Archive(url, {f"{path}/{name}": content for name, content in served.items()})

    def _made(self, name: str) -> Path:
        folder = self.world.folder / name
        folder.mkdir()
        return folder

    def _act(self, actor: Callable[[random.Random], None], noise: random.Random) -> None:
        while not self._over.is_set():
            # A pod that was just killed does not respond.
            with suppress(urllib3.exceptions.HTTPError, ConnectionError):
                actor(noise)

    def _stage(self, noise: random.Random) -> None:
        archive, pod = noise.choice(self.archives), noise.choice(self.api)
        answer = pod.client.stage(archive.url, noise.choice(_ARTIFACTS))
        self.seen[f"staging {answer.status}"] += 1
        if answer.status not in _EXPECTED:
            self.wrong.append(f"POST was answered {answer.status}: {answer.body[:300]!r}")
        self._over.wait(noise.uniform(0, 0.1))

    def _read(self, noise: random.Random) -> None:
        archive, pod = noise.choice(self.archives), noise.choice(self.api)
        path, true = noise.choice(sorted(archive.files.items()))
        began = time.monotonic()
        answer = pod.client.get(f"/static/{path}")
        self.seen[f"read {answer.status}"] += 1
        status, body = answer.status, answer.body
        if status == 302:
            # The response to a link shows by itself whether it is complete.
            got = urllib3.request("GET", answer.headers["Location"], retries=False, timeout=30)
            status, body = got.status, got.data
            self.seen[f"link {status}"] += 1
            if status != 200:
                return
        if status != 200:
            if status not in _EXPECTED:
                self.wrong.append(f"GET was answered {status}: {body[:300]!r}")
            return
        digest = hashlib.sha256(true).hexdigest()
        if answer.headers["ETag"] != f'"{digest}"':
            self.wrong.append(f"{path} has the ETag of another content")
        damaged = self._damaged_at.get(digest, 0.0) >= began
        if len(body) != len(true) and not damaged:
            self.wrong.append(f"{path} came with {len(body)} of {len(true)} bytes, as if whole")
        if body != true:
            # A flipped bit: clients notice it by the digest in the response.
            self.seen["flipped bits that a digest showed"] += 1
        self._over.wait(noise.uniform(0, 0.05))

    def _operate(self, noise: random.Random) -> None:
        pod = noise.choice(self.api)
        listed = pod.client.get("/api/v1.0/artifacts?state=staged&limit=50")
        if listed.status == 200 and listed.json["items"]:
            artifact = noise.choice(listed.json["items"])["id"]
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
            answer = (
                pod.client.delete(f"/api/v1.0/artifacts/{artifact}")
                if noise.random() < 0.5
                else pod.client.post(f"/api/v1.0/artifacts/{artifact}/pin", {"until": until})
            )
            if answer.status not in _EXPECTED:
                self.wrong.append(f"an operator was answered {answer.status}")
        # Makes artifacts evictable that were not read for a moment.
        execute(
            self.world.rows,
            "UPDATE staged_artifacts SET staged_at = staged_at - interval '1 hour',"
            " last_accessed_at = last_accessed_at - interval '1 hour'"
            " WHERE state = 'staged' AND coalesce(last_accessed_at, staged_at)"
            " < clock_timestamp() - make_interval(secs => :idle)",
            idle=_IDLE_SECONDS,
        )
        self._over.wait(0.3)

    def _damage(self, noise: random.Random) -> None:
        found = select(self.world.rows, "SELECT sha256 FROM blobs WHERE doomed_at IS NULL")
        if found:
            (digest,) = noise.choice(sorted(found))
            url = self.world.direct_url
            ways: list[Callable[[], None]] = [
                lambda: damage.change(url, digest, damage.removed),
                lambda: damage.change(url, digest, damage.cut),
                lambda: damage.change(url, digest, damage.grown),
                lambda: damage.change(url, digest, damage.flipped),
            ]
            if self.world.bucket is None:
                path = damage.path_of(url, digest)
                ways += [partial(made, path) for made in damage.NO_FILES]
                ways.append((path.parent / ".nfs0000001").touch)
            # Set before the damage is done: a reader may meet it before this thread continues.
            self._damaged_at[digest] = math.inf
            # The blob may be gone, or replaced, by now.
            with suppress(OSError):
                noise.choice(ways)()
                self.seen["damages"] += 1
            self._damaged_at[digest] = time.monotonic()
        self._over.wait(noise.uniform(0.1, 0.4))

    def _disturb(self, noise: random.Random) -> None:
        assert self.world.bucket is not None
        fault = noise.choice(
            [
                Fault(403, "AccessDenied"),
                Fault(429, "TooManyRequests"),
                Fault(503, "SlowDown"),
                Fault(delay=0.3),
                Fault(cut=True),
            ]
        )
        every = noise.choice([1, 2])
        turns = iter(range(1 << 60))
        self.world.bucket.fault_of = lambda *_: fault if next(turns) % every == 0 else None
        self.seen[f"bucket {fault.status or ('cut' if fault.cut else 'slow')}"] += 1
        self._over.wait(noise.uniform(0.3, 1))
        self.world.bucket.behave()
        self._over.wait(noise.uniform(0.3, 1))

    def _restart(self, noise: random.Random) -> None:
        self._over.wait(noise.uniform(1, 3))
        service = noise.choice(self._services)
        pods = noise.choice([self.api, self.workers])
        place = noise.randrange(len(pods))
        pods[place].kill()
        pods[place] = service.again(pods[place])
        self.seen["restarts"] += 1
        # Also on a busy machine, each pod does something before it is killed.
        while pods is self.api and not self._answers(pods[place]) and not self._over.wait(0.1):
            pass

    @staticmethod
    def _answers(pod: Pod) -> bool:
        try:
            return pod.client.get("/readyz").status in _EXPECTED
        except urllib3.exceptions.HTTPError:
            return False


def settle(chaos: Chaos) -> None:
    """Let the remaining damage be repaired, and check the final state; adds to `wrong`."""
    world = chaos.world
    settings = Settings.from_env(
        database_url=world.database_url,
        store=world.direct_url,
        home=world.folder / "last",
        sources=f"{world.source.url}/",
    )
    terms = StoreTerms(
        idle_seconds=0,
        noted_seconds=0,
        grace_seconds=-2,
        busy_seconds=-2,
        scrub_bytes_per_second=1 << 40,
        scrub_pause_seconds=-2,
    )
    service = Service(
        chaos._made("last"), world.database_url, f"{world.source.url}/", store=world.direct_url
    )
    try:
        (pod,) = service.api()
        with closing(build_services(settings)) as services:
            upkeep = replace(services.stagings.upkeep, terms=terms)
            keep_house(world, upkeep)
            for archive in chaos.archives:
                stage_all(pod, archive)
            keep_house(world, upkeep)
            check(chaos, pod, upkeep)
    finally:
        service.close()


def keep_house(world: World, upkeep: Upkeep) -> None:
    """Do some hours of housekeeping: check everything twice, and collect garbage."""
    scrub = Scrub(upkeep, lambda _artifact: None)
    for _ in range(2):
        known = {str(digest) for (digest,) in select(world.rows, "SELECT sha256 FROM blobs")}
        known |= {blob.sha256 for blob, _ in blobs_of(upkeep.blobs)}
        for shard in {digest[:2] for digest in known}:
            reconcile.check(upkeep, shard)
            scrub.turn(shard)
        # Removals claimed by dead processes expire, and postponed ones become due.
        with world.rows.connect() as conn:
            conn.exec_driver_sql(
                "UPDATE blobs SET removing_until = NULL, doomed_at = clock_timestamp()"
                " WHERE doomed_at IS NOT NULL"
            )
        upkeep.collect()


def stage_all(pod: Pod, archive: Archive) -> None:
    """Repeat a staging request until it succeeds, as a client does."""

    def staged() -> bool:
        return pod.client.stage(archive.url, *_ARTIFACTS).status in (200, 201)

    eventually(staged, f"{archive.url} cannot be staged")


def check(chaos: Chaos, pod: Pod, upkeep: Upkeep) -> None:
    """Check that ledger, rows and store agree to the byte, and all files equal their source."""
    rows = chaos.world.rows
    named: dict[str, int] = dict(
        select(
            rows,
            "SELECT sha256, b.size_bytes FROM blobs b"
            " WHERE sha256 IN (SELECT sha256 FROM artifact_blobs)",
        )
    )
    promised: dict[str, int] = dict(select(rows, "SELECT sha256, size_bytes FROM blobs"))
    stored = {blob.sha256: blob.size_bytes for blob, _ in blobs_of(upkeep.blobs)}
    ledger = upkeep.space()
    if not named == promised == stored:
        chaos.wrong.append(f"files {named}, rows {promised} and store {stored} differ")
    if (ledger.used, ledger.garbage) != (sum(stored.values()), 0):
        chaos.wrong.append(f"the ledger says {ledger}, the store has {sum(stored.values())}")
    for archive in chaos.archives:
        for path, true in archive.files.items():
            answer = pod.client.get(f"/static/{path}")
            body = answer.body
            if answer.status == 302:
                body = urllib3.request("GET", answer.headers["Location"], retries=False).data
            if body != true:
                chaos.wrong.append(f"{path} is not what its source has, but {answer.status}")


def store_of(world: World) -> BlobStore:
    """Return the store, without the proxy."""
    return open_store(world.direct_url, world.folder / "home")
