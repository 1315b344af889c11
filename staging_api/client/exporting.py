"""Update a copy of an APT archive to the state that the service's clients see now."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from staging_api.client import download
from staging_api.client.blocking import BlockingCalls
from staging_api.client.calls import understood
from staging_api.client.copies import CopiedFile, copy_at
from staging_api.client.coroutines import complete, each
from staging_api.client.pacing import Deadline

_POOL_PAGE_SIZE = 1000


def export(
    calls: BlockingCalls,
    archive: str,
    target: str | Path,
    deadline: Deadline,
    on_file: Callable[[str], None] | None,
) -> int:
    """Return the number of files written; `archives.export` describes arguments and errors."""
    copy, written = copy_at(target), 0
    path = f"/distributions/{quote(archive, '')}/files"
    reply = complete(calls.ask("GET", f"{path}?part=dists"))
    with understood():
        dists = [CopiedFile.of(item) for item in reply.document["items"]]
        generation = f"/archive/{archive}@{reply.document['generation_id']}/"
    pool = each(calls.pages(CopiedFile.of, path, {"part": "pool"}, _POOL_PAGE_SIZE))
    for file in chain(pool, dists):
        deadline.check()
        if copy.has(file):
            continue
        copy.bring(file, partial(_fetch, calls, file, generation, deadline))
        written += 1
        if on_file is not None:
            on_file(file.path)
    for signature in _stale_signatures([file.path for file in dists]):
        copy.drop(signature)
    return written


def _fetch(
    calls: BlockingCalls, file: CopiedFile, generation: str, deadline: Deadline, to: Path
) -> None:
    target = download.DownloadTarget(file.path, to, file.sha256, generation)
    download.fetch(calls.connections.transport, target, deadline)


def _stale_signatures(named: Sequence[str]) -> Iterator[str]:
    """Yield the paths of signatures that an unsigned Release would make stale."""
    for path in named:
        if path.endswith("/Release"):
            for name in ("InRelease", "Release.gpg"):
                signature = path.removesuffix("Release") + name
                if signature not in named:
                    yield signature
