"""Calls about locks."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
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
    kind: str | None = None,
    except_kind: str | None = None,
    page_size: int = PAGE_SIZE,
) -> AsyncIterator[Lock]:
    """Yield grants of locks, oldest first, fetching pages as needed.

    Args:
        state: ``held``: locks that are held now; ``all``: the whole history.
        scope: only locks of this scope; a URL in any spelling.
        kind: only locks of this kind.
        except_kind: no locks of this kind, such as ``idempotency``.
        page_size: grants for each request, 1 to 1000.
    """
    query = {"state": state, "scope": scope, "kind": kind, "except_kind": except_kind}
    return calls.pages(Lock.of, "/locks", query, page_size)


def waiters(
    calls: Calls, /, lock_id: str, *, page_size: int = PAGE_SIZE
) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the requests that wait for a held lock, the first in the queue first.

    Raises:
        NotFound: there is no such lock, or its grant has ended.
    """
    return calls.pages(dict, f"/locks/{quote(lock_id, '')}/waiters", {}, page_size)


async def break_lock(calls: Calls, /, lock_id: str, reason: str) -> Lock:
    """Take a lock from its holder by force; later writes of the holder are refused.

    Args:
        lock_id: ULID of the grant.
        reason: 3 to 500 characters for the audit.

    Raises:
        NotFound: there is no such lock.
        Conflict: the grant has ended already.
        Forbidden: the caller is not an operator.
    """
    path = f"/locks/{quote(lock_id, '')}"
    return await calls.answer(Lock.of, "DELETE", path, {"reason": reason})
