"""Every counter and histogram, by name."""

from prometheus_client import Counter, Gauge, Histogram

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
    "1 while the file of tokens is wrong and those of before stay in force",
    multiprocess_mode="livemax",
)
