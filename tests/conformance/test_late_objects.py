"""Objects missing at first: the next request looks for them again, in every kind of source."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from staging_api.catalogue.catalogue import Catalogue
from staging_api.devserver.joining import Joining, WaiterSlots
from staging_api.errors import SourceFailed
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import Names, Source, SourceObject
from staging_api.sources.opening import open_archive
from staging_api.sources.url import ArchiveUrl
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.late_objects import MissingObjects
from tests.conformance import places
from tests.factories import ORIGIN
from tests.stagings import CATALOGUE, Bench, bench, packed

SOON = 60.0
EMPTY, FULL = packed({"other": b"x"}), packed({"wanted/a": b"a"})
OPTIONAL = """
  - name: some
    group: build
    phase: foreground
    optional: true
    pattern: some.tgz
    extract: tar
    only: [wanted]
  - name: many
    group: build
    phase: foreground
    optional: true
    every: true
    pattern: "logs/*.log"
"""


@dataclass
class Clock:
    """A fake clock for the look-ups."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Late:
    """A bench whose archive is in a place, with a count of the openings of that place."""

    at: Bench
    place: places.Place
    archive: str
    allowed: AllowList
    clock: Clock = field(default_factory=Clock)
    openings: int = 0

    @property
    def url(self) -> str:
        return f"{self.place.root}/{self.archive}"

    def opened(self, url: ArchiveUrl) -> Source:
        self.openings += 1
        return open_archive(url, self.allowed, self.place.options)

    def put(self, **objects: bytes) -> None:
        for name, content in objects.items():
            path = name.replace("__", "/").replace("_", ".")
            self.place.put(f"{self.archive}/{path}", content)

    def states(self, *names: str) -> dict[str, str]:
        return {each.name: each.state for each in self.at.stage(self.url, *names).artifacts}

    def is_answered_at_once(self, *names: str) -> bool:
        request = self.at.service.check_request(self.url, names)
        return self.at.service.nothing_left(request) is not None

    def rows(self) -> list[tuple[Any, ...]]:
        return self.at.rows(
            "SELECT id, version, staging_id, state FROM staged_artifacts ORDER BY 1"
        )


@pytest.fixture(scope="module", params=["file", "http", "s3", "gs"])
def place(request, tmp_path_factory) -> Iterator[places.Place]:
    folder = tmp_path_factory.mktemp("archives")
    runs: dict[str, Callable[[], AbstractContextManager[places.Place]]] = {
        "file": lambda: nullcontext(places.Folder(folder)),
        "http": places.web,
        "s3": places.s3,
        "gs": places.gcs,
    }
    with runs[request.param]() as running:
        yield running


@contextmanager
def over(place: places.Place, database, database_url, tmp_path, archive: str) -> Iterator[Late]:
    with bench(database, database_url, tmp_path) as made:
        allowed = AllowList.parse(place.root)
        late = Late(made, place, archive, allowed)
        service = replace(
            made.service,
            allowed=allowed,
            catalogues=Catalogues(Catalogue.read(CATALOGUE + OPTIONAL)),
            open_archive=late.opened,
        )
        late.at = replace(made, service=service)
        service.__dict__["late"] = MissingObjects(
            service.database, service.open_archive, place.options, late.clock
        )
        yield late


@pytest.fixture
def late(place, database, database_url, tmp_path, request) -> Iterator[Late]:
    name = request.node.name.partition("[")[0][-40:].replace("_", "-")
    with over(place, database, database_url, tmp_path, f"board/{name}") as made:
        made.put(payload_bin=b"payload")
        yield made


def test_an_object_that_was_uploaded_later_is_staged_by_the_next_request(late):
    assert late.states("payload", "notes") == {"payload": "staged", "notes": "missing"}
    before = late.rows()
    assert late.is_answered_at_once("payload", "notes")
    assert late.rows() == before
    late.put(notes_txt=b"notes")
    late.clock.now += SOON
    assert not late.is_answered_at_once("payload", "notes")
    assert late.states("payload", "notes") == {"payload": "staged", "notes": "staged"}
    late.clock.now += SOON
    assert late.is_answered_at_once("payload", "notes")


