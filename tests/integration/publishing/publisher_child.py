"""A process that runs the publisher, and kills itself at a step that the test chose.

publisher_child.py DATABASE_URL FOLDER OPERATION STEP
"""

import os
import signal
import sys
from pathlib import Path

from staging_api.db.engine import open_database
from staging_api.vocabulary.publishing import Operation
from tests.publisher import shop


def main() -> None:
    """Publish, and die on time."""
    url, folder, operation, last = sys.argv[1:]

    def die(step: str) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    hooks = Path(folder) / "hooks"
    with shop(
        open_database(url, 4), url, Path(folder), hooks=hooks, reached=die, lease_seconds=1
    ) as made:
        wanted: Operation = (
            "publish-distro" if operation == "publish-distro" else "publish-ftpmaster"
        )
        made.run(wanted)


main()
