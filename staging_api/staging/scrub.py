"""Read contents again at a steady rate, the longest unchecked first, to find corrupt bytes.

The length reveals a truncated file; only the digest reveals a flipped bit. So each content is read
to its end periodically. A corrupt content is quarantined: kept aside for an operator, and not
served. Its artifacts are evicted as ``corrupt`` and staged again.

The shards of the store take turns, the one scrubbed the longest ago first, and of several workers
each gets another shard. A turn begins where this worker's last turn of the shard ended: contents
that cannot be read stay the longest unchecked, and otherwise no others would ever be tried.

What if the process dies? The contents of its turn are read again. If it dies after a blob was
quarantined, before its artifacts are evicted: the blob is lost, and `damage` finds that.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from staging_api import metrics
from staging_api.errors import NotFound, StagingApiError
from staging_api.staging.damage import evict_holders
from staging_api.staging.model import StagedArtifact
from staging_api.staging.reconcile import SHARDS
from staging_api.staging.repository import check_rows
from staging_api.staging.repository.check_rows import DueContent
from staging_api.staging.upkeep import Upkeep

log = logging.getLogger(__name__)

_CHUNK_BYTES = 256 << 10
#: Minimum cost of a content, in bytes: a request to a bucket, or the opening of a file.
_LEAST_BYTES = 16 << 10
_AT_ONCE = 200


@dataclass(frozen=True)
class ScrubResult:
    """The findings of one turn.

    Attributes:
        good: number of contents that were read and have their digests.
        corrupt: contents that were quarantined.
        failed: number of contents that could not be read: their state is unknown.
    """

    good: int = 0
    corrupt: tuple[str, ...] = ()
    failed: int = 0


class Scrub:
    """Reads contents again, at most at the rate in the terms of the store."""

    def __init__(
        self,
        upkeep: Upkeep,
        stage_again: Callable[[StagedArtifact], None],
        stop: threading.Event | None = None,
    ) -> None:
        """Have evicted artifacts staged by `stage_again`; end soon after `stop` is set."""
        self._upkeep = upkeep
        self._stage_again = stage_again
        self._stop = stop or threading.Event()
        self._rate = upkeep.terms.scrub_bytes_per_second
        self._ahead_until = time.monotonic()
        # By shard, the last content of the turn before; without one, begin with the longest
        # unchecked.
        self._behind: dict[str, DueContent] = {}

    def turn(self, shard: str | None = None) -> ScrubResult:
        """Read the blobs of one shard that were not checked for the longest time.

        Args:
            shard: the shard; None: the one scrubbed the longest ago.

        Raises:
            Unavailable: the database cannot be reached.
        """
        good, corrupt, failed = list[str](), list[str](), 0
        for sha256, _since, _until in self._claimed(shard):
            if self._stop.is_set():
                break
            try:
                (corrupt if self._check(sha256) else good).append(sha256)
            except NotFound:
                continue  # removed, or lost: `reconcile` finds out
            except (OSError, StagingApiError) as error:
                # A sector that cannot be read affects only this content, and proves nothing.
                log.warning("%s could not be read again: %s", sha256, error)
                failed += 1
        with self._upkeep.database.connect() as conn:
            check_rows.note_scrubbed(conn, good)
        return ScrubResult(len(good), tuple(corrupt), failed)

    def _claimed(self, shard: str | None) -> list[DueContent]:
        """Return the contents of a turn: those behind the contents of the turn before."""
        with self._upkeep.database.connect() as conn:
            shard = shard or check_rows.claim_scrub(conn, SHARDS)
            if shard is None:
                return []
            pause, behind = self._upkeep.terms.scrub_pause_seconds, self._behind.pop(shard, None)
            found = check_rows.longest_unchecked(conn, shard, pause, _AT_ONCE, behind)
        if len(found) == _AT_ONCE:
            self._behind[shard] = found[-1]
        return found

    def _check(self, sha256: str) -> bool:
        """Read one content; quarantine a corrupt one, evict its artifacts, and return True."""
        with self._upkeep.blobs.open(sha256) as stream:
            if not self._differs(stream, sha256):
                return False
        # Read again in quarantine, where no writer replaces it: a single wrong read proves nothing.
        if not self._upkeep.blobs.quarantine(sha256, lambda aside: self._differs(aside, sha256)):
            return False
        for artifact in evict_holders(self._upkeep, sha256, "corrupt"):
            try:
                self._stage_again(artifact)
            except StagingApiError as error:
                log.warning("%s is not staged again: %s", artifact.name, error.detail)
        return True

    def _differs(self, stream: BinaryIO, sha256: str) -> bool:
        digest, size = hashlib.sha256(), 0
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            self._pace(len(chunk))
        self._pace(_LEAST_BYTES - size)
        metrics.STORE_SCRUBBED_BYTES.inc(size)
        return digest.hexdigest() != sha256

    def _pace(self, count: int) -> None:
        """Wait until `count` more bytes are within the rate."""
        if count <= 0 or not self._rate:
            return
        now = time.monotonic()
        self._ahead_until = max(self._ahead_until, now) + count / self._rate
        self._stop.wait(self._ahead_until - now)
