"""History of locks as clients observed it, and a check whether a correct lock allows it.

Times are of one monotonic clock, which all processes of a machine share. A client writes down when
its call began and when the response came, so that a hold is certain only from the response to the
grant until the release is requested: holds that overlap in this sense certainly overlap. A call
without a response may or may not have happened; only its beginning is recorded, and it proves no
violation.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise


@dataclass
class Reign:
    """One grant, from its response until the holder requested the release or stopped to trust it.

    Attributes:
        fence: the token, None if the lock has none.
        since: time of the response to the grant.
        until: the release was requested, or the lease ended for the holder; None: the holder died.
        renewals: for the grant and each renewal: the time of its request, and the latest possible
            end of the lease that it gave.
    """

    scope: str
    id: str
    fence: int | None
    since: float
    until: float | None = None
    renewals: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Write:
    """A committed guarded write; `place` is its position among the writes of the scope."""

    scope: str
    id: str
    fence: int | None
    place: int


def violations(reigns: Iterable[Reign], writes: Iterable[Write] = ()) -> list[str]:
    """Return everything in the history that no correct lock allows."""
    by_scope = sorted(reigns, key=lambda r: (r.scope, r.since))
    found: list[str] = []
    for _, group in groupby(by_scope, key=lambda r: r.scope):
        in_order = list(group)
        # A response that arrived after the end of its lease granted nothing, and proves no order.
        certain = [r for r in in_order if r.until is None or r.until > r.since]
        found += _overlaps(certain)
        found += _inversions(certain)
        found += _resurrections(in_order)
    for _, placed in groupby(sorted(writes, key=lambda w: (w.scope, w.place)), lambda w: w.scope):
        found += _stale_writes(list(placed))
    return found


def _overlaps(reigns: list[Reign]) -> Iterator[str]:
    latest: Reign | None = None
    for reign in reigns:
        if latest is not None and latest.until is not None and reign.since < latest.until:
            yield f"overlap: {latest.id} held {reign.scope} until after {reign.id} had it"
        if latest is None or (reign.until or reign.since) > (latest.until or latest.since):
            latest = reign


def _inversions(reigns: list[Reign]) -> Iterator[str]:
    for earlier, later in pairwise(reigns):
        if (later.fence or 0) <= (earlier.fence or 0):
            yield f"fence: {later.id} got {later.fence} after {earlier.id} had {earlier.fence}"


def _resurrections(reigns: list[Reign]) -> Iterator[str]:
    for reign in reigns:
        for (_, ends), (asked, _) in pairwise(reign.renewals):
            if asked > ends:
                yield f"resurrection: {reign.id} was renewed after its lease was over"


def _stale_writes(writes: list[Write]) -> Iterator[str]:
    for earlier, later in pairwise(writes):
        if (later.fence or 0) < (earlier.fence or 0):
            yield f"stale write: {later.id} ({later.fence}) after {earlier.id} ({earlier.fence})"
    seen: set[str] = set()
    for earlier, later in pairwise(writes):
        seen.add(earlier.id)
        if later.id != earlier.id and later.id in seen:
            yield f"stale write: {later.id} wrote again after {earlier.id} had written"
