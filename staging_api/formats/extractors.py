"""The extractors by the name that a catalogue gives them."""

from collections.abc import Mapping

from staging_api.formats import plain, tar, zip  # noqa: A004 - the name of the format
from staging_api.formats.model import Extractor

EXTRACTORS: Mapping[str, Extractor] = {
    "plain": plain.extract,
    "tar": tar.extract,
    "zip": zip.extract,
}
