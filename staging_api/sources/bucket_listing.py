"""Parser of the XML bucket listings of S3, Google Cloud Storage, Azure and compatible servers."""

from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_plus
from xml.parsers import expat

_AZURE_ROOT = "EnumerationResults"


@dataclass
class BucketListing:
    """One page of a listing.

    Attributes:
        keys: complete keys of the objects.
        token: token for the next page; None on the last page.
        marker: marker for the next page, for servers without tokens.
    """

    keys: list[str] = field(default_factory=list)
    token: str | None = None
    marker: str | None = None

    @property
    def following(self) -> str:
        """Suffix of the query for the next page; empty on the last page."""
        if self.token is not None:
            return f"&continuation-token={quote(self.token, safe='')}"
        return "" if self.marker is None else f"&marker={quote(self.marker, safe='')}"


def read_listing(raw: bytes) -> BucketListing | None:
    """Parse one page; None if it is not a listing."""
    reader = _Reader()
    try:
        reader.parser.Parse(raw, True)
    except (expat.ExpatError, ValueError):
        return None
    return reader.listing if reader.root_seen else None


class _Reader:
    """Event handler for the XML of a listing; entities are refused, because listings need none.

    The root is ``ListBucketResult``; for Azure it is ``EnumerationResults``, where only the marker
    tells that more pages follow.
    """

    def __init__(self) -> None:
        self.listing = BucketListing()
        self.root_seen = False
        self._path: list[str] = []
        self._text = ""
        self._truncated = False
        self._encoded = False
        #: Whether the current key is escaped individually; Azure escapes characters that XML lacks.
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
        # Some servers add a namespace prefix to their elements.
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
            # XML cannot represent control characters, so such keys are escaped.
            self.listing.keys = [unquote_plus(key) for key in self.listing.keys]
        if not self._truncated:
            self.listing.token = self.listing.marker = None
        elif self.listing.token is None and self.listing.marker is None:
            self.listing.marker = self.listing.keys[-1] if self.listing.keys else None
