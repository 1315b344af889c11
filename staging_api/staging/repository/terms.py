"""Conditions and values that several statements share."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Function, func

from staging_api.db.tables import staged_artifacts
from staging_api.locks.model import Lease
from staging_api.vocabulary.staging import TO_DO_STATES

#: The database's clock, at the moment of the statement.
now = func.clock_timestamp


def ulid() -> Function[Any]:
    """Return a new ULID by the database's clock: lists, newest first, are ordered by it."""
    return func.ulid_of(now())


#: Rows of artifacts that are staged or will be; the others are history.
is_live = staged_artifacts.c.state != "evicted"
#: Sorts behind every character: ``prefix + LAST`` ends the range of texts that begin with `prefix`.
LAST = chr(0x10FFFF)
#: Rows with work left to do.
is_to_do = staged_artifacts.c.state.in_(TO_DO_STATES)


def proof(lease: Lease) -> Mapping[str, Any]:
    """Return the columns that record under which grant a row was written."""
    return {"lock_id": lease.id, "fence": lease.fence}
