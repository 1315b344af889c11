"""Entries of a catalogue: descriptions of artifacts before they are staged."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from staging_api.errors import ArtifactAmbiguous
from staging_api.formats.extractors import EXTRACTORS, extractor_of
from staging_api.vocabulary.staging import Phase

#: Group of objects that are no entries of a catalogue, and the form in which a request names one.
FILES, FILE_WORD = "files", "file:"
#: Form in which a request names one member of an archive: ``member:OBJECT!/MEMBER``.
MEMBER_WORD, _INSIDE = "member:", "!/"
#: Form in which a request names an object that is stored without its compression.
DECOMPRESSED_WORD = "decompressed:"
_SINGLE_WORDS = (FILE_WORD, MEMBER_WORD, DECOMPRESSED_WORD)
_ALL = "*"
_TOKEN = re.compile(r"\*\*|[*?]|\{(?P<word>[a-z]+)\}|\{(?P<choices>[^{}]*,[^{}]*)\}|.", re.DOTALL)
_WILDCARDS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}

#: Handling of several objects that fit; the first value is the default.
SEVERAL = ("refuse", "shortest")
#: Number of fitting names in a message.
_SHOWN = 5
_GLOB_CHARACTERS = frozenset("*?{}[]")


@dataclass(frozen=True)
class Pattern:
    """A glob for names of source objects.

    ``*`` and ``?`` do not cross a ``/``, ``**`` does; ``{tar,zip}`` is one of these texts.
    ``{build}`` is the build's name; any other ``{word}`` is a sequence of characters without ``_``
    and ``/``, the same at each occurrence: so ``a_{v}_{v}_*`` matches an update from a version to
    itself, not an update between two versions. With `literal` no character is special. With
    `simple` the pattern comes from a client and is matched in linear time: ``*`` crosses a ``/``,
    and braces have no meaning.
    """

    glob: str
    literal: bool = False
    simple: bool = False

    def matches(self, name: str, build: str) -> bool:
        """Return whether the whole name matches."""
        return self._compiled(build).fullmatch(name) is not None

    def only_name(self, build: str) -> str | None:
        """Return the only name that can match; None if several could."""
        if self.literal:
            return self.glob
        # Replaced first: its braces are no alternatives, and a build's own characters are no glob.
        name = self.glob.replace("{build}", "")
        return None if set(name) & _GLOB_CHARACTERS else self.glob.replace("{build}", build)

    def _compiled(self, build: str) -> re.Pattern[str]:
        # `re` caches the last few hundred compiled patterns, so a build costs one compilation.
        return re.compile(self._template.replace("\0", re.escape(build)))

    @cached_property
    def _template(self) -> str:
        """The glob as a regular expression, with a NUL in place of the build's name."""
        if self.simple:
            # Atomic groups prevent backtracking, which a client's glob could make exponential.
            return fnmatch.translate(self.glob)
        return re.escape(self.glob) if self.literal else _translated(self.glob, set())


@dataclass(frozen=True)
class Choice:
    """One way to get an artifact: the object, and the members to take out of it.

    Attributes:
        pattern: pattern of the object's name in the archive.
        excluding: pattern of names to exclude although they match `pattern`.
        several: handling of several fitting objects where one is wanted: ``refuse`` takes none,
            ``shortest`` takes the one with the shortest name.
        extract: extractor that unpacks the object: a name of `staging_api.formats.extractors`.
        only: paths at or below which members are taken; empty takes all.
        without: paths at or below which members are left out.
    """

    pattern: Pattern
    excluding: Pattern | None = None
    extract: str = "plain"
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    several: str = SEVERAL[0]

    @property
    def is_plain(self) -> bool:
        """Whether the object is stored unchanged."""
        return not EXTRACTORS[self.extract].has_members

    @property
    def is_one_file(self) -> bool:
        """Whether each object yields one file."""
        return self.is_plain or EXTRACTORS[self.extract].one_file or len(self.only) == 1

    def find(self, names: Iterable[str], build: str) -> list[str]:
        """Return every name that fits, the most probable first: the shortest, then in order."""
        found = [name for name in names if self._fits(name, build)]
        return sorted(found, key=lambda name: (len(name), name))

    def object_name(self, build: str) -> str | None:
        """Return the only object name that could fit; None if several could."""
        name = self.pattern.only_name(build)
        return name if name is not None and self._fits(name, build) else None

    def takes(self, member: str) -> bool:
        """Return whether this member of the object is selected."""
        selected = not self.only or any(_within(member, top) for top in self.only)
        return selected and not any(_within(member, top) for top in self.without)

    def _fits(self, name: str, build: str) -> bool:
        excluded = self.excluding is not None and self.excluding.matches(name, build)
        return self.pattern.matches(name, build) and not excluded


