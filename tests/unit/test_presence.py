"""Presence of objects by name: requests to the source, and their number."""

from typing import Any

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.errors import ArchiveNotFound, ArtifactNotFound, SourceFailed, SourceRefused
from staging_api.staging.presence import Presence


class Source:
    """Source with some objects, which records lookups; for other names it raises `absent`."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.absent: Exception = ArtifactNotFound("absent")
        self.asked: list[str] = []

    def stat(self, name: str) -> None:
        self.asked.append(name)
        if name not in self.names:
            raise self.absent

    def new(self) -> list[str]:
        """Return the lookups since the last call."""
        asked, self.asked = self.asked, []
        return asked


def kind(*patterns: str) -> ArtifactKind:
    choices = tuple(Choice(Pattern(pattern)) for pattern in patterns)
    return ArtifactKind("thing", "build", "foreground", choices)


def presence(source: Any) -> Presence:
    return Presence(source, "R17")


def test_the_first_choice_that_is_there_is_the_object() -> None:
    source = Source("b-R17", "c", "d")
    looks = presence(source)
    assert looks.find(kind("a", "b-{build}", "c")) == "b-R17"
    assert source.new() == ["a", "b-R17"]
    assert looks.find(kind("d")) == "d"
    assert looks.find(kind("e", "f")) is None
    assert source.new() == ["d", "e", "f"]
    assert looks.seen == {"b-R17", "d"}


def test_each_name_is_asked_for_once_until_the_absent_ones_are_forgotten() -> None:
    source = Source("b")
    looks = presence(source)
    for _ in range(2):
        assert looks.find(kind("a", "b")) == "b"
    assert source.new() == ["a", "b"]
    source.names.add("a")
    looks.forget_absent()
    assert looks.find(kind("a", "b")) == "a"
    assert looks.find(kind("b")) == "b"
    assert source.new() == ["a"]


def test_a_name_of_a_list_is_there_without_a_question() -> None:
    source = Source()
    assert presence(source).find(kind("a", "b"), ["x", "b"]) == "b"
    assert source.new() == ["a"]


@pytest.mark.parametrize("pattern", ["*.bin", "../a", "/etc/passwd"])
def test_a_name_with_a_glob_or_out_of_the_archive_is_not_asked_for(pattern: str) -> None:
    source = Source(pattern, "b")
    assert presence(source).find(kind(pattern, "b")) is None
    assert source.new() == []


def test_from_an_archive_that_is_absent_nothing_else_is_asked() -> None:
    source = Source("b", "c")
    looks = presence(source)
    source.absent = ArchiveNotFound("no archive")
    assert looks.find(kind("a", "b")) is None
    assert looks.find(kind("c")) is None
    assert source.new() == ["a"]
    looks.forget_absent()
    assert looks.find(kind("a", "b")) is None
    source.absent = ArtifactNotFound("absent")
    looks.forget_absent()
    assert looks.find(kind("a", "b")) == "b"
    assert source.new() == ["a", "a", "b"]


def test_a_refusal_is_an_absence_and_is_remembered_for_what_it_was_about() -> None:
    source = Source("c")
    looks = presence(source)
    source.absent = refused = SourceRefused("403")
    assert looks.find(kind("a", "b", "c")) == "c"
    assert source.new() == ["a", "b", "c"]
    assert looks.find(kind("b")) is None
    assert source.new() == []
    assert looks.refusal(kind("x", "b")) is refused
    assert looks.refusal(kind("c")) is None
    assert looks.refusal(kind("*")) is None


def test_a_source_that_does_not_answer_is_asked_again() -> None:
    source = Source("a")
    looks = presence(source)
    source.absent = SourceFailed("away")
    with pytest.raises(SourceFailed):
        looks.find(kind("b"))
    source.names.add("b")
    assert looks.find(kind("b")) == "b"
