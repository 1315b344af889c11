"""Another process that uses a store: it sweeps, or holds a batch and parts of it open.

python -m tests.store_child sweep|hold STORE_URL HOME
"""

import sys
from pathlib import Path

from staging_api.store.blob_store import BlobStore
from staging_api.store.opening import open_store

PARTS = "version-1"
_OLD_SECONDS = 24 * 3600.0


def _hold(store: BlobStore) -> None:
    """Use a batch and parts until this process is killed or its input ends."""
    with store.batch("holder") as batch, store.parts.open(PARTS, 100):
        batch.keep([b"on its way"])
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        sys.stdin.read()


def _sweep(store: BlobStore) -> None:
    """Sweep files older than a day; print the number of removed folders, and the store's time."""
    sys.stdout.write(f"{store.sweep(_OLD_SECONDS).removed} {store.time()}\n")


if __name__ == "__main__":
    {"hold": _hold, "sweep": _sweep}[sys.argv[1]](open_store(sys.argv[2], Path(sys.argv[3])))