@dataclass(frozen=True)
class Verification:
    """Requirement for what must vouch for an object before it is staged.

    There are four kinds: `checksums`, which may have to be signed; `digests`; a `signature` of the
    object itself; or, without any of these, a proof beside the object (`beside`).

    Attributes:
        checksums: object of the archive that lists digests; ``{object}`` is the name of the object
            to verify.
        signature: object that signs `checksums`, or the same name if `checksums` contains its
            signature; without `checksums`, the object that signs the object to verify.
        keys: public keys, one of which must have signed: texts, or absolute paths.
        digests: algorithm and digest of each object, instead of a list in the archive.
        beside: the required proof, under the names that publishers use: ``digest``: a sha256 or
            sha512 of the object, or a signature; ``signature``: a signature by one of `keys`, of
            the object or of a list that has its digest.
    """

    checksums: str = ""
    signature: str | None = None
    keys: tuple[str, ...] = ()
    digests: tuple[tuple[str, tuple[str, str]], ...] = ()
    beside: str = ""

    @property
    def is_signed(self) -> bool:
        """Whether an object is accepted only by a key, or by a digest in the catalogue itself."""
        return bool(self.keys or self.digests)

    def names(self, object_name: str) -> tuple[str, str | None]:
        """Return the names of the list and of the signature for one object."""
        signature = self.signature and self.signature.replace("{object}", object_name)
        return self.checksums.replace("{object}", object_name), signature


@dataclass(frozen=True)
class FittingChoice:
    """A choice with objects in an archive that fit it.

    Attributes:
        objects: names of the objects to fetch.
        passed_over: names of objects that fit as well, and are not fetched.
    """

    choice: Choice
    objects: list[str]
    passed_over: Sequence[str] = ()


@dataclass(frozen=True)
class ArtifactKind:
    """One entry of a catalogue: an artifact that requests can name.

    Attributes:
        name: name in requests, tables and log lines.
        group: word that stands for all entries of this group.
        phase: whether a request waits for it.
        choices: ways to get it, in order; the first whose object exists is taken.
        optional: whether it may be missing from the archive.
        every: take every object that fits, not only the most probable one.
        lands: its path below the build's folder: a file, or a folder if the path ends in ``/`` or
            is empty; ``{build}`` is the build's name.
        also: pairs of prefixes: a file directly below the first also appears below the second.
        aliases: further names for requests.
        brings: entries that are added to each request for this one.
        verify: what must vouch for its objects; None: nothing.
        limits: fields of `staging_api.formats.model.UnpackLimits` that replace the service's, with
            their values.
    """

    name: str
    group: str
    phase: Phase
    choices: tuple[Choice, ...]
    optional: bool = False
    every: bool = False
    lands: str = ""
    also: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()
    brings: tuple[str, ...] = ()
    verify: Verification | None = None
    limits: tuple[tuple[str, int], ...] = ()

    def has_names(self, build: str) -> bool:
        """Return whether each choice names its object exactly, without a glob."""
        return all(choice.object_name(build) is not None for choice in self.choices)

    def find(self, names: Iterable[str], build: str) -> list[str]:
        """Return the objects to fetch, out of all names of an archive; empty if none fits.

        Raises:
            ArtifactAmbiguous: several objects fit, and one is wanted.
        """
        return next((way.objects for way in self.ways(names, build)), [])

    def ways(self, names: Iterable[str], build: str) -> Iterator["FittingChoice"]:
        """Yield the choices that have fitting objects, in order.

        Raises:
            ArtifactAmbiguous: several objects fit a choice, and one is wanted.
        """
        # A list, as each choice iterates over all names.
        names = list(names)
        for choice in self.choices:
            found = choice.find(names, build)
            if self.every or len(found) == 1:
                if found:
                    yield FittingChoice(choice, found)
            elif found:
                yield FittingChoice(choice, [self._only_one(choice, found)], found[1:])

    @property
    def is_one_file(self) -> bool:
        """Whether it becomes one file, whose path is known before any byte is read."""
        return bool(self.lands) and not self.lands.endswith("/")

    def target(self, member: str, build: str) -> str:
        """Return the path of a file below the build's folder; `member` is its name as unpacked."""
        lands = self.lands.replace("{build}", build)
        return lands + member if lands.endswith("/") or not lands else lands

    def further_paths(self, path: str, build: str) -> list[str]:
        """Return the further paths at which the file at `path` appears."""
        pairs = [[part.replace("{build}", build) for part in pair] for pair in self.also]
        return [
            second + path.removeprefix(first)
            for first, second in pairs
            if path == first or (first.endswith("/") and _is_directly_below(path, first))
        ]

    def _only_one(self, choice: Choice, found: list[str]) -> str:
        if choice.several == "shortest":
            return found[0]
        shown = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise ArtifactAmbiguous(
            f"{self.name} is one object, and {len(found)} fit {choice.pattern.glob}: {shown};"
            " name one as file:NAME, or let its entry of the catalogue say more by pattern,"
            " excluding or several"
        )


