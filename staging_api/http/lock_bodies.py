"""Bodies and queries of requests about locks, their holders and waiters."""

from datetime import datetime
from typing import Self

from pydantic import Field

from staging_api.http.bodies import Body, NounBody, PageBody, PageQuery, Text, Ulid
from staging_api.locks.model import ListedGrant
from staging_api.vocabulary.locks import Listed, Outcome


class LockBody(NounBody):
    """One grant of a lock: held while `outcome` is null."""

    id: Ulid
    kind: str
    scope: str
    caller: str
    holder: str
    reference_id: str | None
    acquired_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    ended_by: str | None
    reason: str | None
    renewals: int = Field(description="how often its lease was extended")
    waiters: int = Field(description="number of requests that wait for it; 0 once it has ended")
    fence: int | None = Field(description="for operators only; else null")

    @classmethod
    def shown(cls, listed: ListedGrant, *, with_fence: bool) -> Self:
        """Build the body of a grant; only some callers see the fence, as it serves as a proof."""
        grant = listed.grant
        fence = grant.fence if with_fence else None
        return cls.filled(grant, fence=fence, waiters=listed.waiters)


class LockList(PageBody[LockBody]):
    """A page of grants, oldest first."""


class WaiterBody(NounBody):
    """A request that waits for a lock."""

    id: Ulid = Field(description="id of the grant that the request will get")
    caller: str
    holder: str = Field(description="the process in which the request waits")
    reference_id: str | None
    waits_since: datetime | None
    seen_at: datetime = Field(description="when it was last seen waiting")
    leaves_at: datetime = Field(description="when it stops waiting")


class WaiterList(PageBody[WaiterBody]):
    """A page of waiters, the first in the queue first."""


class BreakRequest(Body):
    """Reason for breaking a lock, for the audit."""

    reason: Text = Field(min_length=3, max_length=500)


class LockQuery(PageQuery):
    """Filters for locks."""

    after: Ulid | None = Field(
        None,
        description="only grants after this one: the `next` of the previous page, or an id",
    )
    state: Listed = "held"
    scope: Text | None = Field(None, description="only of this scope; a URL in any spelling")
    kind: Text | None = Field(None, description="only of this kind")
    except_kind: Text | None = Field(
        None, description="exclude this kind: `idempotency` excludes the locks of Idempotency-Keys"
    )
