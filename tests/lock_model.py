"""Exhaustive search of a small model of the lock: every order of every event, breadth first.

Clients take, renew, use and release one scope of a database. Between any two events a client may
freeze or die, an answer may get lost, a lease may run out, and the database may fail over to a
standby that has not seen the newest changes. Time is not a number here: a lease runs out when the
search says so, at the client (trust) no later than at the database (lease).

The model has two switches for known faults, to show that the search finds what it should find.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

MAX_GRANTS = 3
MAX_FAILOVERS = 1


@dataclass(frozen=True)
class Row:
    """State of the database: holder of the scope, fence as (timeline, count), whether it expired.

    `written` is the fence of the newest guarded write; it is replicated and lost with the row.
    """

    holder: int | None = None
    fence: tuple[int, int] = (1, 0)
    over: bool = False
    written: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Client:
    """One client: `fence` of the grant it believes in; `trusts` while its own clock allows it."""

    fence: tuple[int, int] | None = None
    trusts: bool = False
    asked: bool = False


@dataclass(frozen=True)
class World:
    """State of the whole model; `standby` is the row as the standby knows it."""

    row: Row
    standby: Row
    clients: tuple[Client, ...]
    timeline: int = 1
    grants: int = 0
    acknowledged: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Rules:
    """Rules of the lock; our lock has True everywhere."""

    fence_has_timeline: bool = True
    renewal_checks_expiry: bool = True
    writes_are_guarded: bool = True
    sync_replication: bool = False


def search(clients: int, rules: Rules) -> tuple[int, str | None]:
    """Return the number of reachable worlds, and the first violation found in one of them."""
    start = World(Row(), Row(), tuple(Client() for _ in range(clients)))
    seen, waiting = {start}, deque([start])
    while waiting:
        world = waiting.popleft()
        for after, wrong in _events(world, rules):
            if wrong is not None:
                return len(seen), wrong
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return len(seen), None


def _events(world: World, rules: Rules) -> Iterator[tuple[World, str | None]]:
    for number, client in enumerate(world.clients):
        yield from _acquire(world, number, rules)
        if client.fence is not None:
            yield from _renew(world, number, rules)
            yield from _write(world, number, rules)
            yield from _release(world, number)
            # Trust ends by the client's clock; a death of the client looks the same to all others.
            yield _with(world, number, replace(client, trusts=False)), None
    if world.row.holder is not None and not _trusted(world):
        yield replace(world, row=replace(world.row, over=True)), None
    if world.standby != world.row:
        yield replace(world, standby=world.row), None
    if world.timeline <= MAX_FAILOVERS:
        yield replace(world, row=world.standby, timeline=world.timeline + 1), None


def _trusted(world: World) -> bool:
    """Return whether the row's holder trusts it: then its lease has not ended, by promise 11."""
    return any(
        c.trusts and world.row.holder == n and c.fence == world.row.fence
        for n, c in enumerate(world.clients)
    )


def _acquire(world: World, number: int, rules: Rules) -> Iterator[tuple[World, str | None]]:
    row = world.row
    if row.holder == number and not row.over and world.clients[number].asked:
        # The same id again, after a lost response.
        yield _granted(world, number, row.fence, answered=True), None
    if (row.holder is not None and not row.over) or world.grants >= MAX_GRANTS:
        return
    if rules.fence_has_timeline:
        fence = max((row.fence[0], row.fence[1] + 1), (world.timeline, 1))
    else:
        fence = (1, row.fence[1] + 1)
    wrong = None if fence > world.acknowledged else f"fence {fence} after {world.acknowledged}"
    taken = replace(world, row=Row(number, fence, written=row.written), grants=world.grants + 1)
    if rules.sync_replication:
        taken = replace(taken, standby=taken.row)
    wrong = wrong or _two_holders(taken, number, rules)
    yield _granted(taken, number, fence, answered=True), wrong
    yield _granted(taken, number, fence, answered=False), None


def _two_holders(world: World, number: int, rules: Rules) -> str | None:
    """Detect a grant beside a holder that trusts: allowed only if a failover lost its lease."""
    if world.timeline > 1 and not rules.sync_replication:
        return None
    others = [n for n, c in enumerate(world.clients) if n != number and c.trusts]
    return f"{number} was granted while {others} held" if others else None


def _granted(world: World, number: int, fence: tuple[int, int], *, answered: bool) -> World:
    if not answered:
        return _with(world, number, Client(asked=True))
    acknowledged = max(world.acknowledged, fence)
    return replace(_with(world, number, Client(fence, trusts=True)), acknowledged=acknowledged)


def _renew(world: World, number: int, rules: Rules) -> Iterator[tuple[World, str | None]]:
    client, row = world.clients[number], world.row
    current = row.holder == number and row.fence == client.fence
    if current and (not row.over or not rules.renewal_checks_expiry):
        wrong = "a lease that was over came back" if row.over else None
        renewed = replace(world, row=replace(row, over=False))
        if rules.sync_replication:
            renewed = replace(renewed, standby=renewed.row)
        yield _with(renewed, number, replace(client, trusts=True)), wrong


def _write(world: World, number: int, rules: Rules) -> Iterator[tuple[World, str | None]]:
    client, row = world.clients[number], world.row
    assert client.fence is not None
    current = row.holder == number and row.fence == client.fence and not row.over
    if current or not rules.writes_are_guarded:
        wrong = None
        if client.fence < row.written:
            wrong = f"a write under {client.fence} after one under {row.written}"
        written = max(row.written, client.fence)
        yield replace(world, row=replace(row, written=written)), wrong


def _release(world: World, number: int) -> Iterator[tuple[World, str | None]]:
    client, row = world.clients[number], world.row
    after = _with(world, number, Client())
    if row.holder == number and row.fence == client.fence:
        # Also without waiting for the standby: a lost release has the effect of an expiry.
        after = replace(after, row=replace(row, holder=None, over=False))
    yield after, None


def _with(world: World, number: int, client: Client) -> World:
    clients = (*world.clients[:number], client, *world.clients[number + 1 :])
    return replace(world, clients=clients)
