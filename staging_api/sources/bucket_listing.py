"""Read the XML by which S3, Google Cloud Storage, Azure and their likes list a bucket over HTTP."""

from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_plus
from xml.parsers import expat

_AZURE_ROOT = "EnumerationResults"


@dataclass
class BucketListing:
    """One page of a listing.

    Attributes:
        keys: of the objects, whole.
        token: asks for the next page; None on the last one.
        marker: asks for the next page of a server that has no tokens.
    """

    keys: list[str] = field(default_factory=list)
    token: str | None = None
    marker: str | None = None

    @property
    def following(self) -> str:
        """What a query for the next page ends with; empty on the last one."""
        if self.token is not None:
            return f"&continuation-token={quote(self.token, safe='')}"
        return "" if self.marker is None else f"&marker={quote(self.marker, safe='')}"


def read_listing(raw: bytes) -> BucketListing | None:
    """Read one page; None if it is something else."""
    reader = _Reader()
    try:
        reader.parser.Parse(raw, True)
    except (expat.ExpatError, ValueError):
        return None
    return reader.listing if reader.root_seen else None


class _Reader:
    """Follows the elements of a list; entities are refused, since none is needed.

    The root is ``ListBucketResult``, at Azure ``EnumerationResults``, whose marker alone says that
    more pages follow.
    """

    def __init__(self) -> None:
        self.listing = BucketListing()
        self.root_seen = False
        self._path: list[str] = []
        self._text = ""
        self._truncated = False
        self._encoded = False
        #: Whether the key at hand is escaped by itself, as Azure does where XML has no character.
        self._key_encoded = False
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._add
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _refuse(self, *_: object) -> None:
        raise ValueError("a listing declares no entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        # Some servers give their elements a prefix of the namespace.
        self._path.append(name.rpartition(":")[2])
        self._text = ""
        self._key_encoded = attributes.get("Encoded") == "true"
        if self._path in (["ListBucketResult"], [_AZURE_ROOT]):
            self.root_seen = True

    def _add(self, text: str) -> None:
        self._text += text

    def _end(self, _name: str) -> None:
        place, text = self._path[1:], self._text
        if place in (["Contents", "Key"], ["Blobs", "Blob", "Name"]):
            self.listing.keys.append(unquote(text) if self._key_encoded else text)
        elif place == ["IsTruncated"]:
            self._truncated = text.strip() == "true"
        elif place == ["EncodingType"]:
            self._encoded = text.strip() == "url"
        elif place == ["NextContinuationToken"]:
            self.listing.token = text
        elif place == ["NextMarker"]:
            self.listing.marker = text
            self._truncated = self._truncated or (bool(text) and self._path[0] == _AZURE_ROOT)
        self._path.pop()
        self._text = ""
        if not self._path:
            self._finish()

    def _finish(self) -> None:
        if self._encoded:
            # XML has no control characters, so they can only be escaped.
            self.listing.keys = [unquote_plus(key) for key in self.listing.keys]
        if not self._truncated:
            self.listing.token = self.listing.marker = None
        elif self.listing.token is None and self.listing.marker is None:
            self.listing.marker = self.listing.keys[-1] if self.listing.keys else None
