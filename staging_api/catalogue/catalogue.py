"""Parse the catalogue: the artifacts that an archive can have, and how each is staged.

A catalogue is a YAML file that is read once, at start. Every error is raised then, with the line
and the reason, so that no request ever meets a bad entry.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from staging_api.catalogue.absence import nearest
from staging_api.catalogue.entry import CatalogueMapping, mapping_of
from staging_api.catalogue.model import (
    DECOMPRESSED_WORD,
    FILE_WORD,
    MEMBER_WORD,
    SEVERAL,
    ArtifactKind,
    Choice,
    Pattern,
    Verification,
    decompressed_kind,
    member_kind,
    plain_kind,
)
from staging_api.catalogue.verification import verification
from staging_api.errors import CatalogueInvalid, Invalid
from staging_api.formats.extractors import EXTRACTORS
from staging_api.vocabulary.staging import PHASES

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CHOICE_KEYS = {"pattern", "excluding", "extract", "only", "without", "several"}
_KIND_KEYS = {
    *("name", "group", "phase", "optional", "every", "lands", "also", "aliases", "brings"),
    *("verify", "limits"),
}
#: Keys of ``limits``, and the fields of `UnpackLimits` that they set.
_LIMITS = {
    "bytes": "total_bytes",
    "member_bytes": "member_bytes",
    "members": "members",
    "ratio": "ratio",
    "depth": "depth",
    "header_bytes": "header_bytes",
    "window_bytes": "window_bytes",
}
_ALL_KEYS = _CHOICE_KEYS | _KIND_KEYS | {"alternatives"}
# Limit of a catalogue's length: it may come with a request, and PyYAML parses it in pure Python.
_MAX_CHARACTERS = 1 << 18
# libyaml, if PyYAML was built with it: a tenth of the time, at each start.
_FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BUILTIN = files("staging_api.catalogue") / "builtin"
#: Built-in catalogue of a service without a configured one: a file that names another.
_UNNAMED = "default"


class Catalogue:
    """The artifacts that requests can name.

    Attributes:
        name: name of the built-in catalogue, or path of its file.
        default: names and groups for a request that names nothing.
    """

    def __init__(
        self,
        kinds: Sequence[ArtifactKind],
        default: Sequence[str],
        name: str = "catalogue",
        verify: Verification | None = None,
    ) -> None:
        """Take these kinds; `verify` states what must vouch for objects that requests name."""
        self.name = name
        self._verify = verify
        self.kinds = tuple(kinds)
        self.default = tuple(default)
        self._places = {kind.name: place for place, kind in enumerate(self.kinds)}
        self._by_word: dict[str, list[ArtifactKind]] = {}
        for kind in self.kinds:
            for word in dict.fromkeys((kind.group, kind.name, *kind.aliases)):
                self._by_word.setdefault(word, []).append(kind)

    @classmethod
    def load(cls, path: Path | None = None) -> "Catalogue":
        """Read a catalogue file; None reads the built-in default.

        Raises:
            CatalogueInvalid: with the file, the line and the reason.
        """
        if path is None:
            return cls.builtin(_UNNAMED)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise CatalogueInvalid(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise CatalogueInvalid(f"{path} is not a text in UTF-8") from None
        return cls.read(text, str(path), key_files=True)

    # Cached: catalogues in requests may name one of the built-in ones.
    @classmethod
    @cache
    def builtin(cls, name: str) -> "Catalogue":
        """Return the built-in catalogue with this name; `builtin_names` lists the names.

        Raises:
            CatalogueInvalid: there is no catalogue with this name.
        """
        if name not in (*builtin_names(), _UNNAMED):
            known = ", ".join(builtin_names())
            raise CatalogueInvalid(f"{name!r} is no built-in catalogue: these are {known}")
        text = (_BUILTIN / f"{name}.yaml").read_text(encoding="utf-8")
        return cls.read(text, name, loader=_FAST_LOADER)

    @classmethod
    def read(
        cls,
        text: str,
        called: str = "catalogue",
        *,
        key_files: bool = False,
        loader: Any = yaml.SafeLoader,
    ) -> "Catalogue":
        """Parse the text of a catalogue.

        Args:
            text: text that may have come with a request.
            called: name of the catalogue in errors.
            key_files: whether its keys may be files of this machine.
            loader: YAML loader; libyaml's crashes the process on an untrusted text that nests too
                deeply.

        Raises:
            CatalogueInvalid: with the line and the reason.
        """
        if len(text) > _MAX_CHARACTERS:
            raise CatalogueInvalid(f"{called} has more than {_MAX_CHARACTERS} characters")
        try:
            # Nodes instead of values: nodes know their lines, and texts such as ``no`` stay
            # unchanged.
            top = mapping_of(yaml.compose(text, Loader=loader), "the catalogue")
            return _catalogue(top, called, key_files=key_files)
        except CatalogueInvalid as error:
            raise CatalogueInvalid(f"{called}, {error.detail}") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise CatalogueInvalid(f"{called}, line {line}: {error.problem}") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise CatalogueInvalid(
                f"{called}, line {line}: YAML may not have the character U+{error.character:04X}"
            ) from None
        except yaml.YAMLError:
            raise CatalogueInvalid(f"{called}, line 1: is not YAML") from None
        except RecursionError:
            raise CatalogueInvalid(f"{called}, line 1: is nested too deeply") from None

    @property
    def needed(self) -> list[str]:
        """Artifacts that a complete build must have: the required ones of the default."""
        return [kind.name for kind in self.resolve() if not kind.optional]

    def resolve(self, words: Iterable[str] = ()) -> list[ArtifactKind]:
        """Return the kinds with these names, aliases and groups; without words, the default.

        ``file:NAME`` stands for the archive's object with that name, unchanged,
        ``member:NAME!/MEMBER`` for a member of the object (``*``: for all members), and
        ``decompressed:NAME`` for the object without its compression. Whatever the order of the
        words, the result has the order of the catalogue, then such objects, then their members.

        Raises:
            Invalid: field ``artifacts``; the message has the unknown word and the known ones.
        """
        found: dict[str, ArtifactKind] = {}
        for word in tuple(words) or self.default:
            kinds = self._kinds_of(word)
            found.update((kind.name, kind) for kind in kinds)
            if word == kinds[0].name:
                for other in kinds[0].brings:
                    found.update((kind.name, kind) for kind in self._kinds_of(other))
        return sorted(found.values(), key=self._place)

    def _place(self, kind: ArtifactKind) -> tuple[int, str]:
        return self._places.get(kind.name, len(self.kinds)), kind.name

    def _kinds_of(self, word: str) -> list[ArtifactKind]:
        if word.startswith(FILE_WORD):
            return [replace(plain_kind(word.removeprefix(FILE_WORD)), verify=self._verify)]
        if word.startswith(MEMBER_WORD):
            member = member_kind(word.removeprefix(MEMBER_WORD))
            if member is None:
                shape = f"{MEMBER_WORD}OBJECT!/MEMBER"
                raise Invalid.field("artifacts", f"{word!r} must be written {shape}")
            return [replace(member, verify=self._verify)]
        if word.startswith(DECOMPRESSED_WORD):
            kind = decompressed_kind(word.removeprefix(DECOMPRESSED_WORD))
            return [replace(kind, verify=self._verify)]
        if word not in self._by_word:
            known = ", ".join(sorted(self._by_word))
            (first, *_) = nearest(word, self._by_word)
            reason = f"{word!r} is none of {known}; {first} is nearest"
            raise Invalid.field("artifacts", reason)
        return self._by_word[word]


def builtin_names() -> list[str]:
    """Return the names of the built-in catalogues."""
    names = (file.name.removesuffix(".yaml") for file in _BUILTIN.iterdir())
    return sorted(name for name in names if name != _UNNAMED)


def _catalogue(top: CatalogueMapping, name: str, *, key_files: bool) -> Catalogue:
    top.refuse_keys_outside({"artifacts", "default", "same_as", "verify"})
    if other := top.text("same_as"):
        # Refuse `verify` beside it: its author would expect it to apply.
        top.refuse_keys_outside({"same_as"})
        if other not in builtin_names():
            raise top.wrong(f"same_as must be one of {', '.join(builtin_names())}", "same_as")
        return Catalogue.builtin(other)
    entries = top.entries("artifacts")
    verify = verification(top, key_files=key_files)
    kinds = [_kind(entry, verification(entry, key_files=key_files) or verify) for entry in entries]
    for number, (entry, kind) in enumerate(zip(entries, kinds, strict=True)):
        _check_words(entry, kind, kinds[:number] + kinds[number + 1 :])
    catalogue = Catalogue(kinds, top.texts("default") or [kinds[0].group], name, verify)
    # Checked here: an undefined word would fail the first request instead of the start.
    try:
        catalogue.resolve()
    except Invalid as error:
        raise top.wrong(f"default: {error.errors[0].message}", "default") from None
    for entry, kind in zip(entries, kinds, strict=True):
        try:
            catalogue.resolve([kind.name])
        except Invalid as error:
            raise entry.wrong(f"brings: {error.errors[0].message}", "brings") from None
    return catalogue


def _check_words(
    entry: CatalogueMapping, kind: ArtifactKind, others: Sequence[ArtifactKind]
) -> None:
    """Check that a word names one entry, one group, or the entries that share it as an alias."""
    names = {other.name for other in others}
    foreign_groups = {other.group for other in others} - {kind.group}
    if kind.name in names | foreign_groups:
        raise entry.wrong(f"{kind.name!r} is already the name of another entry or group", "name")
    if clash := sorted(set(kind.aliases) & (names | foreign_groups | {kind.group})):
        raise entry.wrong(f"{clash[0]!r} is already the name of another entry or group", "aliases")


def _kind(entry: CatalogueMapping, verify: Verification | None) -> ArtifactKind:
    entry.refuse_keys_outside(_ALL_KEYS)
    phase = entry.one_of("phase", PHASES)
    kind = ArtifactKind(
        name=entry.matching("name", _NAME),
        group=entry.matching("group", _NAME),
        phase=phase,
        choices=tuple(_choice(each) for each in entry.alternatives(_CHOICE_KEYS)),
        optional=entry.flag("optional"),
        every=entry.flag("every"),
        lands=entry.path("lands"),
        also=tuple(entry.path_pairs("also")),
        aliases=tuple(entry.texts("aliases")),
        brings=tuple(entry.texts("brings")),
        verify=verify,
        limits=tuple((_LIMITS[key], value) for key, value in entry.numbers("limits", _LIMITS)),
    )
    _check_landing(entry, kind)
    return kind


def _choice(entry: CatalogueMapping) -> Choice:
    excluding = entry.text("excluding")
    choice = Choice(
        pattern=Pattern(entry.required("pattern")),
        excluding=Pattern(excluding) if excluding else None,
        extract=entry.one_of("extract", tuple(EXTRACTORS), "plain"),
        only=tuple(entry.paths("only")),
        without=tuple(entry.paths("without")),
        several=entry.one_of("several", SEVERAL, SEVERAL[0]),
    )
    extractor = EXTRACTORS[choice.extract]
    if (choice.is_plain or extractor.one_file) and (choice.only or choice.without):
        members = [n for n, each in EXTRACTORS.items() if each.has_members and not each.one_file]
        names = " or ".join(members)
        raise entry.wrong(f"only and without select members: say extract: {names}")
    return choice


def _check_landing(entry: CatalogueMapping, kind: ArtifactKind) -> None:
    """Refuse a file as `lands` for several objects, or for an object that unpacks to many files."""
    if kind.lands and not kind.lands.endswith("/"):
        if kind.every:
            raise entry.wrong("every object that fits needs a folder to land in: end lands in /")
        if any(not choice.is_one_file for choice in kind.choices):
            raise entry.wrong("unpacked members need a folder, unless only names one member")
