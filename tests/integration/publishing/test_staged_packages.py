"""Staged packages added to an archive without an upload, from packs as well."""

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.errors import NoSpace, NotFound
from staging_api.staging.packs import Packs, Written
from staging_api.staging.upkeep import StoreTerms
from tests.factories import ORIGIN
from tests.packages import control_text, deb
from tests.publisher import find, shop
from tests.rows import select
from tests.stagings import bench, packed

#: Packages by name: more than the minimum number of files in a pack.
PACKAGES = {
    f"suites/tool-{n}_1.0-1_amd64.deb": deb(control_text(f"tool-{n}", "1.0-1", "amd64"), Form.GZ)
    for n in range(20)
}
BELOW = "board/R17-1"


@pytest.mark.parametrize(("written", "in_packs"), [("yes", len(PACKAGES)), ("no", 0)])
def test_staged_packages_are_published_and_stay_when_what_was_staged_is_evicted(
    database: Database, database_url: str, tmp_path: Path, written: Written, in_packs: int
) -> None:
    taken = [name for name in PACKAGES if "tool-3_" in name or "tool-12_" in name]
    with (
        bench(database, database_url, tmp_path, packs=Packs(written)) as at,
        shop(database, database_url, tmp_path) as here,
    ):
        here.set_up()
        (artifact,) = at.stage(at.build(suites_tgz=packed(PACKAGES)), "suites").artifacts
        assert select(database, "SELECT count(*) FROM packed_files") == [(in_packs,)]
        to = here.intake.destination(here.name, "stable", "main")
        paths = [f"/static/{BELOW}/{name}" for name in taken]
        # Only bytes copied out of a pack need more space.
        terms = StoreTerms(quota_bytes=at.service.upkeep.space().used)
        full = replace(here.intake, upkeep=replace(at.service.upkeep, terms=terms))
        with pytest.raises(NoSpace) if in_packs else nullcontext():
            full.take_staged(to, paths, ORIGIN)
        uploads = here.intake.take_staged(to, paths, ORIGIN)
        assert [each.package for each in uploads] == ["tool-3", "tool-12"]
        with pytest.raises(NotFound, match="nothing is staged at"):
            here.intake.take_staged(to, [f"/static/{BELOW}/suites/none.deb"], ORIGIN)
        here.run()
        at.service.artifacts.evict(artifact.id, ORIGIN)
        at.tamper("UPDATE blobs SET doomed_at = clock_timestamp() WHERE doomed_at IS NOT NULL")
        at.service.upkeep.collect()
        assert here.names() == ["tool-12 1.0-1", "tool-3 1.0-1"]
        for name in ("tool-3", "tool-12"):
            path = f"pool/main/t/{name}/{name}_1.0-1_amd64.deb"
            assert here.served(path) == PACKAGES[f"suites/{name}_1.0-1_amd64.deb"]
        assert find(database, "pool/main/t/tool-4/tool-4_1.0-1_amd64.deb") is None


def test_a_staged_file_that_the_store_lost_is_no_upload(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    lost, whole = list(PACKAGES)[:2]
    with (
        bench(database, database_url, tmp_path, packs=Packs("no")) as at,
        shop(database, database_url, tmp_path) as here,
    ):
        here.set_up()
        at.stage(at.build(suites_tgz=packed(PACKAGES)), "suites")
        here.publisher.blobs.remove(hashlib.sha256(PACKAGES[lost]).hexdigest())
        to = here.intake.destination(here.name, "stable", "main")
        with pytest.raises(NotFound, match="the store has no blob"):
            here.intake.take_staged(to, [f"/static/{BELOW}/{n}" for n in (whole, lost)], ORIGIN)
        assert select(database, "SELECT 1 FROM uploads") == []
