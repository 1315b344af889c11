"""Responses kept under an Idempotency-Key, written only by the holder of the key's lock."""

from dataclasses import dataclass

from staging_api.db import idempotency_rows
from staging_api.db.idempotency_rows import KeptResponse
from staging_api.locks import repository
from staging_api.locks.hold import Locks, guarded
from staging_api.locks.keeper import Hold
from staging_api.locks.model import IDEMPOTENCY

__all__ = ["KeptResponse", "KeptResponses"]


@dataclass(frozen=True)
class KeptResponses:
    """Finds and keeps the response to a caller's key."""

    locks: Locks

    def find(self, caller: str, key: str) -> KeptResponse | None:
        """Return the response that this caller got under this key; None if none is kept."""
        with self.locks.database.connect() as conn:
            return idempotency_rows.find(conn, caller, key)

    def seconds_left(self, scope: str) -> float | None:
        """Return the seconds left of the lease on a key's scope; None: the key is not locked."""
        with self.locks.database.connect() as conn:
            return repository.seconds_left(conn, IDEMPOTENCY, scope)

    def keep(self, lock: Hold, caller: str, key: str, response: KeptResponse) -> None:
        """Keep a response.

        Raises:
            LockLost: another request holds the key's lock by now; nothing was kept.
        """
        with guarded(self.locks.database, lock) as conn:
            idempotency_rows.keep(conn, caller, key, response)
