"""Work of a worker between publisher runs: renew Releases, and abandon dead runs.

Every few seconds the worker looks for runs whose process died, and marks them as abandoned; and for
Releases whose validity is half over. Renewal does not change which packages a suite shows: the new
Releases list the same index files. A worker renews only Releases signed with its own key, and logs
once about each archive with others. It logs once a day that its key is about to expire, or has
expired: then it renews nothing, and clients refuse all archives that the key signed.

What if the process dies? Before the new Releases go live: nothing has changed, and another worker,
or the next poll, renews them. Going live is one transaction under the lock, as in every run.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from staging_api.errors import LockHeld, StagingApiError
from staging_api.locks.hold import RequestOrigin
from staging_api.publishing.rows import apt_archives
from staging_api.publishing.service import Publisher
from staging_api.publishing.signing_keys import expiry_warning

log = logging.getLogger(__name__)

#: Short enough for a Release with a validity of one minute.
_POLL_SECONDS = 10.0
#: Pause after a failure, or for another key: others can renew in the second half of the validity.
_PAUSE_SECONDS = 60.0
_DAY_SECONDS = 86_400.0


@dataclass
class Renewal:
    """Renews Releases while a worker runs."""

    publisher: Publisher
    _paused_until: dict[str, float] = field(default_factory=dict)
    _foreign: set[str] = field(default_factory=set)
    _key_warning: tuple[str, float] = ("", 0.0)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the renewal thread during the block."""
        thread = threading.Thread(target=self._run, name="renewal", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            # A publisher run that is cut off here loses its lock when that expires, and is run
            # again.
            thread.join(_POLL_SECONDS)

    def once(self) -> list[str]:
        """Renew the Releases that are due; return the names of their archives.

        Before that, abandon runs whose process died, or lost the lock.

        Raises:
            Unavailable: the database cannot be reached.
        """
        for run_id in self.publisher.runs.abandon_dead():
            log.warning("publication %s was abandoned: its process ended, or lost the lock", run_id)
        with self.publisher.database.connect() as conn:
            expiring = apt_archives.expiring_apt_archives(conn)
        signer, now = self.publisher.builder.releaser.signer, time.monotonic()
        self._warn_of_key(now)
        # A worker without a key renews nothing, not even a Release whose signer is unknown.
        own = set() if signer is None else {signer}
        self._warn_of_foreign({name for name, signers in expiring.items() if signers - own})
        return [
            name
            for name, signers in expiring.items()
            if own & signers and self._paused_until.get(name, now) <= now and self._renew(name)
        ]

    def _warn_of_foreign(self, names: set[str]) -> None:
        """Log once for each archive that its Releases have to be renewed by another process."""
        for name in sorted(names - self._foreign):
            log.warning(
                "Releases of %s will expire, and this worker does not renew them: they are"
                " signed by a key that it does not have. Give it the STAGING_SIGNING_HOME and"
                " STAGING_SIGNING_KEY of the API, or publish",
                name,
            )
        self._foreign = names

    def _warn_of_key(self, now: float) -> None:
        """Log once a day, and at each change, that the key expires soon or has expired."""
        warning = expiry_warning(self.publisher.builder.releaser.key, datetime.now(UTC)) or ""
        before, warned_at = self._key_warning
        if warning != before or now - warned_at >= _DAY_SECONDS:
            if warning:
                log.warning("%s: extend or replace it, and give clients the public key", warning)
            self._key_warning = warning, now

    def _renew(self, name: str) -> bool:
        try:
            renewed = self.publisher.renew(name, RequestOrigin(caller="worker"))
        except LockHeld:
            return False  # the running operation may renew them; if not, the next poll does
        except StagingApiError as error:
            log.warning("the Releases of %s were not renewed: %s", name, error.detail)
            renewed = None
        if renewed is None:
            self._paused_until[name] = time.monotonic() + _PAUSE_SECONDS
        return renewed is not None

    def _run(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            try:
                self.once()
            except StagingApiError as error:
                log.warning("no Releases are renewed: %s", error.detail)
            except Exception:
                log.exception("no Releases are renewed")
