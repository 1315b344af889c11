"""Documents that name builds: a commit stages these builds, and a site action waits for them."""

from collections.abc import Iterator

import pytest

from staging_api.client import StagingClient
from staging_api.db.engine import Database
from staging_api.documents.validation.build_lists import BUILDS_SCHEMA
from staging_api.errors import Conflict
from tests.builds import build, build_path
from tests.documents import document, policy, stream
from tests.rows import select
from tests.service import Pod, eventually
from tests.source import ArchiveSource


@pytest.fixture
def site(pods: list[Pod]) -> Iterator[StagingClient]:
    with StagingClient(pods[0].url) as made:
        yield made


def naming(*archive_urls: str) -> bytes:
    """A collection that names the stateful partition of these builds."""
    builds = [{"archive_url": url, "artifacts": ["stateful"]} for url in archive_urls]
    return stream(policy(), document("builds", {"builds": builds}, schema=BUILDS_SCHEMA))


def test_a_commit_stages_the_builds_that_its_documents_name(
    site: StagingClient, source: ArchiveSource, rows: Database
) -> None:
    held, free = source.add(build_path(), build("held")), source.add(build_path(), build("free"))
    bystander = source.add(build_path(), build("bystander"))
    missing = f"{source.url}/{build_path()}"
    stop = source.hold(held, "stateful.tgz")
    site.documents.create("site", naming(held, free, "gs://elsewhere/b/c"), mode="replace")
    # A dry run looks, and stages nothing.
    looked = site.documents.commit(dryrun=True, stage=True)
    assert [each["state"] for each in looked["builds"]] == ["not_staged", "not_staged", "refused"]
    assert source.begun(held) == source.begun(free) == {}

    done = site.documents.commit(stage=True)
    assert [each["archive_url"] for each in done["builds"]] == [held, free, "gs://elsewhere/b/c"]
    assert {each["state"] for each in done["builds"][:2]} <= {"queued", "staging", "staged"}
    assert done["builds"][2]["state"] == "refused"
    assert "elsewhere" in done["builds"][2]["detail"]
    stop.wait_until_reached()

    # Without the refused build, the site action depends on the held build alone.
    site.documents.create("site", naming(held, free))
    site.documents.commit()
    with pytest.raises(Conflict) as refused:
        site.documents.site_action("success", require_staged=True)
    assert held in refused.value.detail
    eventually(lambda: _is_staged(rows, free), "the free build is not staged")
    with pytest.raises(Conflict) as refused:
        site.documents.site_action("success", require_staged=True)
    assert held in refused.value.detail
    assert free not in refused.value.detail
    # A site action that does not require staged builds does not wait.
    site.documents.site_action("failure")

    stop.release()
    eventually(lambda: _is_staged(rows, held), "the held build is not staged")
    site.documents.site_action("success", require_staged=True)
    scopes = {
        scope
        for (scope,) in select(
            rows, "SELECT scope FROM api_locks WHERE kind = 'archive' AND outcome = 'released'"
        )
    }
    assert {held, free} <= scopes
    assert source.begun(held) == source.begun(free) == {"stateful.tgz": 1}
    assert source.begun(bystander) == {}
    assert not select(
        rows, "SELECT FROM archives WHERE archive_url = ANY (:urls)", urls=[bystander, missing]
    )


def test_a_build_that_the_source_lacks_is_never_there(
    site: StagingClient, source: ArchiveSource, rows: Database
) -> None:
    there = source.add(build_path(), build("there"))
    lacking = f"{source.url}/{build_path()}"
    site.documents.create("site", naming(there, lacking), mode="replace")
    site.documents.commit(stage=True)
    eventually(lambda: _is_staged(rows, there), "the build is not staged")
    with pytest.raises(Conflict) as refused:
        site.documents.site_action("success", require_staged=True)
    assert lacking in refused.value.detail
    assert there not in refused.value.detail


def _is_staged(rows: Database, archive_url: str) -> bool:
    query = "SELECT FROM stagings WHERE archive_url = :url AND state = 'staged'"
    return bool(select(rows, query, url=archive_url))
