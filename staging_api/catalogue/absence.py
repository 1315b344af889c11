"""Explain why an artifact was not found: its pattern, and the most similar existing names."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import islice

from staging_api.catalogue.model import ArtifactKind, Choice
from staging_api.formats.names import has_unsafe_character

#: Limit of compared names in a large archive, as the comparison takes quadratic time.
_MOST_COMPARED = 200
_MOST_READ = 20_000
_SHOWN = 3
_LONGEST_NAME = 120


def absent_object(kind: ArtifactKind, names: Sequence[str], archive: str) -> str:
    """Return the message that no object of an archive fits any choice of an artifact."""
    if kind.choices[0].pattern.literal:
        what = f"{kind.name} is not in {archive}"
    else:
        patterns = " or ".join(map(_pattern, dict.fromkeys(kind.choices)))
        what = f"{kind.name} is not in {archive}: no object fits {patterns}"
    if not names and archive.endswith("/"):
        return f"{what}; the root of a bucket is not listed"
    globs = [choice.pattern.glob for choice in kind.choices]
    return f"{what}; {_neighbours(globs, names, 'object')}"


def absent_member(
    kind: ArtifactKind, choice: Choice, object_name: str, members: Sequence[str]
) -> str:
    """Return the message that an object has no member which a choice of an artifact selects."""
    what = f"{object_name} has nothing of {kind.name}"
    if choice.only:
        what += f": no member is or is below {' or '.join(choice.only)}"
    return f"{what}; {_neighbours(choice.only, members, 'member')}"


def nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """Return the few names that are most similar to the wanted one, the most similar first."""
    pieces = _pieces(wanted)
    read = list(islice(names, _MOST_READ))
    shared = sorted(read, key=lambda name: -len(pieces & _pieces(name)))[:_MOST_COMPARED]
    # `SequenceMatcher` analyses `b` once and caches that, so `b` is the name that is compared with
    # all others.
    matcher = SequenceMatcher(b=wanted.lower())

    def likeness(name: str) -> float:
        matcher.set_seq1(name.lower()[:_LONGEST_NAME])
        return matcher.ratio()

    return sorted(shared, key=lambda name: (-likeness(name), name))[:_SHOWN]


def _pattern(choice: Choice) -> str:
    if choice.excluding is None:
        return _plain(choice.pattern.glob)
    return _plain(f"{choice.pattern.glob} (without {choice.excluding.glob})")


def _neighbours(wanted: Iterable[str], names: Sequence[str], noun: str) -> str:
    if not names:
        return f"there is no {noun} at all"
    found = dict.fromkeys(name for text in wanted for name in nearest(text, names))
    shown = list(found or dict.fromkeys(names))[:_SHOWN]
    near = ", ".join(_plain(name[:_LONGEST_NAME]) for name in shown)
    return f"nearest of {len(names)} {noun}{'s' if len(names) > 1 else ''}: {near}"


def _plain(text: str) -> str:
    """Return a text without characters that control a terminal."""
    return ascii(text) if has_unsafe_character(text) else text


def _pieces(name: str) -> set[str]:
    return set("".join(c if c.isalnum() else " " for c in name.lower()).split())
