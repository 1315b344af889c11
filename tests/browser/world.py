"""A service for the pages: staged, failed and running builds, with hostile text everywhere."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from staging_api.db.engine import open_database
from staging_api.debian.forms import Form
from staging_api.errors import LockLost
from staging_api.locks.hold import RequestOrigin, hold
from staging_api.locks.model import ARCHIVE
from tests.apt_archive_api import AptArchiveApi
from tests.builds import FULL_PAYLOAD, build, tar, with_manifest
from tests.documents import document, policy, stream
from tests.factories import locks_of
from tests.packages import control_text, deb
from tests.service import API, STAGINGS, Client, service
from tests.source import archive_source

#: Text that would run a script or load a resource if a page did not escape it.
HOSTILE = "<img src=//x.example/ onerror=window.hostile=1>\"'</script><b>&amp;"
_NAME = "a<img src=x onerror=window.hostile=1>\"'&amp;.bin"


_PARAMETER = re.compile(r"\{(\w+)\}")


def example_of(path: str, examples: Mapping[str, str]) -> str | None:
    """Return a path with an example for each of its parameters; None if an example is missing."""
    if not examples.keys() >= set(_PARAMETER.findall(path)):
        return None
    return _PARAMETER.sub(lambda found: quote(examples[found[1]], safe=""), path)


@dataclass
class World:
    """A pod, and one example of each object that has a page.

    Attributes:
        said: text that users give as reasons and values.
        examples: for each parameter in the path of a page, a value.
    """

    client: Client
    said: str = HOSTILE
    examples: dict[str, str] = field(default_factory=dict)

    def address(self, path: str) -> str:
        """Return the URL of a page, with an example for each parameter in its path."""
        found = example_of(path, self.examples)
        assert found is not None, f"no example for {path}"
        return self.client.url + found


@contextmanager
def world(
    folder: Path, database_url: str, said: str = HOSTILE, name: str = _NAME
) -> Iterator[World]:
    """Run a service with examples of all objects during the block.

    Args:
        folder: folder for its store and logs.
        database_url: URL of its own migrated database.
        said: text that users give as reasons and values.
        name: name of a file within an archive.
    """
    with ExitStack() as stack:
        source = stack.enter_context(archive_source())
        made = stack.enter_context(
            service(folder, database_url, f"{source.url}/", upload_wait_seconds="0")
        )
        made.worker()
        (pod,) = made.api()
        whole, broken, slow = (f"board-release/R17-{n}.0.0" for n in (1, 2, 3))
        objects = dict(build(whole, payload_bytes=30_000))
        objects["autotest.tar"] = tar({f"autotest/server/{name}": b"x", "autotest/a": b"y"})
        source.add(whole, with_manifest({n: o for n, o in objects.items() if n != "UPLOADED"}))
        source.add(broken, with_manifest({"stateful.tgz": b"no archive", "readme.txt": b"-"}))
        source.add(slow, build(slow, payload_bytes=900_000))
        there = World(pod.client, said)
        _stage(there, source.url, whole, broken)
        held = source.hold(f"{source.url}/{slow}", FULL_PAYLOAD, 300_000)
        there.client.stage(f"{source.url}/{slow}", Prefer="respond-async")
        held.wait_until_reached()
        rows = stack.enter_context(closing(open_database(database_url, pool_size=2)))
        locks = stack.enter_context(locks_of(rows, database_url))
        # Of no working process, so that the lock is held until it is broken.
        stack.enter_context(suppress(LockLost))
        stuck = RequestOrigin("a <b>stuck</b> caller")
        stack.enter_context(hold(locks, ARCHIVE, f"{source.url}/board-release/R17-4.0.0", stuck))
        _lock(there, f"{source.url}/board-release/R17-4.0.0")
        _publish(there)
        _write_documents(there)
        yield there
        held.release()


def _stage(there: World, source: str, whole: str, broken: str) -> None:
    marker = {"X_Context_Marker": "5f0c6a4e-0000-4000-8000-000000000001", "User_Agent": HOSTILE}
    client = there.client
    staged = client.stage(f"{source}/{whole}", Prefer="respond-async", **marker).json
    found = client.wait(f"{STAGINGS}/{staged['id']}", "staged", "failed")
    failed = client.stage(f"{source}/{broken}", Prefer="respond-async").json
    client.wait(f"{STAGINGS}/{failed['id']}", "failed")
    there.examples["staging_id"] = found["id"]
    ready = [each for each in found["artifacts"] if each["state"] == "staged"]
    there.examples["artifact_id"] = ready[0]["id"]
    there.examples["archive_url"] = f"{source}/{whole}"
    files = client.get(f"{API}/artifacts/{ready[0]['id']}/files").json["items"]
    there.examples["sha256"] = files[0]["sha256"]
    evicted = ready[-1]["id"]
    client.delete(f"{API}/artifacts/{evicted}", {"reason": there.said})


def _lock(there: World, scope: str) -> None:
    held = there.client.get(f"{API}/locks?state=held").json["items"]
    (there.examples["lock_id"],) = [each["id"] for each in held if each["scope"] == scope]


def _publish(there: World) -> None:
    archive = AptArchiveApi.make(there.client, label=f"of {there.said}"[:60])
    raw = deb(control_text("hello", "1.0-1", "amd64"), Form.GZ)
    assert archive.upload("hello_1.0-1_amd64.deb", raw).status == 201
    other = deb(control_text("other", "1.0-1", "amd64"), Form.GZ)
    refused = archive.upload("other_1.0-1_amd64.deb", other).json["items"][0]["id"]
    assert (
        there.client.post(f"{API}/uploads/{refused}/reject", {"reason": there.said}).status == 200
    )
    run = archive.published()
    there.examples["archive"] = archive.name
    there.examples["publication_id"] = run["id"]
    there.examples["upload_id"] = refused
    generations = there.client.get(f"{API}/distributions/{archive.name}/generations").json["items"]
    there.examples["generation_id"] = generations[0]["id"]


def _write_documents(there: World) -> None:
    client = there.client
    yaml = {"Content-Type": "application/x-yaml"}
    for name in ("first", "second"):
        body = stream(
            document(name, {"value": there.said}), *([policy()] if name == "first" else [])
        )
        path = f"{API}/configdocs/{name}?buffermode=append&reason={quote(there.said)}"
        assert client.send("POST", path, body, yaml).status == 201
        if name == "first":
            assert client.send("POST", f"{API}/commitconfigdocs").status == 200
    there.examples |= {"collection": "first", "number": "1", "namespace": "pegleg"}
    there.examples |= {"kind": "Script", "version": "v1", "name": "first"}
