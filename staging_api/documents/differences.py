"""Differences between two sets of documents, by collection, document and path.

Documents are compared by digest first, then value by value; lists are aligned by `difflib`, like
lines of text. Secrets are compared by their values, but reported as changed without their values.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from enum import StrEnum
from typing import Any, NamedTuple

from staging_api.documents.model import Document, Identity, Path, canonical_json
from staging_api.documents.redaction import REDACTED, masked
from staging_api.documents.rendering.model import RenderedDocument
from staging_api.documents.text import dump

#: Lists with more elements than this are compared index by index, without alignment.
_ALIGNED = 200
#: Documents with more lines than this have no unified diff, as computing one is quadratic.
_LINES = 20_000


class ChangeKind(StrEnum):
    """Kind of a difference."""

    CREATED = "created"
    DELETED = "deleted"
    MODIFIED = "modified"


@dataclass(frozen=True, slots=True)
class PathChange:
    """A path whose value differs."""

    #: Path in the whole document; begins with ``metadata`` or ``data``.
    path: Path
    change: ChangeKind
    #: None if there is no value; the redaction mark if the value is or contains a secret.
    old: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """A document that differs."""

    collection: str
    document: Identity
    change: ChangeKind
    #: The paths that differ; only for a modified document.
    paths: tuple[PathChange, ...] = ()
    #: The previous collection of the document, if it was moved.
    moved_from: str | None = None
    #: Unified diff of the documents as YAML, with secrets masked.
    text: str = ""


#: Position of a document in a comparison: its collection, then its identity.
Position = tuple[str, Identity]


def compare(
    old: Iterable[Document | RenderedDocument],
    new: Iterable[Document | RenderedDocument],
    *,
    reveal: bool = False,
) -> tuple[DocumentChange, ...]:
    """Compare two sets of documents, both as posted or both rendered.

    Args:
        old: the documents before.
        new: the documents after.
        reveal: show secrets too, for callers who may see them.

    Returns:
        The documents that differ, ordered by collection, then by identity.
    """
    return tuple(differences(old, new, reveal=reveal))


def differences(
    old: Iterable[Document | RenderedDocument],
    new: Iterable[Document | RenderedDocument],
    *,
    reveal: bool,
    after: Position | None = None,
) -> Iterator[DocumentChange]:
    """Compare as `compare` does, but lazily, while the caller iterates.

    Args:
        old: the documents before.
        new: the documents after.
        reveal: show secrets too, for callers who may see them.
        after: start after this position; earlier documents are not compared.
    """
    before, there = _sides(old, reveal=reveal), _sides(new, reveal=reveal)
    places = sorted(((there.get(key) or before[key]).collection, key) for key in before | there)
    for collection, key in places:
        if after is not None and (collection, key.identity) <= after:
            continue
        change = _compared(key.identity, before.get(key), there.get(key))
        if change is not None:
            yield change


class _Key(NamedTuple):
    """A key that is unique in every revision, even in one that cannot be rendered."""

    identity: Identity
    replacement: bool


@dataclass(frozen=True, slots=True)
class _Side:
    """A document on one side of the comparison."""

    collection: str
    digest: str
    value: Mapping[str, Any]
    secret_paths: tuple[Path, ...]


def _sides(documents: Iterable[Document | RenderedDocument], *, reveal: bool) -> dict[_Key, _Side]:
    return dict(_side(each, reveal=reveal) for each in documents)


def _side(each: Document | RenderedDocument, *, reveal: bool) -> tuple[_Key, _Side]:
    if isinstance(each, RenderedDocument):
        posted, secrets = each.document, each.secret_paths
    else:
        posted, secrets = each, ((),) if each.encrypted else ()
    hidden = () if reveal else tuple(("data", *path) for path in secrets)
    key = _Key(posted.identity, posted.replacement)
    return key, _Side(posted.collection, each.digest, each.value, hidden)


def _compared(identity: Identity, old: _Side | None, new: _Side | None) -> DocumentChange | None:
    if old is not None and new is not None:
        moved = old.collection if old.collection != new.collection else None
        hidden = old.secret_paths + new.secret_paths
        paths = () if old.digest == new.digest else tuple(_changed_paths(old, new, hidden))
        if not paths and moved is None:
            return None
        text = _text(identity, old, new)
        return DocumentChange(new.collection, identity, ChangeKind.MODIFIED, paths, moved, text)
    text = _text(identity, old, new)
    if new is not None:
        return DocumentChange(new.collection, identity, ChangeKind.CREATED, text=text)
    collection = old.collection if old is not None else ""
    return DocumentChange(collection, identity, ChangeKind.DELETED, text=text)


def _text(identity: Identity, old: _Side | None, new: _Side | None) -> str:
    hidden = tuple(path for side in (old, new) if side for path in side.secret_paths)
    before, after = _lines(old, hidden), _lines(new, hidden)
    if max(len(before), len(after)) > _LINES:
        return ""
    names = [f"{side.collection} {identity}" if side else "" for side in (old, new)]
    return "\n".join(unified_diff(before, after, names[0], names[1], lineterm=""))


def _lines(side: _Side | None, hidden: Iterable[Path]) -> list[str]:
    # Omit the first line, which is `---` in every document.
    return dump([masked(side.value, hidden)]).splitlines()[1:] if side else []


def _changed_paths(old: _Side, new: _Side, hidden: tuple[Path, ...]) -> Iterator[PathChange]:
    seen: set[Path] = set()
    for path, change, before, after in _places(old.value, new.value, ()):
        secret = next((each for each in hidden if path[: len(each)] == each), None)
        if secret is not None and secret != path:
            # Below a secret, even the keys are hidden.
            found = PathChange(secret, ChangeKind.MODIFIED, REDACTED, REDACTED)
        elif secret is not None or any(each[: len(path)] == path for each in hidden):
            found = PathChange(path, change, _mark(before), _mark(after))
        else:
            found = PathChange(path, change, before, after)
        # Report several changes inside one secret only once, as a change of the secret.
        if found.path not in seen:
            seen.add(found.path)
            yield found


def _mark(value: Any) -> Any:
    return None if value is None else REDACTED


_Place = tuple[Path, ChangeKind, Any, Any]


def _places(old: Any, new: Any, here: Path) -> Iterator[_Place]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _places_of_mapping(old, new, here)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _places_of_list(old, new, here)
    elif _differ(old, new):
        yield here, ChangeKind.MODIFIED, old, new


def _places_of_mapping(
    old: Mapping[str, Any], new: Mapping[str, Any], here: Path
) -> Iterator[_Place]:
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            yield (*here, key), ChangeKind.DELETED, old[key], None
        elif key not in old:
            yield (*here, key), ChangeKind.CREATED, None, new[key]
        else:
            yield from _places(old[key], new[key], (*here, key))


def _places_of_list(old: list[Any], new: list[Any], here: Path) -> Iterator[_Place]:
    """Align two lists; indexes are those of the new list, except for deleted elements."""
    for tag, old_start, old_end, new_start, new_end in _blocks(old, new):
        if tag == "equal":
            continue
        both = min(old_end - old_start, new_end - new_start)
        for step in range(both):
            below = (*here, new_start + step)
            yield from _places(old[old_start + step], new[new_start + step], below)
        for index in range(old_start + both, old_end):
            yield (*here, index), ChangeKind.DELETED, old[index], None
        for index in range(new_start + both, new_end):
            yield (*here, index), ChangeKind.CREATED, None, new[index]


def _blocks(old: list[Any], new: list[Any]) -> Iterable[tuple[str, int, int, int, int]]:
    if max(len(old), len(new)) > _ALIGNED:
        return [("replace", 0, len(old), 0, len(new))]
    # Compare the elements as texts: `difflib` uses them as keys of a mapping, and mappings are not
    # hashable. By default `difflib` also treats frequent elements of a long list as noise, and does
    # not align them.
    before, after = ([canonical_json(each) for each in side] for side in (old, new))
    return SequenceMatcher(None, before, after, autojunk=False).get_opcodes()


def _differ(old: Any, new: Any) -> bool:
    """Compare values and types: 1 and true differ here, but are equal in Python."""
    return type(old) is not type(new) or bool(old != new)
