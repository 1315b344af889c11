"""All counters, gauges and histograms, by name."""

import errno
import logging
import os
from functools import partial
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.mmap_dict import MmapedDict

from staging_api.environment import are_metrics_shared
from staging_api.vocabulary.staging import DAMAGE_REASONS

log = logging.getLogger(__name__)

#: Initial size of a file; the size is doubled when the file is full.
_FIRST_BYTES = 64 << 10
#: Largest size of an entry beside its key: a length, padding, a value and a time.
_AROUND_KEY_BYTES = 28


class _ReservedFile(MmapedDict):
    """File of metrics whose space is allocated before it is written.

    The library maps a sparse file, and a write to a hole on a full disk ends the process by SIGBUS.
    So a metric without space is counted in memory only, and appears with its first change for which
    there is space.
    """

    def __init__(self, filename: str) -> None:
        """Open no file yet: the disk may be full."""
        self._name = filename
        self._positions: dict[str, int] = {}
        self._used = self._capacity = 0
        self._is_open = False
        self._is_short = False

    def read_value(self, key: str) -> tuple[float, float]:
        """Return the value and its time; zeros if the file does not have the key."""
        return super().read_value(key) if self._has(key) else (0.0, 0.0)  # type: ignore[no-untyped-call]

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Write the value if there is space for it."""
        if key in self._positions or self._has(key):
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._is_open:
            super().close()  # type: ignore[no-untyped-call]

    def _has(self, key: str) -> bool:
        """Return whether the file has an entry for this key, or space for a new one."""
        try:
            if not self._is_open:
                _reserve(self._name, _FIRST_BYTES)
                super().__init__(self._name)  # type: ignore[no-untyped-call]
                self._is_open = True
            if key not in self._positions:
                self._grow_for(key)
        except OSError as error:
            if not self._is_short:
                log.error("%s lacks metrics of this process: %s", self._name, error.strerror)  # noqa: TRY400
            self._is_short = True
            return False
        self._is_short = False
        return True

    def _grow_for(self, key: str) -> None:
        size = self._capacity
        while self._used + len(key.encode()) + _AROUND_KEY_BYTES > size:
            size *= 2
        if size > self._capacity:
            _reserve(self._name, size)


class _ThisProcess:
    """Cached process id, which names this process's own file of metrics.

    The library would query the system before each count, seven times a request, to detect a fork; a
    fork handler renews this id instead.
    """

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def __call__(self) -> int:
        return self._id

    def _renew(self) -> None:
        self._id = os.getpid()


def _reserve(name: str, size: int) -> None:
    """Extend a file to at least this length, without holes.

    Raises:
        OSError: the disk is full, or the file cannot be created.
    """
    with Path(name).open("ab") as file:
        size = max(size, file.tell())
        # Truncate first: other processes read an empty file as damaged, and zeros as no counts.
        os.ftruncate(file.fileno(), size)
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            # Some file systems cannot allocate in advance.
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise


if are_metrics_shared():
    values.MmapedDict = _ReservedFile  # type: ignore[attr-defined, assignment]
    # Documented for servers whose processes have other names.
    values.ValueClass = values.MultiProcessValue(_ThisProcess())  # type: ignore[no-untyped-call]

#: Gauge with the sum over all live processes.
_Number = partial(Gauge, multiprocess_mode="livesum")

LOCKS_HELD = _Number("staging_locks_held", "Locks held by this process", ["kind"])
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
REQUESTS_RUNNING = _Number("staging_requests_running", "Requests being answered now")
EVENT_STREAMS = _Number("staging_event_streams", "Event streams of pages open now")
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
    "staging_housekeeping_failures", "Steps, or items of steps, that failed", ["step"]
)
HOUSEKEEPING_DONE = Gauge(
    "staging_housekeeping_done_timestamp_seconds",
    "When a step of housekeeping was last done",
    ["step"],
    multiprocess_mode="livemax",
)
DATABASE_CONNECTIONS = _Number(
    "staging_database_connections_used", "Connections taken from a pool now", ["pool"]
)
READS_AGAIN = Counter(
    "staging_reads_again", "Requests that ran again after their database connection broke"
)
DATABASE_UNAVAILABLE = Counter(
    "staging_database_unavailable", "Times that no connection to the database was available"
)

# Created at import, so that an alert sees the first increment, too.
for _how in DAMAGE_REASONS:
    STORE_DAMAGED.labels(_how)
