"""An APT repository on disk, published only by the modules under test."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from staging_api.debian.deb import read_deb
from staging_api.debian.dsc import SourceFile, check_files, read_dsc
from staging_api.debian.forms import Form, pack
from staging_api.publishing.blocks import Digest, assemble, cut
from staging_api.publishing.indices import (
    IndexEntry,
    binary_entry,
    packages_path,
    source_entry,
    sources_path,
)
from staging_api.publishing.pool import binary_file_name, pool_path
from staging_api.publishing.release import Release, ReleaseFile, by_hash_path, release_text
from staging_api.publishing.signing import SignedRelease, SigningKey, sign
from tests.http_server import Served, http_server
from tests.packages import source_file

SUITE = "stable"
Assemble = Callable[[Form, Iterable[bytes]], Iterator[bytes]]


def measure(chunks: Iterable[bytes]) -> Digest:
    """Return the size and hash of a file, given in chunks."""
    whole = b"".join(chunks)
    return Digest(len(whole), sha256(whole).hexdigest())


def release(files: Sequence[ReleaseFile]) -> Release:
    """Return the Release of a test's repository."""
    return Release(
        suite=SUITE,
        codename=SUITE,
        date=datetime.now(UTC),
        architectures=["amd64", "arm64"],
        components=["main", "contrib"],
        files=files,
        origin="Example",
    )


@dataclass
class Repository:
    """Packages in a folder, and the format of the next publication.

    Attributes:
        root: folder of the repository.
        forms: compressed forms of each index.
        key: key that signs the Release.
        describe: builds the Release from the list of index files.
        assemble: joins blocks; a test may replace it by a worse one, to see that one fail.
        list_plain: whether Release lists the uncompressed names.
    """

    root: Path
    forms: Sequence[Form] = (Form.GZ, Form.XZ)
    key: SigningKey | None = None
    describe: Callable[[Sequence[ReleaseFile]], Release] = release
    assemble: Assemble = assemble
    list_plain: bool = True
    entries: defaultdict[str, list[IndexEntry]] = field(default_factory=lambda: defaultdict(list))

    @property
    def dists(self) -> Path:
        return self.root / "dists" / SUITE

    def add_binary(self, raw: bytes, component: str = "main", suffix: str = "deb") -> None:
        package = read_deb(BytesIO(raw))
        name = binary_file_name(package.package, package.version, package.architecture, suffix)
        path = pool_path(component, package.source, name)
        self.write(path, raw)
        made = binary_entry(package.control, path, len(raw), sha256(raw).hexdigest())
        ours = {"amd64", "arm64"} & {package.architecture} or {"amd64", "arm64"}
        for architecture in ours:
            index = packages_path(component, architecture, installer=suffix == "udeb")
            self.entries[index].append(made)

    def add_source(self, dsc: bytes, files: dict[str, bytes], component: str = "main") -> None:
        source = read_dsc(dsc)
        found: dict[str, SourceFile] = {name: source_file(name, files[name]) for name in files}
        check_files(source, found)
        for name, content in {source.dsc.name: dsc, **files}.items():
            self.write(pool_path(component, source.package, name), content)
        folder = pool_path(component, source.package, source.dsc.name).rpartition("/")[0]
        made = source_entry(source.control, folder, source.dsc, source.files)
        self.entries[sources_path(component)].append(made)

    def publish(self) -> None:
        listed: list[ReleaseFile] = []
        for path in self.entries:
            listed += self._publish_index(path)
        text = release_text(self.describe(listed))
        self.write(self.dists / "Release", text)
        signed = sign(text, self.key)
        if isinstance(signed, SignedRelease):
            self.write(self.dists / "InRelease", signed.in_release)
            self.write(self.dists / "Release.gpg", signed.release_gpg)

    def served(self) -> AbstractContextManager[Served]:
        """Serve the current files over HTTP on loopback."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return http_server({f"/{path.relative_to(self.root)}": path.read_bytes() for path in files})

    def write(self, path: str | Path, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def _publish_index(self, path: str) -> Iterator[ReleaseFile]:
        blocks = list(cut(sorted(self.entries[path], key=lambda made: made.key)))
        for form in {Form.PLAIN, *self.forms}:
            content = b"".join(self.assemble(form, [pack(form, each.text) for each in blocks]))
            digest = measure([content])
            if form in self.forms:
                self.write(self.dists / (path + form), content)
                self.write(self.dists / by_hash_path(path, digest.sha256), content)
            if form in self.forms or self.list_plain:
                yield ReleaseFile(path + form, digest.size_bytes, digest.sha256)
