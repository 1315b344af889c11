"""Words for locks: the outcome of a grant, and the filter of a list of grants."""

from typing import Literal, get_args

#: How a grant ended: by its holder, by the end of its lease, by force, or by the next grant.
Outcome = Literal["released", "expired", "broken", "superseded"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

#: Which grants a list has: those that are held now, or the whole history.
Listed = Literal["held", "all"]
