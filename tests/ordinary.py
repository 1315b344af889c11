"""Run a program as no root, which PostgreSQL refuses: ``python -m tests.ordinary DATA PROGRAM``.

It ends with the process that started it, by whatever signal that one ends.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from staging_api.embedded_postgres.unprivileged import become_ordinary_user

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    starter = os.getppid()
    become_ordinary_user(Path(sys.argv[1]), [Path(sys.argv[2])])
    # Afterwards: the kernel forgets it when a process becomes another user.
    # PostgreSQL cleans up behind itself even then; others need not be asked.
    last = signal.SIGQUIT if sys.argv[2].endswith("/postgres") else signal.SIGKILL
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, last)
    if os.getppid() != starter:
        sys.exit("the process that started this is gone")
    os.execv(sys.argv[2], sys.argv[2:])
