"""Every counter and histogram, by name."""

import os

from prometheus_client import Counter, Gauge, Histogram, values

from staging_api.environment import are_metrics_shared
from staging_api.vocabulary.staging import DAMAGE_REASONS


class _ThisProcess:
    """Its id, for the file of metrics that is this process's own.

    The library asks the system before each count, seven times a request, whether the process is
    still the same; after a fork we are told.
    """

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def __call__(self) -> int:
        return self._id

    def _renew(self) -> None:
        self._id = os.getpid()


if are_metrics_shared():
    # Documented for servers that name their processes otherwise.
    values.ValueClass = values.MultiProcessValue(_ThisProcess())  # type: ignore[no-untyped-call]

LOCKS_HELD = Gauge(
    "staging_locks_held", "Locks held by this process", ["kind"], multiprocess_mode="livesum"
)
LOCKS_GRANTED = Counter("staging_locks_granted", "Locks granted", ["kind"])
LOCKS_REFUSED = Counter("staging_locks_refused", "Requests refused as another held", ["kind"])
LOCKS_WAITED = Counter("staging_locks_waited", "Requests that queued for a lock", ["kind"])
LOCKS_LOST = Counter("staging_locks_lost", "Leases lost before their work was done", ["kind"])
LOCK_RENEWALS_FAILED = Counter(
    "staging_lock_renewals_failed", "Renewals that had no answer; tried again until trust runs out"
)
LOCK_RENEWALS_LATE = Counter(
    "staging_lock_renewals_late", "Renewals that came with less than a third of the lease left"
)
LOCK_RELEASES_FAILED = Counter(
    "staging_lock_releases_failed", "Releases that had no answer; the lease runs out instead"
)
LOCK_HOLD_SECONDS = Histogram(
    "staging_lock_hold_seconds",
    "From grant to release",
    ["kind"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800),
)
LOCK_WAIT_SECONDS = Histogram(
    "staging_lock_wait_seconds",
    "From queueing to grant",
    ["kind"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
)

CREDENTIALS_FILE_WRONG = Gauge(
    "staging_credentials_file_wrong",
    "1 while the tokens file is invalid and the previous tokens stay in force",
    multiprocess_mode="livemax",
)

IDENTITY_UNAVAILABLE = Counter(
    "staging_identity_unavailable", "Credentials that could not be checked, by cause", ["cause"]
)
IDENTITY_CALLS = Counter(
    "staging_identity_calls", "Calls to the identity provider, by outcome", ["outcome"]
)

REQUESTS = Counter("staging_requests", "Requests answered", ["method", "route", "status"])
REQUESTS_RUNNING = Gauge(
    "staging_requests_running", "Requests being answered now", multiprocess_mode="livesum"
)
EVENT_STREAMS = Gauge(
    "staging_event_streams", "Event streams of pages open now", multiprocess_mode="livesum"
)
REQUEST_SECONDS = Histogram(
    "staging_request_seconds",
    "From the head of a request to the head of its answer",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800),
)
ARTIFACTS = Counter(
    "staging_artifacts",
    "Attempts on artifacts; outcome: staged, missing or an error's code",
    ["artifact", "outcome"],
)
ARTIFACT_SECONDS = Histogram(
    "staging_artifact_seconds",
    "From the first byte requested to staged",
    ["artifact"],
    buckets=(0.1, 0.5, 2, 10, 60, 300, 1800),
)
SOURCE_BYTES = Counter("staging_source_bytes", "Bytes that came from sources", ["scheme"])
SERVED_BYTES = Counter("staging_served_bytes", "Bytes of staged files that answers announced")
ARTIFACTS_EVICTED = Counter(
    "staging_artifacts_evicted", "Artifacts evicted by the service itself", ["reason"]
)
STORE_DAMAGED = Counter(
    "staging_store_damaged", "Contents that the store had lost, or had with other bytes", ["how"]
)
STORE_SCRUBBED_BYTES = Counter(
    "staging_store_scrubbed_bytes", "Bytes of the store that were read again"
)
HOUSEKEEPING_FAILURES = Counter(
    "staging_housekeeping_failures",
    "Steps, or items of steps, that failed",
    ["step"],
)
HOUSEKEEPING_DONE = Gauge(
    "staging_housekeeping_done_timestamp_seconds",
    "When a step of housekeeping was last done",
    ["step"],
    multiprocess_mode="livemax",
)
DATABASE_CONNECTIONS = Gauge(
    "staging_database_connections_used",
    "Connections taken from a pool now",
    ["pool"],
    multiprocess_mode="livesum",
)
READS_AGAIN = Counter(
    "staging_reads_again", "Requests that ran again after their database connection broke"
)
DATABASE_UNAVAILABLE = Counter(
    "staging_database_unavailable", "Times that no connection to the database could be had"
)

# Created at import, so that an alert sees the first increment, too.
for _how in DAMAGE_REASONS:
    STORE_DAMAGED.labels(_how)
