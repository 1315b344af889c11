"""Reader of the packages in an upload."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from staging_api.debian.deb import BinaryPackage, DebLimits, read_deb
from staging_api.debian.dsc import MAX_DSC_BYTES, SourceFile, SourcePackage, read_dsc
from staging_api.errors import PackageInvalid, StagingApiError
from staging_api.publishing.rules import package_refusals
from staging_api.store.blob_store import BlobStore

LIMITS = DebLimits()
_NO_PACKAGE = "is no .deb, .udeb or .dsc, and no .dsc that came with it lists it: leave it out"

#: A package, or the error by which it is rejected.
Content = BinaryPackage | SourcePackage | StagingApiError


@dataclass(frozen=True)
class SentPackage:
    """A package in an upload: a .deb or .udeb, or a .dsc with its files.

    Attributes:
        name: file name of the package, as it was sent.
        content: the package, or the error by which it is rejected.
        files: the uploaded files by name: the .deb itself, or all that may belong to a source.
    """

    name: str
    content: Content
    files: Mapping[str, SourceFile]


def sent_packages(blobs: BlobStore, files: Mapping[str, SourceFile]) -> Iterator[SentPackage]:
    """Yield the packages among files of the store, sources first; then the files of no package."""
    listed: set[str] = set()
    for name, file in files.items():
        if name.endswith(".dsc"):
            sent = SentPackage(name, _read(blobs, file), files)
            if isinstance(sent.content, SourcePackage):
                listed |= {each.name for each in sent.content.files}
            yield sent
    for name, file in files.items():
        if name.endswith((".deb", ".udeb")):
            yield SentPackage(name, _read(blobs, file), {name: file})
        elif name not in listed and not name.endswith(".dsc"):
            yield SentPackage(name, PackageInvalid(f"{name} {_NO_PACKAGE}"), {})


def _read(blobs: BlobStore, file: SourceFile) -> Content:
    try:
        opened = blobs.open(file.sha256, file.size_bytes)
        with closing(opened), package_refusals():
            if file.name.endswith(".dsc"):
                # Read one byte more than allowed, so that a longer file is refused and not
                # truncated.
                return read_dsc(opened.read(MAX_DSC_BYTES + 1))
            return read_deb(opened, LIMITS)
    except StagingApiError as error:
        return error
