"""Many clients that request one archive from many pods, while the lock holder is killed repeatedly.

The source stops in the middle of the large object each time, so the process that dies is always
the one that downloads, at a known offset: bytes that it had synced must not be read again.
"""

import hashlib
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import urllib3

from staging_api.db.engine import Database
from staging_api.store.parts import PART_BYTES
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import check_store, select, states
from tests.service import STAGINGS, Pod, Service, eventually
from tests.source import PATIENCE_SECONDS, ArchiveSource, Read

#: What each holder downloads before it is killed: more than one part.
_BROUGHT_BYTES = 10 << 20
_RANGE_BYTES = 64 << 10
#: One of this many clients ignores Retry-After.
_DEAF_ONE_OF = 10


@dataclass
class Herd:
    """One build, the pods that serve it, and the final answers of the clients."""

    service: Service
    source: ArchiveSource
    rows: Database
    kills: int
    path: str = field(default_factory=build_path)
    answers: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    api: list[Pod] = field(default_factory=list)
    workers: list[Pod] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = (self.kills + 1) * _BROUGHT_BYTES + PART_BYTES
        self.objects = build("herd", payload_bytes=size)
        self.url = self.source.add(self.path, self.objects)
        self._etag = f'"{hashlib.sha256(self.objects[FULL_PAYLOAD]).hexdigest()}"'
        self._mutex = threading.Lock()
        self._killed_at = time.monotonic()

    def run(self, clients: int) -> None:
        """Let the clients send requests concurrently, and kill as many holders as configured."""
        held = self.source.hold(self.url, FULL_PAYLOAD, _BROUGHT_BYTES)
        # So the first process that dies is a worker; most other processes serve clients.
        assert self.api[0].client.stage(self.url, Prefer="respond-async").status == 202
        held.wait_until_reached()
        together = threading.Barrier(clients + 1, timeout=PATIENCE_SECONDS)
        with ThreadPoolExecutor(clients) as pool:
            asking = [pool.submit(self._ask, number, together) for number in range(clients)]
            together.wait()
            self._killed_at = time.monotonic()
            for kill in range(self.kills):
                held.wait_until_reached()
                self._wait_until_synced((kill + 1) * _BROUGHT_BYTES)
                assert "staged" not in states(self.rows, self.url).get("full_payload", "")
                victim = held
                if kill + 1 < self.kills:
                    held = self.source.hold(self.url, FULL_PAYLOAD, _BROUGHT_BYTES)
                self._kill_the_holder()
                victim.release()
            for one in asking:
                one.result()

    def check(self) -> None:
        """Fail if any bytes were fetched twice, or a file has wrong content."""
        ((staging_id,),) = select(
            self.rows,
            "SELECT id FROM stagings WHERE archive_url = :u ORDER BY id LIMIT 1",
            u=self.url,
        )
        self.api[-1].client.wait(f"{STAGINGS}/{staging_id}", "staged")
        assert set(self.answers) <= {200, 201}
        assert self.answers[201] <= 1
        reads = [read for read in self.source.reads if read.path.startswith(f"/{self.path}/")]
        completed, sent = Counter[str](), Counter[str]()
        for read in reads:
            name = read.path.rpartition("/")[2]
            sent[name] += read.sent_bytes
            completed[name] += read.start + read.sent_bytes == len(self.objects[name])
        assert set(completed.values()) == {1}, self._story(reads)
        again = {name: count - len(self.objects[name]) for name, count in sent.items()}
        assert 0 <= again.pop(FULL_PAYLOAD) <= self.kills * PART_BYTES
        assert set(again.values()) == {0}, again
        assert sum(self.killed.values()) == self.kills
        check_store(self.rows, self.service.store)

    def _story(self, reads: list[Read]) -> str:
        """Return which ranges of the payload were read by whom, for a failure's message."""
        locks = (
            "SELECT holder, fence, acquired_at, expires_at, ended_at, outcome, ended_by"
            " FROM api_locks WHERE scope = :u ORDER BY fence"
        )
        shown = [read for read in reads if read.path.endswith(FULL_PAYLOAD)]
        return "\n".join(str(row) for row in (*shown, *select(self.rows, locks, u=self.url)))

    def _ask(self, number: int, together: threading.Barrier) -> None:
        """Run one client: repeat its request until all is staged, and read the files."""
        chance = random.Random(number)
        http = urllib3.PoolManager(retries=False, timeout=PATIENCE_SECONDS)
        together.wait()
        # Since the last kill: the total time depends on the machine.
        while time.monotonic() < self._killed_at + 4 * PATIENCE_SECONDS:
            pod = chance.choice(self.api)
            try:
                body = {"archive_url": self.url}
                answer = http.request("POST", f"{pod.url}{STAGINGS}", json=body)
                if answer.status in {200, 201}:
                    self._read(http, chance)
                    with self._mutex:
                        self.answers[answer.status] += 1
                    return
                assert answer.status in {409, 503}, answer.data
                with self._mutex:
                    self.refused[answer.status] += 1
                time.sleep(self._pause(number, float(answer.headers["Retry-After"]), chance))
            except urllib3.exceptions.HTTPError:
                time.sleep(chance.random())  # the pod was killed under the request
        raise AssertionError(f"client {number} never got a staged answer")

    def _pause(self, number: int, retry_after: float, chance: random.Random) -> float:
        """Return Retry-After with jitter; for clients that ignore it, up to a second."""
        if number % _DEAF_ONE_OF == 0:
            return chance.random()
        return retry_after * (1 + chance.random() / 4)

    def _read(self, http: urllib3.PoolManager, chance: random.Random) -> None:
        """Read one file completely and a range of the large file, from any pod."""
        payload = self.objects[FULL_PAYLOAD]
        start = chance.randrange(len(payload) - _RANGE_BYTES)
        part = f"bytes={start}-{start + _RANGE_BYTES - 1}"
        large = self._got(http, chance, "update.gz", Range=part)
        assert large.data == payload[start : start + _RANGE_BYTES]
        assert large.headers["ETag"] == self._etag
        assert self._got(http, chance, "stateful.tgz").data == self.objects["stateful.tgz"]

    def _got(
        self, http: urllib3.PoolManager, chance: random.Random, name: str, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        for _ in range(100):
            url = f"{chance.choice(self.api).url}/static/{self.path}/{name}"
            try:
                answer = http.request("GET", url, headers=headers)
            except urllib3.exceptions.HTTPError:
                time.sleep(0.1)
                continue
            assert answer.status in {200, 206}, "it was said to be staged, and is not there"
            return answer
        raise AssertionError(f"no pod sends {name}")

    def _wait_until_synced(self, position: int) -> None:
        """Return when at most one part of the downloaded bytes would be lost."""
        reached = position - PART_BYTES

        def synced() -> bool:
            journals = (self.service.store / "parts").glob("*/*.done")
            lines = [line for each in journals for line in each.read_text().splitlines()]
            return max((int(line.split()[1]) for line in lines), default=0) >= reached

        eventually(synced, "what came is not synced")

    def _kill_the_holder(self) -> None:
        ((holder,),) = select(
            self.rows,
            "SELECT holder FROM lock_scopes WHERE scope = :u AND lock_id IS NOT NULL",
            u=self.url,
        )
        group = os.getpgid(int(holder.split(":")[1]))
        pod = next(pod for pod in self.api + self.workers if pod.process.pid == group)
        kind = "api" if pod in self.api else "worker"
        self.killed[kind] += 1
        pods = self.api if kind == "api" else self.workers
        pod.kill()
        pods.remove(pod)
        pods.append(self.service.api()[0] if kind == "api" else self.service.worker())
        self._killed_at = time.monotonic()
