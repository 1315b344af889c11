"""Clients at work on the cluster, each of which believes nothing that it did not check.

A client does what the service says: it comes back when it is told to. What it must not meet is an
error without a "come again", an answer that is not true, or a call that never succeeds.
"""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from staging_api.client.client import StagingClient
from staging_api.client.model import Staging
from staging_api.errors import StagingApiError
from tests.builds import FULL_PAYLOAD, NTON_PAYLOAD, Objects, build
from tests.cluster.cluster import Cluster

T = TypeVar("T")

#: How long a client is patient with one call, troubles and all.
_PATIENCE_SECONDS = 240.0
_STAGERS, _READERS, _LISTERS = 5, 2, 1
# Few kinds of builds; their archives are what there are many of.
_KINDS = 6
#: So many of the newest archives are asked for at a time, so that clients meet.
_WANTED_AT_ONCE = 4
_ARCHIVE_EVERY_SECONDS = 1.2


@dataclass
class Seen:
    """What the clients saw.

    Attributes:
        done: calls that succeeded, by what was asked.
        come_again: answers that told the client to come again, by their code.
        wrong: what a client must not see, in words.
        acknowledged: ids of stagings that the service answered with.
        slowest: the longest that a call took until it succeeded, by what was asked, in seconds.
    """

    done: Counter[str] = field(default_factory=Counter)
    come_again: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def told_to_come_again(self, error: StagingApiError, _seconds: float) -> None:
        """Count an answer that was no success, and no failure either."""
        with self._writing:
            self.come_again[error.code] += 1

    def succeeded(self, what: str, seconds: float) -> None:
        """Count a call that was answered in the end."""
        with self._writing:
            self.done[what] += 1
            self.slowest[what] = max(seconds, self.slowest.get(what, 0.0))


class Load:
    """Clients that stage, wait, read and look around until they are told to stop."""

    def __init__(self, cluster: Cluster, seed: int = 1) -> None:
        self.seen = Seen()
        self.archives: dict[str, Mapping[str, str]] = {}
        self._cluster = cluster
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._staged: list[str] = []
        self._scratch = Path()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Work for the block; ends when each client has done what it was about."""
        self._add_archive()
        work = [
            self._add_archives,
            *[self._stage] * _STAGERS,
            *[self._read] * _READERS,
            *[self._list] * _LISTERS,
        ]
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(len(work)) as pool:
            self._scratch = Path(scratch)
            at_work = [pool.submit(self._until_told, each, n) for n, each in enumerate(work)]
            try:
                yield
            finally:
                self._stop.set()
            for each in at_work:
                each.result()

    def _until_told(self, work: Callable[[StagingClient, int], None], number: int) -> None:
        with StagingClient(self._cluster.url) as client:
            while not self._stop.is_set():
                work(client, number)

    def _add_archives(self, _client: StagingClient, _number: int) -> None:
        if not self._stop.wait(_ARCHIVE_EVERY_SECONDS):
            self._add_archive()

    def _add_archive(self) -> None:
        kind = len(self.archives) % _KINDS
        path = f"board-release/R17-{len(self.archives)}.0.0"
        url = self._cluster.put(path, _objects(kind))
        self.archives[url] = _served(path, kind)

    def _stage(self, client: StagingClient, _number: int) -> None:
        """Ask for a build that others ask for too, and look whether the answer is true."""
        url = self._random.choice(list(self.archives)[-_WANTED_AT_ONCE:])
        whole = self._random.random() < 0.3

        def bring() -> Staging:
            staging = client.stage(
                url, timeout=_PATIENCE_SECONDS, on_retry=self.seen.told_to_come_again
            )
            if not whole:
                return staging
            return client.wait(staging.id, timeout=60, on_retry=self.seen.told_to_come_again)

        staging = self._insist("stage and wait" if whole else "stage", bring)
        if staging is None:
            return
        self.seen.acknowledged[staging.id] = url
        self._staged.append(url)
        for path in self.archives[url]:
            if whole or "/au/" not in path:
                self._check(client, path, self.archives[url][path])

    def _read(self, client: StagingClient, number: int) -> None:
        """Read a file of something that was staged at some time."""
        if not self._staged:
            self._stop.wait(0.1)
            return
        url = self._random.choice(self._staged)
        path = next(iter(self.archives[url]))
        self._check(client, path, self.archives[url][path], number)
        self._stop.wait(0.05)

    def _list(self, client: StagingClient, _number: int) -> None:
        """Look at the locks: two of one scope must never be held."""
        held = self._insist("list locks", lambda: list(client.locks()))
        scopes = Counter((lock.kind, lock.scope) for lock in held or ())
        self.seen.wrong += [f"held twice: {scope}" for scope, n in scopes.items() if n > 1]
        self._insist("list stagings", lambda: next(iter(client.stagings(page_size=20)), None))
        self._stop.wait(0.2)

    def _check(self, client: StagingClient, path: str, digest: str, number: int = -1) -> None:
        """What was called staged must be there, and be what the source has."""
        to = self._scratch / f"{threading.get_ident()}-{number}"
        if self._insist("read a file", lambda: client.download(path, to, sha256=digest)) is None:
            return
        if sha256(to.read_bytes()).hexdigest() != digest:
            self.seen.wrong.append(f"{path} is called staged, and is not what the source has")
        to.unlink()

    def _insist(self, what: str, call: Callable[[], T]) -> T | None:
        """The answer of the call, however often the service says to come again."""
        began = time.monotonic()
        while True:
            try:
                answer = call()
            except StagingApiError as error:
                if not error.retryable:
                    self.seen.wrong.append(f"{what}: {error.code}: {error.detail}")
                    return None
                if time.monotonic() - began > _PATIENCE_SECONDS:
                    self.seen.wrong.append(f"{what}: never succeeded: {error.detail}")
                    return None
                self.seen.told_to_come_again(error, 0.0)
                time.sleep(error.retry_after_seconds or 1.0)
            else:
                self.seen.succeeded(what, time.monotonic() - began)
                return answer


@cache
def _objects(kind: int) -> Objects:
    return build(f"build {kind}", payload_bytes=150_000)


def _served(path: str, kind: int) -> Mapping[str, str]:
    """What a staged build has, as far as it is served as it came: digests by path."""
    objects = _objects(kind)
    name = path.rpartition("/")[2]
    return {
        f"{path}/{where}": sha256(objects[source]).hexdigest()
        for where, source in (
            ("update.gz", FULL_PAYLOAD),
            ("stateful.tgz", "stateful.tgz"),
            (f"au/{name}_nton/update.gz", NTON_PAYLOAD),
        )
    }
