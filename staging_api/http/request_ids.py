"""Ids of requests: unique among all processes, and cheap, as every request gets one.

One is a ULID that the process made at its start, and the number of the request.
"""

import itertools
import os

from staging_api.locks.model import new_id


class _OfThisProcess:
    """What ids of this process begin with, and the next number."""

    def __init__(self) -> None:
        self.renew()
        # Without it all forks of one parent would give out the same ids.
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        """Begin anew: a process that was forked is another one."""
        self.prefix = new_id()
        self.numbers = itertools.count(1)


_this_process = _OfThisProcess()


def new_request_id() -> str:
    """Return an id of at most 43 letters, digits and hyphens."""
    # One bytecode takes the next number: no two threads get the same.
    return f"{_this_process.prefix}-{next(_this_process.numbers)}"
