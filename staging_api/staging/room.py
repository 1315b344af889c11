"""Space in the store, asked for before bytes are written: for an artifact, or for an upload.

What if the process dies? What was promised to an artifact counts as long as the lease under which
it was; to an upload, for `UPLOAD_SECONDS` more.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Self

from staging_api.errors import StagingApiError
from staging_api.locks.model import new_id
from staging_api.staging.upkeep import UPLOAD_SECONDS, Upkeep

log = logging.getLogger(__name__)

#: Where nobody knows how much will come, so much is kept at a time.
_STEP_BYTES = 64 << 20


class Room:
    """Space for one artifact: asked for in steps, before its bytes are written."""

    def __init__(self, reserve: Callable[[int], None], reserve_more: Callable[[int], bool]) -> None:
        """Ask for space.

        Args:
            reserve: is told how many bytes are needed in all, and raises if there is no room.
            reserve_more: is told how many would save the next questions; evicts nothing for them.
        """
        self._reserve = reserve
        self._reserve_more = reserve_more
        self._needed = 0
        self._kept = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """So many bytes more are needed now; safe from several threads.

        Raises:
            NoSpace: there is no room for them.
        """
        with self._lock:
            self._needed += count
            if self._needed <= self._kept:
                return
            step = self._needed + _STEP_BYTES
            if self._kept and self._reserve_more(step):
                self._kept = step
                return
            self._reserve(self._needed)
            self._kept = self._needed

    def prepay(self, count: int) -> None:
        """Ask now for so many bytes, of which the next ones are then written.

        Raises:
            NoSpace: there is no room for them.
        """
        with self._lock:
            self._reserve(count)
            self._kept = count

    def renew(self) -> None:
        """Ask once more for what is kept.

        Raises:
            NoSpace: it was given to others meanwhile.
        """
        with self._lock:
            self._reserve(max(self._needed, self._kept))


class UploadRoom:
    """Space for all that one request brings; given back when the block ends."""

    def __init__(self, upkeep: Upkeep, expected_bytes: int) -> None:
        """Ask for nothing yet.

        Args:
            upkeep: of the store.
            expected_bytes: the length of the body.
        """
        self._upkeep = upkeep
        self._expected_bytes = expected_bytes
        self._id = new_id()
        self._room = Room(
            lambda count: upkeep.reserve_upload(self._id, count),
            lambda count: upkeep.reserve_more_for_upload(self._id, count),
        )
        self._renew_at = time.monotonic() + UPLOAD_SECONDS / 3

    def __enter__(self) -> Self:
        """Ask for all of it at once, before a byte is written.

        Raises:
            NoSpace: there is no room for it; for good if the whole quota is less.
        """
        self._room.prepay(self._expected_bytes)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._upkeep.release_upload(self._id)
        except StagingApiError as error:
            log.warning("the space of an upload is given back by its time: %s", error.detail)

    def __call__(self, count: int) -> None:
        """So many bytes more are written now; safe from several threads.

        Raises:
            NoSpace: there is no room for them.
        """
        self._room(count)
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + UPLOAD_SECONDS / 3
            self._room.renew()
