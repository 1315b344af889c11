"""Request ids: unique among all processes, and cheap, as every request gets one.

An id is a ULID that the process made at its start, and the number of the request.
"""

import itertools
import os

from staging_api.locks.model import new_id


class _OfThisProcess:
    """Prefix of this process's ids, and the next number."""

    def __init__(self) -> None:
        self.renew()
        # Without it all forks of one parent would produce the same ids.
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        """Start a new series: a forked process needs its own."""
        self.prefix = new_id()
        self.numbers = itertools.count(1)


_this_process = _OfThisProcess()


def new_request_id() -> str:
    """Return an id of at most 43 letters, digits and hyphens."""
    # One bytecode takes the next number: no two threads get the same.
    return f"{_this_process.prefix}-{next(_this_process.numbers)}"
