"""A process that stages one artifact, and kills itself at a step that the test chose.

    engine_child.py ARCHIVE_URL STORE KIND STEP

exits 0 if it came to the end before that step; prints how many bytes it has, again and again.
"""

import os
import signal
import sys
from pathlib import Path

from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.url import parse
from staging_api.staging import engine
from staging_api.store.folder_store import FolderStore
from tests.integration.engine_kinds import KINDS


def main() -> None:
    """Stage, and die on time."""
    address, folder, name, step = sys.argv[1:]
    steps = 0

    def checkpoint(_name: str) -> None:
        nonlocal steps
        steps += 1
        if steps == int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    def progress(done: int, _total: int | None) -> None:
        os.write(sys.stdout.fileno(), b"%d\n" % done)

    url = parse(address)
    source = open_archive(url, AllowList.parse(address))
    store = FolderStore(Path(folder))
    engine.fetch(
        KINDS[name],
        source,
        url.build,
        store,
        engine.FetchHooks(progress=progress, checkpoint=checkpoint),
    )


main()
