"""Draw the pictures of docs/images: boxes and arrows on a grid, as SVG without anything foreign.

``python docs/pictures.py`` writes them anew; a test compares.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

IMAGES = Path(__file__).with_name("images")

_COLUMN, _ROW, _WIDTH, _HEIGHT, _MARGIN = 240, 112, 160, 52, 20
_LINE = 15
_FILLS = {"box": "#eef3fb", "store": "#e8f5ec", "end": "#fdeeee", "person": "#fff7e0"}
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24;text-anchor:middle}"
    ".l{font-size:11px;fill:#444c56;stroke:#ffffff;stroke-width:4;paint-order:stroke}"
    "path{fill:none;stroke:#57606a;stroke-width:1.4}"
    "rect.b{stroke:#57606a;stroke-width:1.2}"
)


_START = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
    ' aria-label="{title}">'
)
_HEAD = (
    '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path d="M0 0L8 4L0 8Z" style="fill:#57606a;stroke:none"/></marker></defs>'
)


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        column, row: its place on the grid; halves are allowed.
        text: its lines, separated by a newline.
        kind: its colour.
    """

    column: float
    row: float
    text: str
    kind: str = "box"

    @property
    def left(self) -> float:
        """Of its left edge."""
        return _MARGIN + self.column * _COLUMN

    @property
    def top(self) -> float:
        """Of its upper edge."""
        return _MARGIN + self.row * _ROW


@dataclass(frozen=True)
class Arrow:
    """One arrow between two boxes, with a label of one or two lines."""

    start: str
    end: str
    label: str = ""
    bend: float = 0.0


@dataclass(frozen=True)
class Picture:
    """Boxes by name, arrows between them, and in words what the picture shows."""

    title: str
    boxes: Mapping[str, Box]
    arrows: tuple[Arrow, ...]


PICTURES: Mapping[str, Picture] = {
    "lock": Picture(
        "States of a lock's scope: free, held, handed over, expired, resting",
        {
            "free": Box(0, 1, "free", "store"),
            "held": Box(1.5, 1, "held\none lease, one fence"),
            "handed": Box(1.5, 0, "handed\nto the next waiter"),
            "expired": Box(3, 0.5, "expired", "end"),
            "resting": Box(3, 1.6, "resting\nfor the lock-delay", "end"),
        },
        (
            Arrow("free", "held", "acquire:\nfence + 1", -22),
            Arrow("held", "free", "release,\nno waiter", -22),
            Arrow("held", "handed", "release, a waiter", -30),
            Arrow("handed", "held", "it asks", -30),
            Arrow("handed", "expired", "the waiter is dead"),
            Arrow("held", "expired", "not renewed"),
            Arrow("held", "resting", "broken by\nan operator", 14),
            Arrow("expired", "resting", "recorded"),
            Arrow("resting", "held", "acquire:\nfence + 1", 36),
        ),
    ),
    "staging": Picture(
        "From a source to a reader: download, unpack, store, one commit, serve",
        {
            "source": Box(0, 0, "source\ngs, s3, az, http, file", "person"),
            "download": Box(1, 0, "download\nhash on the way"),
            "unpack": Box(2, 0, "unpack\ntar, zip"),
            "store": Box(3, 0, "store\nblobs by sha256", "store"),
            "lock": Box(1, 1, "lock of the archive\nlease and fence"),
            "rows": Box(3, 1, "tables\nwhat is staged", "store"),
            "reader": Box(4, 0.5, "reader\n/static/...", "person"),
        },
        (
            Arrow("source", "download", "ranges"),
            Arrow("download", "unpack", "bytes"),
            Arrow("unpack", "store", "durable"),
            Arrow("lock", "download", "held"),
            Arrow("lock", "rows", "one guarded commit: staged"),
            Arrow("rows", "reader", "path"),
            Arrow("store", "reader", "bytes"),
        ),
    ),
    "publisher": Picture(
        "From an upload to apt-get update: accept, publish, index, release, go live",
        {
            "upload": Box(0, 0, "upload\n.deb, .dsc", "person"),
            "accept": Box(1, 0, "accept\npending packages"),
            "publish": Box(2, 0, "publish, dominate\nolder versions leave"),
            "index": Box(3, 0, "index, release\nsigned files"),
            "live": Box(3, 1, "go live\none transaction", "store"),
            "old": Box(1, 1, "older generations\nkept by hash", "store"),
            "apt": Box(2, 1.8, "apt-get update\none state or the next", "person"),
        },
        (
            Arrow("upload", "accept"),
            Arrow("accept", "publish", "one lock\nfor all runs"),
            Arrow("publish", "index"),
            Arrow("index", "live"),
            Arrow("live", "old", "kept for a day", 0),
            Arrow("live", "apt", "new index files"),
            Arrow("old", "apt", "what an older\nRelease names"),
        ),
    ),
    "documents": Picture(
        "From YAML files to rendered documents: buffer, review, commit, go back",
        {
            "files": Box(0, 0, "YAML files\na collection", "person"),
            "buffer": Box(1, 0, "buffer\nbyte for byte", "store"),
            "render": Box(2, 0, "layer, substitute"),
            "check": Box(3, 0, "check\nschemas, validators"),
            "committed": Box(3, 1, "committed revision", "store"),
            "site": Box(2, 1, "rendered documents\nsecrets masked", "person"),
            "back": Box(1, 1, "rollback\nor no confirmation", "end"),
        },
        (
            Arrow("files", "buffer", "post"),
            Arrow("buffer", "render"),
            Arrow("render", "check"),
            Arrow("check", "committed", "commit"),
            Arrow("committed", "site"),
            Arrow("committed", "back", "", 46),
            Arrow("back", "buffer", "as a new\nrevision"),
        ),
    ),
    "revisions": Picture(
        "Versions of the documents: buffer, committed, site actions, and the ways back",
        {
            "post": Box(0, 0, "POST\nconfigdocs/site", "person"),
            "lock": Box(1, 0, "lock\nconfigdocs_update"),
            "buffer": Box(2, 0, "buffer\nnewest revision", "store"),
            "validate": Box(3, 0, "render, check\nask validators"),
            "committed": Box(3, 1, "committed", "store"),
            "action": Box(2, 1, "site action\nsuccess or failure", "person"),
            "undone": Box(4, 1, "undone\nthe commit before", "end"),
        },
        (
            Arrow("post", "lock", "read, checked"),
            Arrow("lock", "buffer", "one guarded\ntransaction"),
            Arrow("buffer", "validate", "commit\nof revision N"),
            Arrow("validate", "committed", "no errors"),
            Arrow("committed", "action"),
            Arrow("committed", "undone", "not\nconfirmed"),
            Arrow("committed", "buffer", "rollback", 20),
        ),
    ),
}


