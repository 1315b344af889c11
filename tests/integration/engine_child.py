"""Process that stages an artifact, each time in a child that kills itself at a chosen step.

    engine_child.py ARCHIVE_URL KIND

reads lines, each with the folder of a store and the number of a step, and answers each with the
child's wait status (0 if the child finished before the step) and the number of bytes it had.
"""

import os
import signal
import sys
from pathlib import Path

from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.url import parse
from staging_api.staging import download, engine
from staging_api.store import parts
from staging_api.store.folder_store import FolderStore
from tests.integration.engine_kinds import KINDS, PART_BYTES


def main() -> None:
    """Read and answer the lines."""
    address, name = sys.argv[1:]
    parts.PART_BYTES = download.PART_BYTES = PART_BYTES  # type: ignore[attr-defined]
    for line in sys.stdin:
        folder, step = line.rsplit(maxsplit=1)
        read_end, write_end = os.pipe()
        if (pid := os.fork()) == 0:
            stage(address, Path(folder), name, int(step), write_end)
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as progress:
            received = progress.read().split()
        _, status = os.waitpid(pid, 0)
        print(status, received[-1] if received else 0, flush=True)


def stage(address: str, folder: Path, name: str, last: int, told: int) -> None:
    """Stage the artifact, report its bytes as they arrive, and kill this process at a step."""
    done = 0

    def checkpoint(_name: str) -> None:
        nonlocal done
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def progress(received: int, _total: int | None) -> None:
        os.write(told, b"%d\n" % received)

    url = parse(address)
    hooks = engine.FetchHooks(progress=progress, checkpoint=checkpoint)
    source = open_archive(url, AllowList.parse(address))
    engine.fetch(KINDS[name], source, url.build, FolderStore(folder), hooks)


if __name__ == "__main__":
    main()
