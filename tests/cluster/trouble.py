"""Troubles of the cluster while clients work, each recorded."""

import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from tests.cluster.cluster import LEASE_SECONDS, Cluster

_FULL_SECONDS = 4.0


@dataclass(frozen=True)
class Trouble:
    """One trouble, its start and its duration, in seconds since the beginning."""

    at: float
    what: str
    seconds: float


class Troubles:
    """Makes troubles in turns and kills pods, at fixed intervals; a seed picks the victims."""

    def __init__(
        self, cluster: Cluster, every_seconds: float, kill_seconds: float, seed: int = 1
    ) -> None:
        """Kill a pod every `kill_seconds`, and make another trouble every `every_seconds`."""
        self.made: list[Trouble] = []
        self._cluster = cluster
        self._every = every_seconds
        self._kill_every = kill_seconds
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._over = threading.Event()

    def run(self, seconds: float) -> None:
        """Make trouble for this long; each kind at least once, even if that takes longer."""
        self._began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            killer = pool.submit(self._kill)
            try:
                for turn, (what, make) in enumerate(cycle(self.kinds.items())):
                    if turn >= len(self.kinds) and self._since() >= seconds:
                        break
                    self._make(what, make, self._every)
            finally:
                self._over.set()
            killer.result()

    @property
    def kinds(self) -> Mapping[str, Callable[[], None]]:
        """Return all troubles possible on this machine, except kills of pods."""
        made = self._cluster
        kinds = {
            "the pooler restarted": made.restart_pooler,
            "an API pod frozen past its leases": self._freeze,
            "the primary killed, the standby promoted": made.fail_over,
            "the next standby made": made.follow,
            "all pods rolled": made.roll,
        }
        return {**kinds, "the disk full": self._fill} if made.store else kinds

    def _kill(self) -> None:
        """Kill pods of both kinds in turns."""
        made = self._cluster
        for pods, what in cycle(((made.api, "an API pod"), (made.workers, "a worker"))):
            if self._over.wait(self._kill_every):
                return
            self._make(
                f"{what} killed", partial(made.kill, pods, self._random.randrange(len(pods)))
            )

    def _make(self, what: str, make: Callable[[], None], every_seconds: float = 0.0) -> None:
        at = self._since()
        make()
        took = self._since() - at
        self.made.append(Trouble(at, what, took))
        time.sleep(max(0.0, every_seconds - took))

    def _since(self) -> float:
        return time.monotonic() - self._began

    def _freeze(self) -> None:
        pod = self._random.choice(self._cluster.api)
        # Meanwhile it may be killed: a liveness probe kills frozen pods.
        with suppress(ProcessLookupError):
            pod.signal(signal.SIGSTOP)
            time.sleep(LEASE_SECONDS + 2)
            pod.signal(signal.SIGCONT)

    def _fill(self) -> None:
        assert self._cluster.store is not None
        self._cluster.store.fill()
        time.sleep(_FULL_SECONDS)
        self._cluster.store.empty()
