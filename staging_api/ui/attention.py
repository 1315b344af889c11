"""What needs a person, besides failed stagings and locks: processes, the store, APT archives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from staging_api.heartbeats.model import SeenProcess
from staging_api.publishing.model import ArchiveAttention
from staging_api.publishing.signing_keys import expiry_warning
from staging_api.staging.counts import CountsPage
from staging_api.staging.store_report import lost_contents, used_share
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import counted
from staging_api.vocabulary.publishing import AttentionKind

#: Share of the store's space above which the pages show a warning.
FULL = 0.9
#: Maximum number of lines about archives: after an outage there may be one of each.
_ITEMS_SHOWN = 10


@dataclass(frozen=True)
class AttentionItem:
    """A line about something that needs a person.

    Attributes:
        place, href: name and path of the page that shows more.
        count: how many there are; None: the sentence says it.
    """

    sentence: str
    place: str
    href: str
    count: int | None = None
    since: datetime | None = None


def attention_items(
    deps: UiDependencies, seen: Sequence[SeenProcess], counts: CountsPage, now: datetime
) -> list[AttentionItem]:
    """Return what needs a person, worst first.

    Args:
        deps: the use cases.
        seen: the processes.
        counts: the work that is left to do.
        now: the time of the database.
    """
    return [
        *_of_processes(seen, counts),
        *_of_store(used_share(deps.api.stagings.upkeep), lost_contents(deps.api.stagings.upkeep)),
        *_of_key(expiry_warning(deps.api.publisher.builder.releaser.key, now)),
        *_of_archives(deps.api.archives.needing_attention()),
    ]


def _of_processes(seen: Sequence[SeenProcess], counts: CountsPage) -> Iterator[AttentionItem]:
    if counts.to_do and not any(each.alive and each.kind == "worker" for each in seen):
        waiting = counted(sum(counts.to_do.values()), "artifacts")
        yield AttentionItem(
            f"No worker is seen, and {waiting} to stage", "Processes", "/ui/processes"
        )
    lost = [each.name for each in seen if not each.alive]
    if lost:
        said = f"{counted(len(lost), 'processes')} not seen: {', '.join(lost[:3])}"
        yield AttentionItem(said, "Processes", "/ui/processes")


def _of_store(share: float, lost: int) -> Iterator[AttentionItem]:
    if share > FULL:
        yield AttentionItem(f"The store is {share:.0%} full", "Store", "/ui/store")
    if lost:
        said = "Contents of packages are lost: upload the packages again"
        yield AttentionItem(said, "Store", "/ui/store", lost)


def _of_key(warning: str | None) -> Iterator[AttentionItem]:
    if warning:
        yield AttentionItem(f"{warning}: extend or replace it", "APT archives", "/ui/apt")


def _of_archives(found: Sequence[ArchiveAttention]) -> Iterator[AttentionItem]:
    worst_first = sorted(found, key=lambda each: list(_SENTENCES).index(each.kind))
    for each in worst_first[:_ITEMS_SHOWN]:
        href = f"/ui/apt/{quote(each.archive, safe='')}"
        if each.run_id is not None:
            href = f"/ui/publications/{each.run_id}"
        said = _SENTENCES[each.kind].format(each.archive)
        yield AttentionItem(said, each.archive, href, each.count, each.since)
    more = len(found) - _ITEMS_SHOWN
    if more > 0:
        yield AttentionItem("Further items of APT archives", "APT archives", "/ui/apt", more)


#: Sentences by kind of item, worst first.
_SENTENCES: dict[AttentionKind, str] = {
    "validity": "Releases of {} are about to expire, and no worker renews them",
    "run": "Publisher runs of {} did not succeed, and no later one did their work",
    "unpublished": "Packages of {} were accepted more than a day ago, and are not published",
    "decision": "Uploads to {} wait for a decision",
}
