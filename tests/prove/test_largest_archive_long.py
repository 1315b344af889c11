"""Publishing the largest archive that the API accepts, also with short leases."""

from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.errors import Invalid
from staging_api.publishing import rules
from tests.apt_archive_series.promises import listed_in
from tests.packages import control_text, deb
from tests.publisher import shop

#: Maximum number of names in a request.
ARCHITECTURES = [f"a{number}" for number in range(100)]
COMPONENTS = [f"c{number}" for number in range(rules.MAX_PACKAGES_FILES // len(ARCHITECTURES))]
FORMS = ["plain", "gz", "xz", "zst"]


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_the_largest_archive_can_be_published(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with shop(database, database_url, tmp_path, lease_seconds=3) as here:
        parts = {"components": COMPONENTS, "architectures": ARCHITECTURES}
        here.set_up({"stable": parts}, forms=FORMS)
        with pytest.raises(Invalid, match="would be 10000"):
            here.change("stable", components=[f"c{number}" for number in range(100)])
        raw = deb(control_text("hello", "1.0", "all"), Form.GZ)
        here.upload(raw, component="c0", ending="udeb")
        first = here.run()
        files = listed_in(here.served("dists/stable/Release").decode())
        assert len(files) == len(FORMS) * (2 * rules.MAX_PACKAGES_FILES + len(COMPONENTS))
        assert first.counts["index_files"] == len(files)
        here.upload(raw, component="c1")
        assert here.run().counts["index_files"] == len(FORMS) * len(ARCHITECTURES)
        for run in (first, here.publisher.runs.page(limit=1).items[0]):
            seconds = {p.phase: (p.finished_at or p.started_at) - p.started_at for p in run.phases}
            print({phase: round(took.total_seconds(), 2) for phase, took in seconds.items()})
