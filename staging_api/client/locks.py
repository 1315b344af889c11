"""The calls about locks."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from staging_api.client.calls import PAGE_SIZE, Calls
from staging_api.client.model import Lock
from staging_api.vocabulary.locks import Listed


def locks(
    calls: Calls,
    /,
    state: Listed = "held",
    *,
    scope: str | None = None,
    page_size: int = PAGE_SIZE,
) -> AsyncIterator[Lock]:
    """Yield grants of locks, oldest first, fetching pages as needed.

    Args:
        state: ``held``: those held now; ``all``: the whole history.
        scope: only of this scope; with ``all``.
        page_size: 1 to 1000.
    """
    return calls.pages(Lock.of, "/locks", {"state": state, "scope": scope}, page_size)


async def break_lock(calls: Calls, /, lock_id: str, reason: str) -> Lock:
    """Take a lock from its holder by force; later writes of the holder are refused.

    Args:
        lock_id: ULID of the grant.
        reason: 3 to 500 characters for the audit.

    Raises:
        NotFound: there is no such lock.
        Conflict: it has ended already.
        Forbidden: the caller is not an operator.
    """
    path = f"/locks/{quote(lock_id, '')}"
    return await calls.answer(Lock.of, "DELETE", path, {"reason": reason})
