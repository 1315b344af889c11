"""Reservations that grow with the written bytes, in steps, so that few statements are needed.

What if the process dies? See `quota`.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Self

from staging_api.errors import StagingApiError
from staging_api.locks.model import new_id
from staging_api.staging.quota import UPLOAD_SECONDS, Quota
from staging_api.staging.upkeep import Upkeep

log = logging.getLogger(__name__)

#: Size of a step, so that not every chunk needs a statement.
_STEP_BYTES = 64 << 20


class QuotaReservation:
    """The space of one artifact, reserved in steps before its bytes are written."""

    def __init__(self, reserve: Callable[[int], None], reserve_more: Callable[[int], bool]) -> None:
        """Reserve nothing yet.

        Args:
            reserve: called with the bytes needed in all; raises if there is no space.
            reserve_more: called with a larger number, which saves further calls; evicts nothing.
        """
        self._reserve = reserve
        self._reserve_more = reserve_more
        self._needed = 0
        self._kept = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Reserve `count` more bytes; safe from several threads.

        Raises:
            NoSpace: there is no space for them.
        """
        with self._lock:
            self._needed += count
            if self._needed <= self._kept:
                return
            # No step with the first reservation: for a small artifact it might evict others
            # needlessly.
            step = self._needed + _STEP_BYTES
            if self._kept and self._reserve_more(step):
                self._kept = step
                return
            self._reserve(self._needed)
            self._kept = self._needed

    def prepay(self, count: int) -> None:
        """Reserve `count` bytes now, for the calls that follow.

        Raises:
            NoSpace: there is no space for them.
        """
        with self._lock:
            self._reserve(count)
            self._kept = count

    def renew(self) -> None:
        """Reserve the same bytes again.

        Raises:
            NoSpace: the reservation expired and the space is reserved by others.
        """
        with self._lock:
            self._reserve(max(self._needed, self._kept))


class UploadReservation:
    """The space for the body of one request, released when the block ends."""

    def __init__(self, upkeep: Upkeep, expected_bytes: int) -> None:
        """Reserve nothing yet.

        Args:
            upkeep: upkeep of the store.
            expected_bytes: length of the body.
        """
        self._quota = quota = Quota(upkeep)
        self._expected_bytes = expected_bytes
        self._id = new_id()
        self._reservation = QuotaReservation(
            lambda count: quota.reserve_upload(self._id, count),
            lambda count: quota.reserve_more_for_upload(self._id, count),
        )
        self._renew_at = time.monotonic() + UPLOAD_SECONDS / 3

    def __enter__(self) -> Self:
        """Reserve all of it at once, before a byte is written.

        Raises:
            NoSpace: there is no space for it; not retryable if the whole quota is less.
        """
        self._reservation.prepay(self._expected_bytes)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._quota.release_upload(self._id)
        # Not raised: it would replace the error of the block, and the reservation expires anyway.
        except StagingApiError as error:
            log.warning(
                "the space of an upload is released when its reservation expires: %s", error.detail
            )

    def __call__(self, count: int) -> None:
        """Count `count` bytes that are written now; safe from several threads.

        Raises:
            NoSpace: there is no space for them.
        """
        self._reservation(count)
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + UPLOAD_SECONDS / 3
            self._reservation.renew()
