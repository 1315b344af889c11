"""What an artifact is before it is staged: one entry of a catalogue."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from staging_api.errors import ArtifactAmbiguous
from staging_api.formats.extractors import EXTRACTORS, extractor_of
from staging_api.vocabulary.staging import Phase

#: The group of objects that are no entry of a catalogue, and how a request names one of them.
FILES, FILE_WORD = "files", "file:"
#: How a request names one member of an archive: ``member:OBJECT!/MEMBER``.
MEMBER_WORD, _INSIDE = "member:", "!/"
#: How a request names an object that is kept without its compression.
DECOMPRESSED_WORD = "decompressed:"
_SINGLE_WORDS = (FILE_WORD, MEMBER_WORD, DECOMPRESSED_WORD)
_ALL = "*"
_TOKEN = re.compile(r"\*\*|[*?]|\{(?P<word>[a-z]+)\}|\{(?P<choices>[^{}]*,[^{}]*)\}|.", re.DOTALL)
_WILDCARDS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}

#: What a catalogue says of several objects that fit, the first by default.
SEVERAL = ("refuse", "shortest")
#: So many names are shown of those that fit.
_SHOWN = 5
_GLOB_CHARACTERS = frozenset("*?{}[]")


@dataclass(frozen=True)
class Pattern:
    """A glob for names of source objects.

    ``*`` and ``?`` do not cross a ``/``, ``**`` does; ``{tar,zip}`` is one of these texts.
    ``{build}`` is the build's name; any other ``{word}`` is one run of characters without ``_``
    and ``/``, the same at each of its places: so ``a_{v}_{v}_*`` matches an update from a version
    to itself, not one between two versions. With `literal` no character of it is special. With
    `simple` it is a pattern of a client, matched in linear time: ``*`` crosses a ``/``, and there
    are no words in braces.
    """

    glob: str
    literal: bool = False
    simple: bool = False

    def matches(self, name: str, build: str) -> bool:
        """Whether the whole name fits."""
        return self._compiled(build).fullmatch(name) is not None

    def only_name(self, build: str) -> str | None:
        """The one name that fits; None if several could."""
        if self.literal:
            return self.glob
        # Taken out first: its braces are no choice, and a build's own characters are no glob.
        name = self.glob.replace("{build}", "")
        return None if set(name) & _GLOB_CHARACTERS else self.glob.replace("{build}", build)

    def _compiled(self, build: str) -> re.Pattern[str]:
        # `re` keeps the last few hundred compiled patterns, so a build costs one compilation.
        return re.compile(self._template.replace("\0", re.escape(build)))

    @cached_property
    def _template(self) -> str:
        """The glob as a regular expression, with a NUL where the build's name goes."""
        if self.simple:
            # In atomic groups, so that a glob of a client cannot make the match try all ways.
            return fnmatch.translate(self.glob)
        return re.escape(self.glob) if self.literal else _translated(self.glob, set())


@dataclass(frozen=True)
class Choice:
    """One way to get an artifact: which object, and what to take out of it.

    Attributes:
        pattern: names the object in the archive.
        excluding: excludes names that match `pattern`.
        several: which of several objects that fit is taken, where one is wanted: ``refuse`` none,
            ``shortest`` the one with the shortest name.
        extract: how it is unpacked: a name of `staging_api.formats.extractors`.
        only: members at or below one of these are taken; empty takes all.
        without: members at or below one of these are left out.
    """

    pattern: Pattern
    excluding: Pattern | None = None
    extract: str = "plain"
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    several: str = SEVERAL[0]

    @property
    def is_plain(self) -> bool:
        """Whether the object is kept as it is."""
        return not EXTRACTORS[self.extract].has_members

    @property
    def is_one_file(self) -> bool:
        """Whether one file comes out of each object."""
        return self.is_plain or EXTRACTORS[self.extract].one_file or len(self.only) == 1

    def find(self, names: Iterable[str], build: str) -> list[str]:
        """Every name that fits, the likeliest first: shortest, then in order."""
        found = [name for name in names if self._fits(name, build)]
        return sorted(found, key=lambda name: (len(name), name))

    def object_name(self, build: str) -> str | None:
        """The name of the only object that could fit; None if several could."""
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
    """What must vouch for an object before it is staged.

    It is one of four: `checksums`, which may have to be signed; `digests`; a `signature` of the
    object itself; or, without any of these, what is found beside the object (`beside`).

    Attributes:
        checksums: the object of the archive that lists digests; ``{object}`` is the name of the
            object that is verified.
        signature: the object that signs `checksums`, the same name if it is signed within itself;
            without `checksums` the object that signs the one that is verified.
        keys: public keys of which one must have signed: texts, or absolute paths.
        digests: the algorithm and the digest of each object, instead of a list in the archive.
        beside: which proof has to be there, under the names that publishers use: ``digest`` a
            sha256 or sha512 of it, or a signature; ``signature`` a signature by one of `keys`, of
            the object or of a list that has its digest.
    """

    checksums: str = ""
    signature: str | None = None
    keys: tuple[str, ...] = ()
    digests: tuple[tuple[str, tuple[str, str]], ...] = ()
    beside: str = ""

    @property
    def is_signed(self) -> bool:
        """Whether nothing passes but by a key, or by the catalogue's own word."""
        return bool(self.keys or self.digests)

    def names(self, object_name: str) -> tuple[str, str | None]:
        """The names of the list and of the signature, for one object."""
        signature = self.signature and self.signature.replace("{object}", object_name)
        return self.checksums.replace("{object}", object_name), signature


