"""Clients that stage and read builds, and verify every response."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from staging_api.client.client import StagingClient
from staging_api.client.model import Staging
from tests.builds import FULL_PAYLOAD, NTON_PAYLOAD, Objects, build
from tests.cluster.clients import PATIENCE_SECONDS, Shift
from tests.cluster.cluster import Cluster

_STAGERS, _READERS, _LISTERS = 5, 2, 1
# Few kinds of builds, but many archives of each.
_KINDS = 6
#: Number of the newest archives that are requested at a time, so that clients meet.
_WANTED_AT_ONCE = 4
_ARCHIVE_EVERY_SECONDS = 1.2


class Load:
    """Clients that stage, wait, read and list.

    Attributes:
        archives: for each URL, the digests of its served files by path.
        acknowledged: the URL of each staging that the service acknowledged, by its id.
    """

    def __init__(self, cluster: Cluster, shift: Shift, scratch: Path) -> None:
        """Put the first archive into the bucket; downloaded files are kept briefly in `scratch`."""
        self.archives: dict[str, Mapping[str, str]] = {}
        self.acknowledged: dict[str, str] = {}
        self._cluster = cluster
        self._shift = shift
        self._seen = shift.seen
        self._staged: list[str] = []
        self._scratch = scratch
        self._add_archive()

    @property
    def work(self) -> list[Callable[[StagingClient], None]]:
        """Return the kinds of work that each client repeats."""
        return [
            self._add_archives,
            *[self._stage] * _STAGERS,
            *[self._read] * _READERS,
            *[self._list] * _LISTERS,
        ]

    def _add_archives(self, _client: StagingClient) -> None:
        if not self._shift.over.wait(_ARCHIVE_EVERY_SECONDS):
            self._add_archive()

    def _add_archive(self) -> None:
        kind = len(self.archives) % _KINDS
        path = f"board-release/R17-{len(self.archives)}.0.0"
        url = self._cluster.put(path, _objects(kind))
        self.archives[url] = _served(path, kind)

    def _stage(self, client: StagingClient) -> None:
        """Request a build that other clients request too, and verify the response."""
        url = self._shift.random.choice(list(self.archives)[-_WANTED_AT_ONCE:])
        whole = self._shift.random.random() < 0.3

        def bring() -> Staging:
            staging = client.stage(url, timeout=PATIENCE_SECONDS, on_retry=self._seen.retried)
            if not whole:
                return staging
            return client.wait(staging.id, timeout=60, on_retry=self._seen.retried)

        staging = self._seen.insist("stage and wait" if whole else "stage", bring)
        if staging is None:
            return
        self.acknowledged[staging.id] = url
        self._staged.append(url)
        for path in self.archives[url]:
            if whole or "/au/" not in path:
                self._check(client, path, self.archives[url][path])
        self._shift.over.wait(0.2)

    def _read(self, client: StagingClient) -> None:
        """Read a file of something that was staged earlier."""
        if not self._staged:
            self._shift.over.wait(0.1)
            return
        url = self._shift.random.choice(self._staged)
        path = next(iter(self.archives[url]))
        self._check(client, path, self.archives[url][path])
        self._shift.over.wait(0.05)

    def _list(self, client: StagingClient) -> None:
        """List the locks: two of one scope must never be held."""
        held = self._seen.insist("list locks", lambda: list(client.locks()))
        scopes = Counter((lock.kind, lock.scope) for lock in held or ())
        self._seen.wrong += [f"held twice: {scope}" for scope, n in scopes.items() if n > 1]
        self._seen.insist("list stagings", lambda: next(iter(client.stagings(page_size=20)), None))
        self._shift.over.wait(0.2)

    def _check(self, client: StagingClient, path: str, digest: str) -> None:
        """Check that a staged file exists and equals its source."""
        to = self._scratch / str(threading.get_ident())
        if (
            self._seen.insist("read a file", lambda: client.download(path, to, sha256=digest))
            is None
        ):
            return
        if sha256(to.read_bytes()).hexdigest() != digest:
            self._seen.wrong.append(f"{path} is called staged, and is not what the source has")
        to.unlink()


@cache
def _objects(kind: int) -> Objects:
    return build(f"build {kind}", payload_bytes=150_000)


def _served(path: str, kind: int) -> Mapping[str, str]:
    """Return the digests of a build's files that are served unchanged, by path."""
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