def test_a_found_object_stays_known_while_another_request_looks_again(late):
    answered: list[bool] = []

    def opened(url: ArchiveUrl) -> Source:
        if late.clock.now > 2 * SOON:
            answered.append(late.is_answered_at_once("payload", "notes"))
        found: Source = late.opened(url)
        return found

    service = late.at.service
    service.__dict__["late"] = MissingObjects(
        service.database, opened, late.place.options, late.clock
    )
    late.states("payload", "notes")
    late.put(notes_txt=b"notes")
    late.clock.now += 2 * SOON
    assert not late.is_answered_at_once("payload", "notes")
    late.clock.now += SOON
    assert not late.is_answered_at_once("payload", "notes")
    assert answered == [False]


def test_a_request_for_something_else_as_well_brings_it_too(late):
    late.put(suites_tgz=packed({"suites/control": b"x"}))
    assert late.states("payload", "notes")["notes"] == "missing"
    late.put(notes_txt=b"notes")
    assert late.states("payload", "notes", "suites")["notes"] == "staged"


def test_a_look_is_not_repeated_within_some_seconds(late):
    late.states("payload", "notes")
    before = late.openings
    for _ in range(5):
        assert late.is_answered_at_once("payload", "notes")
    assert late.openings == before + 1
    late.clock.now += SOON
    assert late.is_answered_at_once("payload", "notes")
    assert late.openings == before + 2


def test_a_container_without_the_members_is_read_again_only_in_another_version(late):
    late.put(some_tgz=EMPTY)
    assert late.states("payload", "some")["some"] == "missing"
    assert late.is_answered_at_once("payload", "some")
    late.put(some_tgz=FULL)
    late.clock.now += SOON
    assert not late.is_answered_at_once("payload", "some")
    assert late.states("payload", "some")["some"] == "staged"


def test_what_a_listing_or_a_manifest_did_not_name_is_found_when_it_grew(late):
    if not late.place.lists:
        late.put(UPLOADED=b"payload.bin\n")
    assert late.states("payload", "many")["many"] == "missing"
    assert late.is_answered_at_once("payload", "many")
    late.put(logs__a_log=b"a", logs__b_log=b"b")
    if not late.place.lists:
        late.put(UPLOADED=b"payload.bin\nlogs/a.log\nlogs/b.log\n")
    late.clock.now += SOON
    assert late.states("payload", "many")["many"] == "staged"


def test_clients_that_join_get_what_came_later(late):
    joining = Joining(late.at.service, late.at.service.watch, WaiterSlots(4), 30.0)
    request = joining.check_request(late.url, ["payload", "notes"], 0)
    joining.stage_all(late.at.service.check_request(late.url, ["payload"]), ORIGIN)
    late.states("payload", "notes")
    joining.stage(request, ORIGIN)
    assert late.at.rows("SELECT count(*) FROM stagings") == [(2,)]
    late.put(notes_txt=b"notes")
    late.clock.now += SOON
    joining.queue(request, ORIGIN)
    assert late.states("notes") == {"notes": "staged"}


def test_a_source_that_is_away_changes_nothing(late):
    late.states("payload", "notes")
    late.clock.now += SOON

    def fails(_url: Any) -> Any:
        raise SourceFailed("away")

    late.at.service.late._open_archive = fails
    assert late.is_answered_at_once("payload", "notes")


def test_a_silent_source_is_not_waited_for(database, database_url, tmp_path):
    ended = threading.Event()
    with (
        places.web() as place,
        over(place, database, database_url, tmp_path, "board/silent") as late,
    ):
        late.put(payload_bin=b"payload")
        late.states("payload", "notes")

        class Silent:
            url = late.url
            close = ended.set

            def names(self) -> Names:
                return Names([self.stat("any").name])

            @contextmanager
            def open(
                self, found: SourceObject, start: int = 0, end: int | None = None
            ) -> Iterator[Iterator[bytes]]:
                yield iter([])

            def stat(self, _name: str) -> SourceObject:
                ended.wait(SOON)
                raise SourceFailed("was closed")

        late.at.service.__dict__["late"] = MissingObjects(
            late.at.database, lambda _url: Silent(), place.options
        )
        assert late.is_answered_at_once("payload", "notes")
        assert ended.is_set()