@dataclass(frozen=True)
class FittingChoice:
    """A choice that has objects in an archive.

    Attributes:
        objects: to fetch.
        passed_over: objects that fit as well, and are not fetched.
    """

    choice: Choice
    objects: list[str]
    passed_over: Sequence[str] = ()


@dataclass(frozen=True)
class ArtifactKind:
    """One entry of a catalogue: an artifact that a request can ask for.

    Attributes:
        name: what requests, tables and log lines call it.
        group: a word that stands for all entries that have it.
        phase: whether a request waits for it.
        choices: ways to get it, in order; the first whose object is there is taken.
        optional: whether it may be missing from the archive.
        every: take every object that fits, not only the likeliest.
        lands: where it goes below the build's folder: a file, or a folder if it ends in ``/``
            or is empty; ``{build}`` is the build's name.
        also: pairs of prefixes: a file directly below the first also appears below the second.
        aliases: further names for requests.
        brings: entries that a request gets as well which names this one.
        verify: what must vouch for its objects; None: nothing has to.
        limits: fields of `staging_api.formats.model.UnpackLimits` that hold for it instead of the
            service's, with their values.
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
        """Whether each choice names its object, without a glob."""
        return all(choice.object_name(build) is not None for choice in self.choices)

    def find(self, names: Iterable[str], build: str) -> list[str]:
        """The objects to fetch, out of all names of an archive; empty if it is not there.

        Raises:
            ArtifactAmbiguous: several fit, and one is wanted.
        """
        return next((way.objects for way in self.ways(names, build)), [])

    def ways(self, names: Iterable[str], build: str) -> Iterator["FittingChoice"]:
        """Yield the choices that have objects there, in order.

        Raises:
            ArtifactAmbiguous: several fit a choice, and one is wanted.
        """
        # Read once for each choice.
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
        """Whether it lands in one file, whose path is known before a byte of it is read."""
        return bool(self.lands) and not self.lands.endswith("/")

    def target(self, member: str, build: str) -> str:
        """Where a file goes, below the build's folder; `member` is its name as unpacked."""
        lands = self.lands.replace("{build}", build)
        return lands + member if lands.endswith("/") or not lands else lands

    def further_paths(self, path: str, build: str) -> list[str]:
        """Where the file at `path` appears as well."""
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
    """Whether a word of a request names objects of the archive, and no entry of a catalogue."""
    return word.startswith(_SINGLE_WORDS)


def plain_kind(name: str) -> ArtifactKind:
    """The kind for an object that a request names itself: fetched as it is, under its own name.

    A name with ``*`` that no object has stands for all objects that fit.
    """
    choice = Choice(Pattern(name, literal=True))
    if _ALL in name:
        choices = (choice, Choice(Pattern(name, simple=True)))
        return ArtifactKind(f"{FILE_WORD}{name}", FILES, "foreground", choices, every=True)
    return ArtifactKind(f"{FILE_WORD}{name}", FILES, "foreground", (choice,), lands=name)


def member_kind(text: str) -> ArtifactKind | None:
    """The kind for a member that a request names itself, or for all (``*``); None if it names none.

    It lands below a folder that is named like the object, with an exclamation mark behind it.
    """
    name, _, member = text.partition(_INSIDE)
    if not name or not member:
        return None
    only = () if member == _ALL else (member,)
    choice = Choice(Pattern(name, literal=True), extract=extractor_of(name), only=only)
    lands = f"{name}{_INSIDE}"
    return ArtifactKind(f"{MEMBER_WORD}{text}", FILES, "foreground", (choice,), lands=lands)


def decompressed_kind(name: str) -> ArtifactKind:
    """The kind for an object that a request names itself, kept without its compression."""
    choice = Choice(Pattern(name, literal=True), extract="decompressed")
    lands = f"{name}!decompressed"
    return ArtifactKind(f"{DECOMPRESSED_WORD}{name}", FILES, "foreground", (choice,), lands=lands)


def _translated(glob: str, seen: set[str]) -> str:
    """Return a glob as a regular expression; `seen` are the words that already have a group."""

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
