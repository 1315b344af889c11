"""Load of a pod on PostgreSQL: kinds and rates of the statements of its timers and clients."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.scale.model import Cost, Demand
from benchmarks.scale.pods import POLLS_PER_SECOND, POSTS_PER_SECOND

#: Measured as whole requests, as one second of an idle process, and as the cost of a notification
#: per receiving session.
REQUESTS = ("poll", "post of what is staged", "staging of three files")
TIMERS = ("a second of an API process", "a second of a worker")
NOTIFIED = "notification, each listener"
#: Statements that wait for a flush to disk.
FLUSHED = frozenset({"lock pair", "renewal", "heartbeat"})
# Approximate statements of each; the listeners of a notification are notified in sequence.
_PIECES = {
    "a second of an API process": 2,
    "a second of a worker": 14,
    "staging of three files": 30,
}
# Observed; the limit is twice STAGING_DATABASE_POOL_SIZE plus three.
_SESSIONS_OF_API, _SESSIONS_OF_A_WORKER = 3, 8
# The chart's value.
_PROBE_SECONDS = 5.0


@dataclass(frozen=True)
class Profile:
    """A pod, and its share of the clients.

    Attributes:
        processes: number of API processes.
        workers: number of workers; 0.1: one worker per ten pods.
        polls, posts, refusals: requests per second: GET of a staging, POST of a staged archive,
            and 409 responses.
        stagings: stagings of three files per second.
        watching: share of the API processes with a request that waits for a staging.
        listening: share of the API processes with a request that waits for a lock.
        probed: whether kubelet probes the pod.
    """

    name: str
    meaning: str
    processes: float = 2.0
    workers: float = 0.1
    polls: float = 0.0
    posts: float = 0.0
    refusals: float = 0.0
    stagings: float = 0.0
    watching: float = 0.0
    listening: float = 0.0
    probed: bool = True

    def sessions(self, pods: int) -> float:
        """Return the open sessions of `pods` pods: those observed under load, and listeners."""
        api = _SESSIONS_OF_API + self.listening
        return pods * (self.processes * api + self.workers * _SESSIONS_OF_A_WORKER)


#: Pods as run here for the comparison: one process and one worker each.
HERE = Profile(
    "here", "", processes=1, workers=1, polls=POLLS_PER_SECOND, posts=POSTS_PER_SECOND, probed=False
)
QUIET = Profile(
    "quiet",
    "two API processes a pod, a worker for ten, a poll each 10 s, a staging each 10 minutes",
    polls=0.1,
    stagings=1 / 600,
)
BUSY = Profile(
    "busy",
    "the same, each pod with 10 polls, 5 requests for what is staged and 1 refusal a second,"
    " a staging each 20 s; in half of the processes requests wait",
    polls=10.0,
    posts=5.0,
    refusals=1.0,
    stagings=0.05,
    watching=0.5,
    listening=0.5,
)
EACH_A_WORKER = replace(
    BUSY,
    name="busy, a worker in each pod",
    meaning="as busy, with ten times the workers",
    workers=1.0,
)
PROFILES = (QUIET, BUSY, EACH_A_WORKER)


def demands(
    profile: Profile, pods: int, costs: Mapping[str, Cost], asked: float = 1.0
) -> list[Demand]:
    """Return the total demands of `pods` pods on PostgreSQL; `asked` is a share of client load."""
    processes, workers = profile.processes * pods, profile.workers * pods
    stagings = profile.stagings * pods * asked
    rates = {
        "a second of an API process": processes,
        "a second of a worker": workers,
        "readiness": pods / _PROBE_SECONDS if profile.probed else 0.0,
        "poll": profile.polls * pods * asked,
        "post of what is staged": profile.posts * pods * asked,
        "refusal": profile.refusals * pods * asked,
        "staging of three files": stagings,
        # Separate from the locks of stagings, to show its time: locks of runs and documents.
        "lock pair": 0.01 * pods * asked,
        "look of waiters": 10.0 * profile.watching * processes,
        # Each hand-over notifies every listening session.
        NOTIFIED: stagings * profile.listening * processes,
    }
    return [
        Demand(name, part, rate * pieces)
        for name, rate in rates.items()
        if rate > 0
        for part, pieces in [_in_pieces(name, costs[name])]
    ]


def _in_pieces(name: str, cost: Cost) -> tuple[Cost, int]:
    """Split the cost of many statements into single ones: timers of a second, and stagings."""
    pieces = _PIECES.get(name, 1)
    return replace(cost, cpu=cost.cpu / pieces), pieces
