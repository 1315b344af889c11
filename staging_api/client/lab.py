"""For labs and tests: the files of a build in a folder, for as long as they are used."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from staging_api.errors import Conflict, NotFound

if TYPE_CHECKING:
    from staging_api.client.client import StagingClient


@contextmanager
def borrowed(
    client: "StagingClient",
    archive_url: str,
    artifacts: Sequence[str] | None,
    to: str | PathLike[str] | None,
    pin_seconds: float,
) -> Iterator[Path]:
    """Yield a folder with the files of a build; see `StagingClient.borrow`."""
    with ExitStack() as stack:
        if to is None:
            to = stack.enter_context(tempfile.TemporaryDirectory(prefix="staging-"))
        fetched = client.get(archive_url, artifacts, to=to)
        if pin_seconds:
            until = datetime.now(UTC) + timedelta(seconds=pin_seconds)
            for artifact_id in fetched.artifact_ids:
                if client.artifact(artifact_id).pinned_until is None:
                    client.pin(artifact_id, until)
                    stack.callback(_unpin, client, artifact_id)
        yield fetched.folder


def _unpin(client: "StagingClient", artifact_id: str) -> None:
    try:
        client.pin(artifact_id, None)
    except (Conflict, NotFound):
        return  # it ends by itself