def is_single(word: str) -> bool:
    """Return whether a word of a request names objects of the archive, not a catalogue entry."""
    return word.startswith(_SINGLE_WORDS)


def plain_kind(name: str) -> ArtifactKind:
    """Return the kind for an object that a request names: fetched unchanged, under its own name.

    A name with ``*`` that no object has stands for all objects that match.
    """
    choice = Choice(Pattern(name, literal=True))
    if _ALL in name:
        choices = (choice, Choice(Pattern(name, simple=True)))
        return ArtifactKind(f"{FILE_WORD}{name}", FILES, "foreground", choices, every=True)
    return ArtifactKind(f"{FILE_WORD}{name}", FILES, "foreground", (choice,), lands=name)


def member_kind(text: str) -> ArtifactKind | None:
    """Return the kind for one member that a request names, or for all (``*``); None if invalid.

    Members are stored below a folder with the object's name and an exclamation mark.
    """
    name, _, member = text.partition(_INSIDE)
    if not name or not member:
        return None
    only = () if member == _ALL else (member,)
    choice = Choice(Pattern(name, literal=True), extract=extractor_of(name), only=only)
    lands = f"{name}{_INSIDE}"
    return ArtifactKind(f"{MEMBER_WORD}{text}", FILES, "foreground", (choice,), lands=lands)


def decompressed_kind(name: str) -> ArtifactKind:
    """Return the kind for an object that a request names, stored without its compression."""
    choice = Choice(Pattern(name, literal=True), extract="decompressed")
    lands = f"{name}!decompressed"
    return ArtifactKind(f"{DECOMPRESSED_WORD}{name}", FILES, "foreground", (choice,), lands=lands)


def _translated(glob: str, seen: set[str]) -> str:
    """Return a glob as a regular expression; `seen` has the words that already have a group."""

    def part(token: re.Match[str]) -> str:
        word, choices = token["word"], token["choices"]
        if choices is not None:
            return f"(?:{'|'.join(_translated(each, seen) for each in choices.split(','))})"
        if word is None:
            return _WILDCARDS.get(token[0]) or re.escape(token[0])
        if word == "build":
            return "\0"
        known = word in seen
        seen.add(word)
        return f"(?P={word})" if known else f"(?P<{word}>[^_/]+)"

    return "".join(part(token) for token in _TOKEN.finditer(glob))


def _within(member: str, top: str) -> bool:
    return member == top or member.startswith(top.removesuffix("/") + "/")


def _is_directly_below(path: str, folder: str) -> bool:
    return path.startswith(folder) and "/" not in path.removeprefix(folder)
