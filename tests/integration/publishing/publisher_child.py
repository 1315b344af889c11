"""Process that runs the publisher, and kills itself at a step chosen by the test.

publisher_child.py DATABASE_URL FOLDER OPERATION STEP [HOOKS]
"""

import os
import signal
import sys
from pathlib import Path

from staging_api.db.engine import open_database
from staging_api.vocabulary.publishing import Operation
from tests.publisher import shop


def main() -> None:
    """Run the publisher until it reaches the step."""
    url, folder, operation, last, *hooks = sys.argv[1:]

    def die(step: str) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with shop(
        open_database(url, 4),
        url,
        Path(folder),
        hooks=Path(hooks[0]) if hooks else None,
        reached=die,
        lease_seconds=1,
    ) as made:
        wanted: Operation = (
            "publish-distro" if operation == "publish-distro" else "publish-ftpmaster"
        )
        made.run(wanted)


main()
