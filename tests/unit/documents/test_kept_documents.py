"""Cache of documents: the most recently used ones within its size limit."""

from typing import Any, cast

import pytest

from staging_api.documents.contents import Contents
from staging_api.documents.renderings import Renderings
from staging_api.documents.stored import ContentRef, State
from staging_api.documents.text import dump, load_documents
from tests.document_sets import doc, policy

TEXT = dump([policy(), doc("one", 1)]).encode()


class ReadContents(Contents):
    """Contents with one text, which record each read."""

    def __init__(self) -> None:
        super().__init__(cast("Any", None), cast("Any", None))
        self.read: list[int] = []
        self.stored = TEXT

    def text(self, content_id: int) -> bytes:
        self.read.append(content_id)
        return self.stored


@pytest.fixture
def contents() -> ReadContents:
    return ReadContents()


def state(content_id: int, collection: str = "site") -> State:
    return {collection: ContentRef(content_id, f"digest {content_id}")}


def test_the_contents_that_were_used_last_are_kept(contents: ReadContents) -> None:
    kept = load_documents(TEXT, collection="site")
    for number in range(1, 2001):
        contents.keep(f"digest {number}", kept)
    assert contents.documents(state(1)) == list(kept)
    contents.keep("digest 2", kept)
    assert contents.read == []
    contents.keep("digest 2001", kept)
    contents.keep("digest 2002", kept)
    for content_id in (1, 2, 5, 2000, 2001, 2002):
        contents.documents(state(content_id))
    assert contents.read == []
    contents.documents(state(3))
    contents.documents(state(3))
    assert contents.read == [3]


def test_one_content_of_two_collections_is_read_for_each(contents: ReadContents) -> None:
    for collection in ("site", "site", "other"):
        found = contents.documents(state(1, collection))
        assert [each.collection for each in found] == [collection] * 2
    assert contents.read == [1, 1]


def test_the_content_that_gets_the_id_of_a_lost_one_is_not_taken_for_it(
    contents: ReadContents,
) -> None:
    """A failover to a standby that lacked the last commits assigns their ids again."""
    renderings = Renderings(contents)
    lost = {"site": ContentRef(7, "lost")}
    assert renderings.of(lost).rendering is not None
    contents.stored = dump([policy(), doc("one", 2)]).encode()
    found = renderings.of({"site": ContentRef(7, "new")}).rendering
    assert found is not None
    one = found.get("site/Thing/v1", "one")
    assert one is not None
    assert one.data == 2


def test_the_eight_renderings_that_were_used_last_are_kept(contents: ReadContents) -> None:
    renderings = Renderings(contents)
    made = {content_id: renderings.of(state(content_id)) for content_id in range(1, 9)}
    assert all(renderings.of(state(each)) is made[each] for each in range(2, 9))
    assert renderings.of(state(1)) is made[1]
    renderings.of(state(9))
    assert [each for each in range(3, 9) if renderings.of(state(each)) is not made[each]] == []
    assert renderings.of(state(1)) is made[1]
    assert renderings.of(state(2)) is not made[2]


def test_a_rendering_without_findings_is_what_the_next_check_builds_on(
    contents: ReadContents,
) -> None:
    renderings = Renderings(contents)
    first, second = renderings.of(state(1)), renderings.of(state(2))
    assert first.sound
    assert second.sound
    assert first.rendering is not None
    assert second.rendering is not None
    one = ("site/Thing/v1", "one")
    old, new = first.rendering.get(*one), second.rendering.get(*one)
    assert old is not None
    assert new is not None
    assert old.trace is new.trace  # not rendered again
