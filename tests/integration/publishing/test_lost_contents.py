"""Pool contents that the store lost or damaged: recorded until the bytes are restored."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.errors import NotFound
from staging_api.staging import reconcile
from staging_api.staging.repository import check_rows
from staging_api.staging.scrub import Scrub
from staging_api.staging.upkeep import StoreTerms, Upkeep
from staging_api.store.folder_store import FolderStore
from tests import damage
from tests.packages import control_text, deb
from tests.publisher import Shop, shop
from tests.rows import select
from tests.stagings import Bench, bench

PACKAGE, OTHER = (deb(control_text(name), Form.GZ) for name in ("hello", "other"))
DIGEST, OTHER_DIGEST = (hashlib.sha256(raw).hexdigest() for raw in (PACKAGE, OTHER))
IN_POOL = "pool/main/{0}/{1}/{1}_1.0-1_amd64.deb"


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Yield an archive with two packages."""
    with shop(database, database_url, tmp_path) as made:
        made.set_up()
        made.upload(PACKAGE, OTHER)
        made.run()
        yield made


@pytest.fixture
def url(here: Shop, tmp_path: Path) -> str:
    assert here is not None
    return f"file://{tmp_path}/store"


@pytest.fixture
def builds(here: Shop, database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    """Yield a service that stages builds into the same store."""
    blobs = FolderStore(tmp_path / "store")
    with bench(database, database_url, tmp_path, blobs=blobs) as made:
        yield made


def upkeep_of(here: Shop) -> Upkeep:
    terms = StoreTerms(scrub_bytes_per_second=1 << 40, scrub_pause_seconds=-2)
    return Upkeep(here.database, here.publisher.locks, here.publisher.blobs, terms)


def noted(here: Shop) -> list[tuple[str, str]]:
    return select(here.database, "SELECT sha256, reason FROM lost_contents ORDER BY sha256")


def check_served(here: Shop) -> None:
    """Assert that both packages are served as they were uploaded."""
    assert here.served(IN_POOL.format("h", "hello")) == PACKAGE
    assert here.served(IN_POOL.format("o", "other")) == OTHER


def test_a_lost_pool_file_is_noted_until_it_is_back(here: Shop, url: str) -> None:
    path = damage.path_of(url, DIGEST)
    away = path.with_name("away")
    path.rename(away)
    for _ in range(2):
        assert reconcile.check(upkeep_of(here), DIGEST[:2]).lost == (DIGEST,)
        reconcile.check(upkeep_of(here), OTHER_DIGEST[:2])
        assert noted(here) == [(DIGEST, "lost")]
    # As after a restored backup of the volume.
    away.rename(path)
    assert reconcile.check(upkeep_of(here), DIGEST[:2]).lost == ()
    assert noted(here) == []
    check_served(here)


def test_a_damaged_pool_file_is_noted_and_an_upload_restores_it(here: Shop, url: str) -> None:
    damage.change(url, DIGEST, damage.flipped)
    for shard in (DIGEST[:2], OTHER_DIGEST[:2]):
        Scrub(upkeep_of(here), lambda _artifact: None).turn(shard)
    assert noted(here) == [(DIGEST, "corrupt")]
    assert here.served(IN_POOL.format("o", "other")) == OTHER
    with pytest.raises(NotFound):
        here.served(IN_POOL.format("h", "hello"))
    here.upload(PACKAGE)
    assert noted(here) == []
    check_served(here)


def test_lost_contents_of_builds_are_not_noted_for_the_pool(
    here: Shop, builds: Bench, url: str
) -> None:
    archive = builds.build("R17-1", payload_bin=b"of a build")
    builds.stage(archive, "payload")
    digest = hashlib.sha256(b"of a build").hexdigest()
    damage.change(url, digest, damage.removed)
    assert reconcile.check(upkeep_of(here), digest[:2]).lost == (digest,)
    assert noted(here) == []
    check_served(here)


def test_staging_a_build_restores_a_pool_file_that_it_shares(
    here: Shop, builds: Bench, url: str
) -> None:
    archive = builds.build("R17-1", payload_bin=PACKAGE)
    builds.stage(archive, "payload")
    damage.change(url, DIGEST, damage.cut)
    reconcile.check(upkeep_of(here), DIGEST[:2])
    assert noted(here) == [(DIGEST, "lost")]
    assert builds.rows("SELECT evict_reason FROM staged_artifacts") == [("lost",)]
    assert builds.stage(archive, "payload").state == "staged"
    reconcile.check(upkeep_of(here), DIGEST[:2])
    assert noted(here) == []
    check_served(here)


def test_the_content_of_a_pool_stays_counted_while_it_is_lost(here: Shop, url: str) -> None:
    """The row of the content must stay, because a file of the pool refers to it."""
    used = upkeep_of(here).space()
    damage.change(url, DIGEST, damage.removed)
    reconcile.check(upkeep_of(here), DIGEST[:2])
    upkeep_of(here).collect()
    with here.database.connect() as conn:
        assert check_rows.lost_count(conn) == 1
    assert upkeep_of(here).space() == used