def drawn(picture: Picture) -> str:
    """Return a picture as SVG."""
    boxes = picture.boxes.values()
    width = max(box.left for box in boxes) + _WIDTH + _MARGIN
    height = max(box.top for box in boxes) + _HEIGHT + _MARGIN
    parts = [
        _START.format(width=width, height=height, title=escape(picture.title)),
        f"<title>{escape(picture.title)}</title><style>{_STYLE}</style>",
        _HEAD,
        '<rect width="100%" height="100%" rx="8" fill="#ffffff"/>',
    ]
    at = picture.boxes
    lines = [_arrow(at[each.start], at[each.end], each) for each in picture.arrows]
    parts += [line for line, _ in lines]
    for box in boxes:
        parts += _box(box)
    for _, label in lines:
        parts += label
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(box: Box) -> Iterator[str]:
    yield (
        f'<rect class="b" x="{box.left:g}" y="{box.top:g}" width="{_WIDTH}" height="{_HEIGHT}"'
        f' rx="6" fill="{_FILLS[box.kind]}"/>'
    )
    yield from _text(box.text, box.left + _WIDTH / 2, box.top + _HEIGHT / 2, "")


def _text(text: str, x: float, y: float, style: str) -> Iterator[str]:
    lines = text.split("\n") if text else []
    first = y + 4.5 - _LINE * (len(lines) - 1) / 2
    for number, line in enumerate(lines):
        yield f'<text{style} x="{x:g}" y="{first + number * _LINE:g}">{escape(line)}</text>'


def _arrow(start: Box, end: Box, arrow: Arrow) -> tuple[str, list[str]]:
    """Return the line from edge to edge, bent to its left by so many pixels, and its label."""
    x1, y1, x2, y2 = _edges(start, end)
    length = max(1.0, ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
    # The normal of the line, for bends that do not lie over each other.
    nx, ny = (y2 - y1) / length, -(x2 - x1) / length
    cx, cy = (x1 + x2) / 2 + nx * arrow.bend * 2, (y1 + y2) / 2 + ny * arrow.bend * 2
    line = f'<path d="M{x1:g} {y1:g}Q{cx:g} {cy:g} {x2:g} {y2:g}" marker-end="url(#a)"/>'
    lines = arrow.label.count("\n") + 1
    lift = 4 + _LINE * lines / 2 if abs(y2 - y1) < _HEIGHT else 0
    side = 0 if lift else 4 + 3.1 * max(map(len, arrow.label.split("\n")))
    x, y = (x1 + x2) / 2 + nx * arrow.bend + side, (y1 + y2) / 2 + ny * arrow.bend
    up = -lift if arrow.bend >= 0 or ny * arrow.bend < 0 else lift
    return line, list(_text(arrow.label, x, y + up, ' class="l"'))


def _edges(start: Box, end: Box) -> tuple[float, float, float, float]:
    dx, dy = end.left - start.left, end.top - start.top
    if abs(dx) >= _WIDTH:
        right = dx > 0
        return (
            start.left + (_WIDTH if right else 0),
            start.top + _HEIGHT / 2,
            end.left + (0 if right else _WIDTH),
            end.top + _HEIGHT / 2,
        )
    down = dy > 0
    return (
        start.left + _WIDTH / 2,
        start.top + (_HEIGHT if down else 0),
        end.left + _WIDTH / 2,
        end.top + (0 if down else _HEIGHT),
    )


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, picture in PICTURES.items():
        IMAGES.joinpath(f"{name}.svg").write_text(drawn(picture))
