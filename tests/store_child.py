"""What another process does with a store: sweep it, or hold a batch and parts of it open.

python -m tests.store_child sweep|hold STORE_URL HOME
"""

import sys
from pathlib import Path

from staging_api.store.blob_store import BlobStore
from staging_api.store.opening import open_store

PARTS = "version-1"
_OLD_SECONDS = 24 * 3600.0


def _hold(store: BlobStore) -> None:
    """Work on a batch and on parts until this process is killed, or has no input any more."""
    with store.batch("holder") as batch, store.parts.open(PARTS, 100):
        batch.keep([b"on its way"])
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        sys.stdin.read()


def _sweep(store: BlobStore) -> None:
    """Sweep what is a day old; says how many folders were removed, and the time of the store."""
    sys.stdout.write(f"{store.sweep(_OLD_SECONDS).removed} {store.time()}\n")


if __name__ == "__main__":
    {"hold": _hold, "sweep": _sweep}[sys.argv[1]](open_store(sys.argv[2], Path(sys.argv[3])))
