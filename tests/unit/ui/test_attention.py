"""Lines of the page Now about processes, the store, the signing key and APT archives."""

from datetime import UTC, datetime

import pytest

from staging_api.heartbeats.model import SeenProcess
from staging_api.publishing.model import ArchiveAttention
from staging_api.staging.counts import CountsPage
from staging_api.ui import attention
from staging_api.vocabulary.publishing import AttentionKind

NOW = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


def counts(to_do: dict[str, int] | None = None) -> CountsPage:
    return CountsPage([], None, None, {}, to_do or {})


def process(name: str, kind: str = "api", *, alive: bool = True) -> SeenProcess:
    fields = dict.fromkeys(SeenProcess.__dataclass_fields__)
    return SeenProcess(**{**fields, "name": name, "kind": kind, "alive": alive})  # type: ignore[arg-type]


def said_of(seen: list[SeenProcess], work: CountsPage) -> list[str]:
    return [each.sentence for each in attention._of_processes(seen, work)]


def test_work_without_a_worker_and_processes_that_are_gone_need_a_person() -> None:
    waits = counts(to_do={"pending": 2, "staging": 1})
    api, worker = process("pod-1"), process("worker-1", "worker")
    lost = process("worker-2", "worker", alive=False)
    no_worker = "No worker is seen, and 3 artifacts to stage"
    assert said_of([api], waits) == [no_worker]
    assert said_of([api, worker], waits) == said_of([api], counts()) == []
    assert said_of([api, lost], waits) == [no_worker, "1 process not seen: worker-2"]
    gone = [process(f"pod-{each}", alive=False) for each in range(5)]
    assert said_of([worker, *gone], waits) == ["5 processes not seen: pod-0, pod-1, pod-2"]


@pytest.mark.parametrize(
    ("share", "lost", "said"),
    [
        (0.9, 0, []),
        (0.904, 0, [("The store is 90% full", None)]),
        (0.1, 2, [("Contents of packages are lost: upload the packages again", 2)]),
    ],
)
def test_a_store_above_nine_tenths_and_lost_packages_need_a_person(
    share: float, lost: int, said: list[tuple[str, int | None]]
) -> None:
    found = list(attention._of_store(share, lost))
    assert [(each.sentence, each.count) for each in found] == said
    assert {each.href for each in found} <= {"/ui/store"}


def test_a_key_that_expires_needs_a_person() -> None:
    assert list(attention._of_key(None)) == []
    (found,) = attention._of_key("The signing key AAAA expires at noon")
    assert found.sentence == "The signing key AAAA expires at noon: extend or replace it"


def item(
    kind: AttentionKind, archive: str = "tools", run_id: str | None = None
) -> ArchiveAttention:
    return ArchiveAttention(archive, kind, 3, NOW, run_id)


def test_items_of_archives_lead_to_their_archive_or_run_worst_first() -> None:
    given = [item("decision", "a b"), item("run", run_id="R1"), item("validity")]
    found = list(attention._of_archives(given))
    assert [(each.place, each.href) for each in found] == [
        ("tools", "/ui/apt/tools"),
        ("tools", "/ui/publications/R1"),
        ("a b", "/ui/apt/a%20b"),
    ]
    assert {(each.count, each.since) for each in found} == {(3, NOW)}
    assert found[1].sentence.startswith("Publisher runs of tools did not succeed")


def test_at_most_ten_items_of_archives_are_lines() -> None:
    for many, last in ((10, "Uploads to tools"), (12, "Further items")):
        found = list(attention._of_archives([item("decision") for _ in range(many)]))
        assert len(found) == min(many, 11)
        assert found[-1].sentence.startswith(last)
    assert found[-1].count == 2
