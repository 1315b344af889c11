"""Run a program of PostgreSQL, which refuses root: ``python -m tests.ordinary DATA PROGRAM``."""

import os
import sys
from pathlib import Path

from staging_api.db.unprivileged import become_ordinary

if __name__ == "__main__":
    become_ordinary(Path(sys.argv[1]), [Path(sys.argv[2])])
    os.execv(sys.argv[2], sys.argv[2:])
