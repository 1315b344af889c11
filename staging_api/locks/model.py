"""Data types of the lock: kind, request, lease, refusal, place in the queue."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ulid import ULID

#: The longest cool-down of a scope.
MAX_DELAY_SECONDS = 60.0


@dataclass(frozen=True)
class LockKind:
    """A family of locks; kinds are independent of each other.

    Attributes:
        name: the kind's name in the API, tables and logs.
        delay_seconds: cool-down of a scope after its holder expired or was broken, for work whose
            effects the fence cannot guard; 0 where every effect is a guarded write, 60 at most.
    """

    name: str
    delay_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a delay that could outlive the row that records it (`lock_forget_scopes`)."""
        if not 0 <= self.delay_seconds <= MAX_DELAY_SECONDS:
            raise ValueError(f"the delay of {self.name} must be 0 to {MAX_DELAY_SECONDS:g} s")


#: Staging a build's artifacts; scope: the canonical archive_url.
ARCHIVE = LockKind("archive")
#: Staging images out of image.zip; scope: the canonical archive_url.
IMAGES = LockKind("images")
#: Staging debug symbols; scope: the canonical archive_url.
SYMBOLS = LockKind("symbols")
#: process-accepted, publish-distro and publish-ftpmaster; scope: `GLOBAL`.
PUBLISHER = LockKind("publisher")
#: Changing or committing documents; scope: `GLOBAL`.
CONFIGDOCS_UPDATE = LockKind("configdocs_update")
#: Answering the first request with an Idempotency-Key; scope: caller and key.
IDEMPOTENCY = LockKind("idempotency")

#: The scope of kinds that protect one thing for the whole service.
GLOBAL = "global"


@dataclass(frozen=True)
class LockRequest:
    """One attempt to acquire one lock.

    Attributes:
        id: ULID of the future grant. The request may be sent again after a lost answer: it is
            granted at most once.
        caller: the caller on whose behalf the lock is requested.
        holder: the process that will hold the lock.
        reference_id: the caller's own marker, if it sent one.
        lease_seconds: life of the lease unless renewed.
    """

    id: str
    kind: LockKind
    scope: str
    caller: str
    holder: str
    reference_id: str | None
    lease_seconds: float


@dataclass(frozen=True)
class Lease:
    """Proof of a grant: shown to the database by each guarded write.

    Attributes:
        id: ULID of the grant, key of its row in ``api_locks``.
        fence: rises from grant to grant of the scope, also across a failover.
        acquired_at: time of the grant by the database's clock.
        expires_at: end of the lease by the database's clock, as of the acquisition.
        remaining_seconds: remaining time of the lease when the database answered.
    """

    id: str
    kind: LockKind
    scope: str
    fence: int
    acquired_at: datetime
    expires_at: datetime
    remaining_seconds: float


class Refusal(NamedTuple):
    """The present holder of a lock; `id` is None while the scope cools down after an expiry."""

    id: str | None
    kind: LockKind
    scope: str
    fence: int
    caller: str | None
    holder: str | None
    reference_id: str | None
    acquired_at: datetime | None
    expires_at: datetime
    remaining_seconds: float


@dataclass(frozen=True)
class WaitingPlace:
    """A place in the queue of one lock.

    Attributes:
        id: id of the waiting request.
        held_seconds: remaining time of the lease on the scope; 0 if there is none.
    """

    id: str
    kind: str
    scope: str
    held_seconds: float


def new_id() -> str:
    """Return a new ULID, which sorts by time; made here, so that a request can be sent again."""
    return str(ULID())


@dataclass(frozen=True)
class Grant:
    """One row of ``api_locks``; `outcome` is None while the lock is held.

    Attributes:
        renewals: how often the lease was extended.
    """

    id: str
    kind: str
    scope: str
    caller: str
    holder: str
    reference_id: str | None
    fence: int
    acquired_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    outcome: str | None
    ended_by: str | None
    reason: str | None
    renewals: int


@dataclass(frozen=True)
class LockWaiter:
    """A request that waits for a lock.

    Attributes:
        id: id of the grant that the request will get.
        waits_since: None if the process of the request runs the version before, which does not
            record it.
        seen_at: time of its last call; a waiter that was not seen for 6 s is dead.
        leaves_at: when it stops waiting.
    """

    id: str
    caller: str
    holder: str
    reference_id: str | None
    waits_since: datetime | None
    seen_at: datetime
    leaves_at: datetime


@dataclass(frozen=True)
class LockFilter:
    """A filter for lists of grants.

    Attributes:
        scope: only grants of this scope.
        kind: only grants of this kind.
        except_kind: no grants of this kind.
        outcome: only grants with this outcome.
    """

    scope: str | None = None
    kind: str | None = None
    except_kind: str | None = None
    outcome: str | None = None


@dataclass(frozen=True)
class ListedGrant:
    """A grant with the number of requests that wait for its lock; 0 if it has ended."""

    grant: Grant
    waiters: int
