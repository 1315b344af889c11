"""Run a program as no root, which PostgreSQL refuses: ``python -m tests.ordinary DATA PROGRAM``.

It ends with whoever started it, by whatever signal that one ends.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from staging_api.db.unprivileged import become_ordinary

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    starter = os.getppid()
    become_ordinary(Path(sys.argv[1]), [Path(sys.argv[2])])
    # Afterwards: the kernel forgets it when a process becomes another user.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
    if os.getppid() != starter:
        sys.exit("whoever started this is gone")
    os.execv(sys.argv[2], sys.argv[2:])
