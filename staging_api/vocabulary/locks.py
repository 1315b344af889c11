"""Words for locks: the outcome of a grant, and the filter of a list of grants."""

from typing import Literal, get_args

#: Outcomes of a grant: ended by its holder, by the end of its lease, by force, by the next grant.
Outcome = Literal["released", "expired", "broken", "superseded"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

#: Filters of a list of grants: those that are held now, or the whole history.
Listed = Literal["held", "all"]
