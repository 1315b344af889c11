"""Registry of extractors, by their names in a catalogue; the only list of formats."""

from collections.abc import Mapping
from dataclasses import dataclass

from staging_api.formats import decompressed, plain, tar, zip  # noqa: A004 - the format's name
from staging_api.formats.model import Extract


@dataclass(frozen=True)
class Extractor:
    """An extractor, and the properties of its format.

    Attributes:
        extract: unpacks the selected members of one object.
        has_members: whether members can be selected; otherwise the object is kept as it is.
        by_ranges: whether only ranges of the object are read.
        one_file: whether an object unpacks to one file.
        suffix: suffix of object names that selects this format if nothing else does.
    """

    extract: Extract
    has_members: bool = True
    by_ranges: bool = False
    one_file: bool = False
    suffix: str = ""


EXTRACTORS: Mapping[str, Extractor] = {
    "plain": Extractor(plain.extract, has_members=False),
    "tar": Extractor(tar.extract),
    "zip": Extractor(zip.extract, by_ranges=True, suffix=".zip"),
    "decompressed": Extractor(decompressed.extract, one_file=True),
}


def extractor_of(object_name: str) -> str:
    """Return the extractor for an object with members: by its suffix, else ``tar``."""
    for name, extractor in EXTRACTORS.items():
        if extractor.suffix and object_name.endswith(extractor.suffix):
            return name
    return "tar"
