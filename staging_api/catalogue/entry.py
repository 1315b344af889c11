"""One mapping of a catalogue file, with errors that name the line."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import yaml

from staging_api.errors import CatalogueInvalid

Word = TypeVar("Word", bound=str)

# Nodes keep their line, but have no types: every value is a text.
_BOOLEANS = {"true": True, "false": False}
_MOST_DIGITS = 18


class CatalogueMapping:
    """The keys and values of one mapping."""

    def __init__(
        self, node: yaml.MappingNode, inherited: Mapping[str, yaml.Node] | None = None
    ) -> None:
        self._node = node
        self._values: dict[str, yaml.Node] = dict(inherited or {})
        own: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong(key, "a key must be a word")
            if key.value in own:
                raise _wrong(key, f"the key {key.value!r} must stand once in its mapping")
            own.add(key.value)
            self._values[key.value] = value

    def wrong(self, reason: str, key: str | None = None) -> CatalogueInvalid:
        """Return an error with `reason` and the line of this mapping, or of one of its keys."""
        return _wrong(self._values.get(key or "", self._node), reason)

    def refuse_keys_outside(self, known: Iterable[str]) -> None:
        """Raise `CatalogueInvalid` for a key that is not known in this mapping."""
        for key, _ in self._node.value:
            if key.value not in known:
                raise _wrong(key, f"{key.value!r} is none of {', '.join(sorted(known))}")

    def text(self, key: str) -> str:
        """Return the text of a key; empty if the key is absent."""
        node = self._values.get(key)
        return "" if node is None else _scalar(node, key)

    def required(self, key: str) -> str:
        """Return the text of a required key."""
        if not (text := self.text(key)):
            raise self.wrong(f"{key} is missing")
        return text

    def matching(self, key: str, shape: re.Pattern[str]) -> str:
        """Return the text of a required key that must match `shape`."""
        text = self.required(key)
        if shape.fullmatch(text) is None:
            raise self.wrong(f"{key} must look like {shape.pattern}", key)
        return text

    def one_of(self, key: str, allowed: tuple[Word, ...], default: str = "") -> Word:
        """Return the text of a key that must be one of a few words."""
        text = self.text(key) or default
        for word in allowed:
            if word == text:
                return word
        raise self.wrong(f"{key} must be one of {', '.join(allowed)}", key)

    def flag(self, key: str) -> bool:
        """Return true or false; false if the key is absent."""
        text = self.text(key) or "false"
        if text not in _BOOLEANS:
            raise self.wrong(f"{key} must be true or false", key)
        return _BOOLEANS[text]

    def texts(self, key: str) -> list[str]:
        """Return a list of texts; empty if the key is absent."""
        return [_scalar(node, key) for node in self._items(key)]

    def path(self, key: str) -> str:
        """Return a path below the build's folder, or an empty text."""
        text = self.text(key)
        self._check_path(key, text)
        return text

    def paths(self, key: str) -> list[str]:
        """Return a list of paths."""
        texts = self.texts(key)
        for text in texts:
            self._check_path(key, text)
        return texts

    def path_pairs(self, key: str) -> list[tuple[str, str]]:
        """Return pairs from a mapping of a path to one or several paths."""
        node = self._values.get(key)
        if node is None:
            return []
        pairs = mapping_of(node, key)
        found = [(first, second) for first in pairs.words() for second in pairs.texts(first)]
        for pair in found:
            for path in pair:
                self._check_path(key, path)
            if pair[0].endswith("/") != pair[1].endswith("/"):
                raise self.wrong(
                    f"{key} must pair a folder with a folder, or a file with a file", key
                )
        return found

    def mapping(self, key: str) -> "CatalogueMapping | None":
        """Return the mapping under a key; None if the key is absent."""
        node = self._values.get(key)
        return None if node is None else CatalogueMapping(_as_mapping(node, key))

    def numbers(self, key: str, known: Iterable[str]) -> list[tuple[str, int]]:
        """Return the pairs of a mapping from known words to integers; empty if it is absent."""
        node = self._values.get(key)
        if node is None:
            return []
        numbers = mapping_of(node, key)
        numbers.refuse_keys_outside(known)
        texts = [(word, numbers.text(word)) for word in numbers.words()]
        for word, text in texts:
            # `int` raises ValueError above 4300 digits.
            if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
                raise numbers.wrong(f"{word} must be a whole number", word)
        return [(word, int(text)) for word, text in texts]

    def words(self) -> list[str]:
        """The keys, in order."""
        return list(self._values)

    def entries(self, key: str) -> list["CatalogueMapping"]:
        """Return a list of mappings, with at least one."""
        found = [CatalogueMapping(_as_mapping(node, key)) for node in self._items(key)]
        if not found:
            raise self.wrong(f"{key} must list at least one entry", key)
        return found

    def alternatives(self, keys: set[str]) -> list["CatalogueMapping"]:
        """Return one entry for each alternative, which overrides its keys; or just this entry."""
        nodes = self._items("alternatives")
        own = [
            CatalogueMapping(_as_mapping(node, "an alternative"), self._values) for node in nodes
        ]
        for entry in own:
            entry.refuse_keys_outside(keys)
        return own or [self]

    def _items(self, key: str) -> list[yaml.Node]:
        node = self._values.get(key)
        if node is None:
            return []
        # A single text stands for a list with this text.
        if isinstance(node, yaml.ScalarNode) and node.value:
            return [node]
        if not isinstance(node, yaml.SequenceNode):
            raise _wrong(node, f"{key} must be a list")
        return list(node.value)

    def _check_path(self, key: str, text: str) -> None:
        segments = text.removesuffix("/").split("/") if text else []
        if (
            not text.isprintable()
            or "\\" in text
            or any(part in ("", ".", "..") for part in segments)
        ):
            raise self.wrong(f"{key} must be a path below the build's folder", key)


def mapping_of(node: yaml.Node | None, what: str) -> CatalogueMapping:
    """Return a node as a mapping.

    Raises:
        CatalogueInvalid: the node is something else.
    """
    return CatalogueMapping(_as_mapping(node, what))


def _as_mapping(node: yaml.Node | None, what: str) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(node, f"{what} must be a mapping of keys to values")
    return node


def _scalar(node: yaml.Node, key: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(node, f"{key} must be a text")
    return str(node.value)


def _wrong(node: yaml.Node | None, reason: str) -> CatalogueInvalid:
    line = node.start_mark.line + 1 if node is not None else 1
    return CatalogueInvalid(f"line {line}: {reason}")
