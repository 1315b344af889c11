"""Locks: holders, ages and waiters; the history; and breaking a lock."""

from staging_api.errors import Invalid
from staging_api.http.lock_bodies import BreakRequest
from staging_api.http.openapi import validated
from staging_api.identity.model import Role
from staging_api.locks.model import IDEMPOTENCY, ListedGrant, LockFilter, LockWaiter
from staging_api.locks.service import LockService
from staging_api.paging import Page
from staging_api.staging.lists import StagingFilter
from staging_api.staging.model import LOCK_BY_NAME, Staging
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import counted, last_segment
from staging_api.ui.screen import ActionDone, Form, ScreenAction, ScreenContent, View
from staging_api.vocabulary.locks import OUTCOMES

_PAGE = 50
_WAITERS_SHOWN = 50
_HELD_SQL = """SELECT kind, scope, caller, holder, acquired_at, expires_at
FROM api_locks WHERE outcome IS NULL ORDER BY acquired_at;"""
_HISTORY_SQL = """SELECT kind, scope, caller, holder, acquired_at, ended_at, outcome, reason
FROM api_locks{where} ORDER BY acquired_at DESC LIMIT {limit};"""


def show_all(deps: UiDependencies, view: View) -> ScreenContent:
    """List the locks that are held; with `state=all` every grant, newest first.

    Raises:
        Invalid: the outcome does not exist.
    """
    history = view.query.get("state") == "all"
    scope, keys = view.query.get("scope") or None, view.query.get("keys") == "yes"
    outcome = _outcome(view) if history else None
    # Locks of Idempotency-Keys are shown only on request, or if a scope is given.
    hidden = None if keys or scope else IDEMPOTENCY.name
    only = LockFilter(scope=scope, except_kind=hidden, outcome=outcome)
    page = _page(deps.api.lock_service, history, view.query.get("after") or None, only)
    count = f"{len(page.items)}{'+' if page.next else ''}"
    return ScreenContent(
        "locks.html",
        "History of locks" if history else f"{counted(count, 'locks')} held",
        {
            "page": page,
            "history": history,
            "scope": scope or "",
            "outcome": outcome or "",
            "outcomes": OUTCOMES,
            "keys": keys,
            "count": count,
            "lease_seconds": deps.api.locks.lease_seconds,
        },
        copies=_copies(scope, _history_sql(outcome) if history else None),
    )


def show_one(deps: UiDependencies, view: View) -> ScreenContent:
    """Show a grant: while it is held, with its waiters and the form to break it."""
    found = deps.api.lock_service.find(view.params["lock_id"])
    grant = found.grant
    held = grant.outcome is None
    waiters: Page[LockWaiter] | None = None
    if held:
        after = view.after("waiters")
        waiters = deps.api.lock_service.waiters(grant.id, limit=_WAITERS_SHOWN, after=after)
    name = last_segment(grant.scope)
    return ScreenContent(
        "lock.html",
        f"{grant.kind} lock {'held' if held else grant.outcome}: {name}",
        {
            "found": found,
            "lock": grant,
            "name": name,
            "waiters": waiters,
            "staging": _staging_under(deps, found),
            "fence": grant.fence if Role.OPERATOR in view.roles else None,
        },
        mood="busy" if held else "ok",
        live=held,
        copies=Copies(
            api_path(f"/locks/{grant.id}"),
            cli=f"staging-api locks break {grant.id} --reason '...'" if held else "",
            python=f'client.break_lock("{grant.id}", "...")' if held else "",
            sql="SELECT * FROM api_locks WHERE id = :id;",
            values={"id": grant.id},
        ),
    )


def _copies(scope: str | None, history: str | None) -> Copies:
    """Return the same list for programs; `history` is the SQL of all grants, None for held ones."""
    state = "all" if history else "held"
    return Copies(
        api_path("/locks", state="all" if history else None, scope=scope),
        cli="staging-api locks --all" if history else "staging-api locks",
        python=f"for lock in client.locks({state!r}): print(lock.kind, lock.scope, lock.holder)",
        sql=history or _HELD_SQL,
    )


def _page(
    service: LockService, history: bool, after: str | None, only: LockFilter
) -> Page[ListedGrant]:
    if history:
        return service.newest(limit=_PAGE, before=after, only=only)
    return service.page("held", limit=_PAGE, after=after, only=only)


def _outcome(view: View) -> str | None:
    """Return the requested outcome of grants; None: any, or not yet ended.

    Raises:
        Invalid: the outcome does not exist.
    """
    outcome = view.query.get("outcome") or None
    if outcome is not None and outcome not in OUTCOMES:
        raise Invalid.field("outcome", f"must be one of {', '.join(OUTCOMES)}")
    return outcome


def _history_sql(outcome: str | None) -> str:
    # The outcome is a word of the vocabulary, so it needs no quoting.
    where = f" WHERE outcome = '{outcome}'" if outcome else ""
    return _HISTORY_SQL.format(where=where, limit=_PAGE)


def _staging_under(deps: UiDependencies, found: ListedGrant) -> Staging | None:
    """Return the newest staging of the archive that a lock protects."""
    if found.grant.kind not in LOCK_BY_NAME:
        return None
    only = StagingFilter(equal={"archive_url": found.grant.scope})
    newest = deps.api.stagings.page(limit=1, only=only).items
    return newest[0] if newest else None


def _break(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    lock_id = view.params["lock_id"]
    body = validated(BreakRequest, {"reason": form.get("reason", "")})
    wanted = last_segment(deps.api.lock_service.find(lock_id).grant.scope)
    # Typed by hand, because breaking cannot be undone: the holder's work is refused from then on.
    if form.get("typed", "") != wanted:
        raise Invalid.field("typed", f"must be {wanted}: the end of what this lock protects")
    deps.api.lock_service.break_lock(lock_id, view.origin.caller, body.reason)
    return ActionDone(f"/ui/locks/{lock_id}")


BREAK = ScreenAction(
    "DELETE /locks/{lock_id}",
    _break,
    "The lock is broken: its holder's next write is refused, and the next in the queue gets it.",
)
