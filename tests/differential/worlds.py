"""Configurations of the service that must not show in its answers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import quote

from tests import version_before
from tests.buckets import new_bucket, s3_server
from tests.builds import Objects, with_manifest
from tests.databases import Migrated
from tests.service import Answer, Pod, free_port, service, wait_until_ready
from tests.source import ArchiveSource, archive_source

PutBuild = Callable[[str, Objects], None]


@dataclass(frozen=True)
class Shape:
    """What differs between two services.

    Attributes:
        bucket: the store is a bucket of an S3 server; else a folder.
        folder: builds are read from a folder; else from an HTTP server.
        pods: API pods, which are asked in turn.
        embedded: `serve` runs all of it, with a PostgreSQL of its own.
        before: its code is that of the version before the newest migration, on the schema of now.
    """

    bucket: bool = False
    folder: bool = False
    pods: int = 1
    embedded: bool = False
    before: bool = False


#: The first is what the others are compared with.
SHAPES: Mapping[str, Shape] = {
    "folder store, http source, one pod": Shape(),
    "bucket store": Shape(bucket=True),
    "file source": Shape(folder=True),
    "three pods": Shape(pods=3),
    "embedded PostgreSQL": Shape(embedded=True),
    "bucket store, file source, three pods": Shape(bucket=True, folder=True, pods=3),
    "the version before": Shape(before=True),
}
#: One service that differs from the first in nearly all.
FEWEST = (next(iter(SHAPES)), "bucket store, file source, three pods")


@dataclass
class World:
    """One service with its source.

    Attributes:
        source: the URL below which its builds lie.
        put: replace all objects of a build, named by its path below `source`.
    """

    pods: list[Pod]
    source: str
    put: PutBuild
    _turns: Iterator[Pod] = field(init=False)

    def __post_init__(self) -> None:
        self._turns = cycle(self.pods)

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """Ask the pod whose turn it is."""
        return next(self._turns).client.send(method, path, body, headers)

    def own_words(self) -> dict[str, str]:
        """What its answers may say that another's do not."""
        words = {self.source: "<source>", **{pod.url: "<pod>" for pod in self.pods}}
        words |= {url.split("://", maxsplit=1)[1]: word for url, word in words.items()}
        return words | {quote(own, safe=""): word for own, word in words.items()}


@contextmanager
def world(shape: Shape, folder: Path, migrated: Migrated, **settings: str) -> Iterator[World]:
    """A service of this shape, on a database of its own."""
    folder.mkdir()
    with ExitStack() as stack:
        database = "" if shape.embedded else stack.enter_context(migrated())
        if shape.folder:
            source, put = _folder(folder / "builds")
        else:
            source, put = _served(stack.enter_context(archive_source()))
        if shape.bucket:
            settings["store"] = new_bucket(stack.enter_context(s3_server()))
        made = stack.enter_context(
            service(folder, database, f"{source}/", upload_wait_seconds="0", **settings)
        )
        if shape.before:
            made.code = version_before.unpacked(folder / "before")
        if shape.embedded:
            pods = [made.start("serve", f"127.0.0.1:{free_port()}")]
            wait_until_ready(pods[0])
        else:
            made.worker()
            pods = made.api(shape.pods)
        for pod in pods:
            pod.client.of_this_version = not shape.before
        yield World(pods, source, put)


def _folder(builds: Path) -> tuple[str, PutBuild]:
    def put(path: str, objects: Objects) -> None:
        there = builds / path
        there.mkdir(parents=True, exist_ok=True)
        listed = with_manifest(objects)
        for file in there.iterdir():
            if file.name not in listed:
                file.unlink()
        for name, content in listed.items():
            file = there / name
            # A file that is written again is another version; an object of an HTTP server is not.
            if not file.exists() or file.read_bytes() != content:
                file.write_bytes(content)

    builds.mkdir()
    return f"file://{builds}", put


def _served(source: ArchiveSource) -> tuple[str, PutBuild]:
    def put(path: str, objects: Objects) -> None:
        for name in [name for name in source.objects if name.startswith(f"/{path}/")]:
            del source.objects[name]
        source.add(path, with_manifest(objects))

    return source.url, put
