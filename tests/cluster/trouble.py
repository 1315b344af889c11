"""What is done to the cluster while clients are at work: one thing after the other, each noted."""

import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.cluster.cluster import LEASE_SECONDS, Cluster

_FULL_SECONDS = 4.0


@dataclass(frozen=True)
class Trouble:
    """What was done, when, and how long it took; seconds since the beginning."""

    at: float
    what: str
    seconds: float


class Troubles:
    """Makes trouble in turns, at a pace, with victims drawn from a seed."""

    def __init__(self, cluster: Cluster, every_seconds: float, seed: int = 1) -> None:
        self.made: list[Trouble] = []
        self._cluster = cluster
        self._every = every_seconds
        self._random = random.Random(seed)

    def run(self, seconds: float) -> None:
        """Make trouble for so long; each kind at least once, whatever the time."""
        began = time.monotonic()
        turn = 0
        kinds = list(self.kinds.items())
        while turn < len(kinds) or time.monotonic() - began < seconds:
            what, make = kinds[turn % len(kinds)]
            at = time.monotonic()
            make()
            took = time.monotonic() - at
            self.made.append(Trouble(at - began, what, took))
            time.sleep(max(0.0, self._every - took))
            turn += 1

    @property
    def kinds(self) -> Mapping[str, Callable[[], None]]:
        """Everything that can be done here."""
        made = self._cluster
        kinds = {
            "an API pod killed": lambda: made.kill(self._random.choice(made.api)),
            "a worker killed": lambda: made.kill(self._random.choice(made.workers)),
            "the pooler restarted": made.restart_pooler,
            "an API pod frozen past its leases": self._freeze,
            "the primary killed, the standby promoted": made.fail_over,
            "an API pod killed again": lambda: made.kill(self._random.choice(made.api)),
            "all pods rolled": made.roll,
        }
        return {**kinds, "the disk full": self._fill} if made.store else kinds

    def _freeze(self) -> None:
        pod = self._random.choice(self._cluster.api)
        pod.signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + 2)
        pod.signal(signal.SIGCONT)

    def _fill(self) -> None:
        assert self._cluster.store is not None
        self._cluster.store.fill()
        time.sleep(_FULL_SECONDS)
        self._cluster.store.empty()
