"""Vocabulary: each set of words is defined once; each class name has one meaning."""

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

import staging_api
from staging_api import vocabulary
from staging_api.documents.buffering import BufferMode
from staging_api.documents.differences import ChangeKind
from staging_api.documents.model import StoragePolicy
from staging_api.publishing.index_model import FORM_OF
from staging_api.vocabulary import documents, publishing

PACKAGE = Path(staging_api.__file__).parent
_CLASS = re.compile(r"^ *class ([A-Za-z]\w*)[(\[:]", re.MULTILINE)
_TEXT = re.compile(r'"([^"\n]*)"')
_LIST_OF_TEXTS = re.compile(r'[(\[{]\s*(?:"[^"\n]*"\s*,\s*)+(?:"[^"\n]*"\s*)?[)\]}]')


@cache
def sets_of_words() -> dict[str, frozenset[str]]:
    """Return every set of the vocabulary, by module and name."""
    found = {}
    for module in pkgutil.iter_modules(vocabulary.__path__, f"{vocabulary.__name__}."):
        for name, kind in vars(importlib.import_module(module.name)).items():
            if words := get_args(kind):
                found[f"{module.name}.{name}"] = frozenset(words)
    return found


def second_lists(source: str) -> Iterator[str]:
    """Yield the sets of which a module repeats words: a list of two or more, without others."""
    for found in _LIST_OF_TEXTS.finditer(source):
        listed = set(_TEXT.findall(found[0]))
        for name, allowed in sets_of_words().items():
            if len(listed) > 1 and listed <= allowed:
                yield f"{source.count(chr(10), 0, found.start()) + 1}: {name}"


#: Literals that are no second copy of a set: the file, and the reason.
OTHERS = {
    "publishing/apt_archives.py": "the forms of an archive by default",
    "publishing/block_writer.py": "the forms in the order of their cost",
    "publishing/rows/indices.py": "the forms in the order in which they are preferred",
}


def test_no_module_lists_the_words_of_a_set_again() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{where}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name != "vocabulary" and str(path.relative_to(PACKAGE)) not in OTHERS
        for where in second_lists(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'State = Literal["held", "all"]',
        'STATES = ("pending", "staging")',
        'if reason in ["lost", "corrupt"]: pass',
        'ENDED = frozenset({"released", "expired"})',
    ],
)
def test_a_second_list_is_found_however_it_is_written(source: str) -> None:
    assert list(second_lists(source))


def test_a_list_of_something_else_is_not_one() -> None:
    assert not list(second_lists('NAMES = ("id", "state", "staged_at"); ONE = ("staged",)'))


@pytest.mark.parametrize(
    ("used", "words"),
    [
        (BufferMode, documents.BufferMode),
        (ChangeKind, documents.Change),
        (StoragePolicy, documents.StoragePolicy),
        (FORM_OF, publishing.IndexForm),
    ],
)
def test_enums_and_mappings_have_the_words_of_their_set(used: Iterable[str], words: object) -> None:
    assert tuple(used) == get_args(words)


#: Nouns of the service with a separate form in a client, or in a request or response body.
NOUNS = {
    "Failure",
    "HeldLock",
    "PublisherRun",
    "StagedArtifact",
    "StagedFile",
    "Staging",
    "StagingRequest",
    "Upload",
}


def test_a_class_name_has_one_meaning() -> None:
    homes = {
        (name, path) for path in PACKAGE.rglob("*.py") for name in _CLASS.findall(path.read_text())
    }
    often = {name for name, times in Counter(name for name, _ in homes).items() if times > 1}
    assert often == NOUNS
