"""Documents in a folder of YAML files, for work without a server.

Each subfolder is a collection; files directly in the folder form a collection with the folder's
own name. All files with the suffixes ``.yaml`` and ``.yml`` are read, at any depth. Instead of a
folder, the input can be one file with any suffix, or standard input.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from staging_api.documents.model import (
    Document,
    DocumentsInvalid,
    Fault,
    Finding,
    Identity,
    Level,
    RenderingFailed,
)
from staging_api.documents.rendering import Rendering, render
from staging_api.documents.text import exclusions, load_documents
from staging_api.documents.validation import check_schemas, validate

STANDARD_INPUT = Path("-")
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class LocatedFinding:
    """A finding with the file concerned, if that is known."""

    finding: Finding
    file: Path | None


@dataclass(frozen=True, slots=True)
class Folder:
    """The documents in a folder, and the faults of its files."""

    documents: tuple[Document, ...]
    #: Findings about files that are not readable as documents.
    findings: tuple[LocatedFinding, ...]
    files: Mapping[Identity, Path] = field(default_factory=dict)

    def located(self, findings: Iterable[Finding]) -> tuple[LocatedFinding, ...]:
        """Add the file of the first document to each finding."""
        return tuple(
            LocatedFinding(each, self.files.get(each.documents[0]) if each.documents else None)
            for each in findings
        )


def read_folder(folder: Path) -> Folder:
    """Read all documents below a folder, or of one file or standard input.

    A faulty file does not prevent the others from being read.
    """
    findings: list[LocatedFinding] = []
    files: dict[Document, Path] = {}
    for file in _files(folder):
        try:
            found = load_documents(_bytes(file), collection=_collection(folder, file))
        except DocumentsInvalid as error:
            findings += (LocatedFinding(finding, file) for finding in error.findings)
            continue
        files.update((document, file) for document in found)
    for document, finding in exclusions(files, lambda other: f"{files[other]}:{other.line}"):
        findings.append(LocatedFinding(finding, files[document]))
    # Reversed, so that of two documents with the same identity the first one keeps its file.
    by_identity = {each.identity: file for each, file in reversed(files.items())}
    return Folder(tuple(files), tuple(findings), by_identity)


def check_folder(folder: Folder) -> tuple[Rendering | None, tuple[LocatedFinding, ...]]:
    """Render and validate a folder in the same way as the service does a revision.

    Returns:
        The rendering, or None if rendering failed; and all findings, including unreadable files.
    """
    found = [*folder.findings, *folder.located(check_schemas(folder.documents))]
    if folder.findings:
        return None, tuple(found)
    try:
        rendering = render(folder.documents)
    except RenderingFailed as error:
        return None, (*found, *folder.located(error.findings))
    return rendering, folder.located((*validate(rendering), *rendering.warnings))


def has_errors(findings: Iterable[LocatedFinding]) -> bool:
    """Return whether any finding is an error."""
    return any(each.finding.level is Level.ERROR for each in findings)


def _files(folder: Path) -> list[Path]:
    if folder == STANDARD_INPUT or not folder.is_dir():
        return [folder]
    found = (each for each in folder.rglob("*") if each.suffix in _SUFFIXES)
    return sorted(each for each in found if not each.is_dir())


def _collection(folder: Path, file: Path) -> str:
    if folder == STANDARD_INPUT:
        return "stdin"
    if folder == file:
        return file.stem
    below = file.relative_to(folder).parts
    return below[0] if len(below) > 1 else folder.resolve().name


def _bytes(file: Path) -> bytes:
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise DocumentsInvalid((Finding(Fault.INVALID_YAML, message),)) from None
