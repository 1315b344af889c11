"""The step of a worker that undoes commits which were not confirmed in time.

What if the worker dies? The commit is still overdue, and the next worker undoes it.
"""

import logging

from staging_api.documents.service import DocumentService
from staging_api.errors import LockHeld, LockLost
from staging_api.locks.hold import RequestOrigin

log = logging.getLogger(__name__)


def undo_overdue(documents: DocumentService) -> None:
    """Undo overdue commits; while another request changes documents, leave them for later.

    Raises:
        Unavailable: the database cannot be reached.
    """
    try:
        while documents.undo_overdue(RequestOrigin(caller="worker")) is not None:
            pass
    except (LockHeld, LockLost) as error:
        log.info("an overdue commit is undone later: %s", error.detail)
