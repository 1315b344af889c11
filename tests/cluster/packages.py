"""Clients that upload packages, publish them, and read archives as apt does, by InRelease.

An upload that was acknowledged before a publish began must be listed once that has succeeded: to
every client, by every pod, in the same or a newer version, and with the bytes that were sent.
"""

import gzip
import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from staging_api.client.client import StagingClient
from staging_api.client.connections import SentRequest
from staging_api.client.pacing import Deadline, Pacing
from staging_api.client.problems import problem
from staging_api.client.transport import Transport
from staging_api.debian.forms import Form
from staging_api.errors import StagingApiError
from tests.cluster.clients import PATIENCE_SECONDS, Shift
from tests.packages import control_text, deb

ARCHIVES = ("extras", "tools")
_SUITE = {"name": "stable", "components": ["main"], "architectures": ["amd64"]}
_UPLOADERS, _PUBLISHERS, _READERS = 2, 2, 1
#: Packages of one uploader; their versions supersede one another.
_NAMES = 8
_DISTS = "dists/stable"
_INDEX = "main/binary-amd64/Packages.gz"
_LISTED = re.compile(r"^ ([0-9a-f]{64}) +(\d+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One version of a package that was uploaded to an archive, or is listed there."""

    archive: str
    name: str
    version: int
    sha256: str
    path: str = ""


class Packages:
    """Clients that upload, publish and read.

    Attributes:
        sent: every package that was ever sent, even if it never arrived.
        acknowledged: the package of each acknowledged upload, by its id.
        published: ids of the runs that succeeded according to the service.
    """

    def __init__(self, shift: Shift, scratch: Path) -> None:
        """Create and publish the archives; uploaded files are kept in `scratch`."""
        self.sent: list[Package] = []
        self.acknowledged: dict[str, Package] = {}
        self.published: list[str] = []
        self._shift = shift
        self._seen = shift.seen
        self._scratch = scratch
        self._versions = itertools.count(1)
        self._apt = Transport(shift.url, {}, Pacing())
        with shift.client() as client:
            for archive in ARCHIVES:
                client.archives.create(archive, [_SUITE], forms=["gz"])
                client.archives.publish("publish-ftpmaster", archive, careful=True)

    @property
    def work(self) -> list[Callable[[StagingClient], None]]:
        """Return the kinds of work that each client repeats."""
        return [
            *[self._upload] * _UPLOADERS,
            *[self._publish] * _PUBLISHERS,
            *[self._read] * _READERS,
        ]

    def publish(self, client: StagingClient, archive: str) -> None:
        """Publish, and check that every package acknowledged before is listed."""
        before = self.newest(archive)
        run = self._seen.insist(
            "publish",
            lambda: client.archives.publish(
                "publish-ftpmaster",
                archive,
                timeout=PATIENCE_SECONDS,
                on_retry=self._seen.retried,
            ),
        )
        if run is None:
            return
        self.published.append(run.id)
        listed = self._seen.insist("read an index", lambda: self.listed(archive))
        if listed is not None:
            self._seen.wrong += self.missing(before, listed)

    def newest(self, archive: str) -> Mapping[str, Package]:
        """Return the newest acknowledged version of each package."""
        known = sorted(self.acknowledged.copy().values(), key=lambda package: package.version)
        return {package.name: package for package in known if package.archive == archive}

    def missing(
        self, wanted: Mapping[str, Package], listed: Mapping[str, Package]
    ) -> Iterator[str]:
        """Yield missing packages, and listed packages that were never uploaded."""
        sent = {(each.archive, each.name, each.version): each.sha256 for each in self.sent}
        for name, package in wanted.items():
            found = listed.get(name)
            if found is None or found.version < package.version:
                yield f"{package} was acknowledged, then published; listed is {found}"
        for found in listed.values():
            if sent.get((found.archive, found.name, found.version)) != found.sha256:
                yield f"{found} is listed, and was never sent so"

    def listed(self, archive: str) -> Mapping[str, Package]:
        """Return the packages of an archive as apt sees them.

        Raises:
            StagingApiError: a response was an error, or an index does not match InRelease.
        """
        digest, size = self.named(archive)[_INDEX]
        content = gzip.decompress(self.by_hash(archive, _INDEX, digest, size))
        found = {}
        for stanza in content.decode().split("\n\n"):
            if stanza.strip():
                fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
                found[fields["Package"]] = Package(
                    archive,
                    fields["Package"],
                    int(fields["Version"]),
                    fields["SHA256"],
                    fields["Filename"],
                )
        return found

    def named(self, archive: str) -> Mapping[str, tuple[str, int]]:
        """Return digest and size of all files in InRelease, by path."""
        text = self.get(archive, f"{_DISTS}/InRelease").decode()
        return {path: (digest, int(size)) for digest, size, path in _LISTED.findall(text)}

    def by_hash(self, archive: str, path: str, digest: str, size: int) -> bytes:
        """Return an index file, requested by its hash."""
        folder = path.rpartition("/")[0]
        content = self.get(archive, f"{_DISTS}/{folder}/by-hash/SHA256/{digest}")
        if (sha256(content).hexdigest(), len(content)) != (digest, size):
            raise StagingApiError(f"{archive}: {path} is not what InRelease says")
        return content

    def get(self, archive: str, path: str) -> bytes:
        """Return a file of an archive, unchanged."""
        request = SentRequest("GET", f"/archive/{archive}/{path}", Deadline(60), {})
        with self._apt.sent(request) as answer:
            content = answer.read()
            if answer.status != 200:
                raise problem(answer.status, answer.headers, content)
            return content

    def check_pool(self, package: Package) -> None:
        """Fetch and check a package that an index names."""
        content = self._seen.insist(
            "fetch a package", lambda: self.get(package.archive, package.path)
        )
        if content is not None and sha256(content).hexdigest() != package.sha256:
            self._seen.wrong.append(f"{package.path} is not what the index says")

    def _upload(self, client: StagingClient) -> None:
        """Send the next version of a package that no other client sends."""
        version = next(self._versions)
        archive = self._shift.random.choice(ARCHIVES)
        name = f"package-{threading.get_ident()}-{version % _NAMES}"
        raw = deb(control_text(name, str(version)), Form.GZ, holds=name)
        file = self._scratch / f"{name}_{version}_amd64.deb"
        file.write_bytes(raw)
        package = Package(archive, name, version, sha256(raw).hexdigest())
        self.sent.append(package)
        uploads = self._seen.insist(
            "upload a package", lambda: client.archives.upload(archive, "stable", [file])
        )
        self.acknowledged |= {upload.id: package for upload in uploads or ()}
        file.unlink()
        self._shift.over.wait(0.3)

    def _publish(self, client: StagingClient) -> None:
        self.publish(client, self._shift.random.choice(ARCHIVES))
        self._shift.over.wait(1.0)

    def _read(self, _client: StagingClient) -> None:
        """Read an archive as apt does, down to a package."""
        archive = self._shift.random.choice(ARCHIVES)
        listed = self._seen.insist("read an index", lambda: self.listed(archive))
        if listed:
            self.check_pool(self._shift.random.choice(list(listed.values())))
        self._shift.over.wait(0.2)
