"""Run a program as a user other than root: ``python -m tests.ordinary DATA PROGRAM``.

PostgreSQL refuses root. The program ends with the process that started it, by any signal.
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
    # Called afterwards: the kernel clears this setting when a process changes its user.
    # PostgreSQL cleans up even after this signal; the other programs need no clean-up.
    last = signal.SIGQUIT if sys.argv[2].endswith("/postgres") else signal.SIGKILL
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, last)
    if os.getppid() != starter:
        sys.exit("the process that started this is gone")
    os.execv(sys.argv[2], sys.argv[2:])
