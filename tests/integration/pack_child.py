"""Process that stages builds, each in a child that kills itself at a step chosen by the test.

    pack_child.py DATABASE_URL FOLDER

reads lines, each with a build and the number of a step, and answers each with the signal that
ended the child; 0 if the child finished before the step. A step is the moment before a write of the
pack, a sync, a rename, or a statement of a transaction; the moment after one is the next step.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from staging_api.db.engine import open_database
from staging_api.staging import attempt
from staging_api.staging.repository import artifact_rows, file_rows, pack_rows
from staging_api.store import folder_store, pack_writer
from tests.stagings import bench

STEPS: list[tuple[Any, str]] = [
    (pack_writer, "write_all"),
    (folder_store, "sync"),
    (folder_store, "move"),
    (file_rows, "forget_some_files"),
    (file_rows, "add_files"),
    (file_rows, "add_pack"),
    (file_rows, "insert_pack"),
    (pack_rows, "add_packed_files"),
    (artifact_rows, "mark_staged"),
]


def main() -> None:
    """Read and answer the lines."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    # Small chunks, so that there are several of each kind of step.
    pack_writer._WRITE_BYTES, attempt._PACKED_AT_ONCE = 120, 8
    for line in sys.stdin:
        build, step = line.split()
        if (pid := os.fork()) == 0:
            stage(url, folder, build, int(step))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(status, flush=True)


def stage(url: str, folder: Path, build: str, last: int) -> None:
    """Stage a build, and kill this process at a step."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def stepped(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            step()
            return call(*given, **named)

        return wrapped

    for where, name in STEPS:
        setattr(where, name, stepped(getattr(where, name)))
    with bench(open_database(url, pool_size=4), url, folder) as at:
        # The last step is the one after the last commit.
        attempt.engine.forget = stepped(attempt.engine.forget)  # type: ignore[attr-defined]
        at.stage(f"file://{at.builds / 'board' / build}", "suites")


if __name__ == "__main__":
    main()
