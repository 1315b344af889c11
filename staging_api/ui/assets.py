"""Style sheet, script and icons: read once, and served under names that contain their digest.

The bytes of a name never change, so browsers cache them forever; pages of a newer version refer to
other names.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePath

import falcon

from staging_api.errors import NotFound

_BASE = "/ui/assets/"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """A file that pages refer to, plain and compressed; `name` contains its digest."""

    name: str
    media_type: str
    plain: bytes
    gzipped: bytes


def asset_url(name: str) -> str:
    """Return the address of a file in ``assets``.

    Raises:
        KeyError: there is no such file.
    """
    return _BASE + _assets()[name].name


def build_id() -> str:
    """Return an id that changes with any asset, so that an old page notices a new version."""
    names = "".join(sorted(each.name for each in _assets().values()))
    return hashlib.sha256(names.encode()).hexdigest()[:12]


class Assets:
    """``/ui/assets/{name}``; the files are public."""

    answers_head = True

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Send a file, which never changes under this name."""
        found = next((each for each in _assets().values() if each.name == name), None)
        if found is None:
            raise NotFound("there is no such file: reload the page, which is of another version")
        resp.content_type = found.media_type
        resp.set_header("Cache-Control", _FOR_EVER)
        resp.set_header("Vary", "Accept-Encoding")
        # An icon opened directly is a document of this site.
        resp.set_header("Content-Security-Policy", "default-src 'none'")
        if "gzip" in (req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            resp.data = found.gzipped
        else:
            resp.data = found.plain


@cache
def _assets() -> dict[str, Asset]:
    """Return the files by their plain names."""
    folder = files(__package__) / "assets"
    found = ((PurePath(file.name), file) for file in folder.iterdir())
    return {
        name.name: _asset(name, file.read_bytes()) for name, file in found if name.suffix in _TYPES
    }


def _asset(name: PurePath, data: bytes) -> Asset:
    hashed = f"{name.stem}.{hashlib.sha256(data).hexdigest()[:12]}{name.suffix}"
    # Without a timestamp, so that every process sends the same bytes.
    return Asset(hashed, _TYPES[name.suffix], data, gzip.compress(data, mtime=0))
