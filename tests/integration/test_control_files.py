"""Control files and texts of a build in responses: limits of their length."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.devserver.control_files import ControlFiles
from staging_api.errors import LimitExceeded, NotFound
from tests.stagings import Bench, bench, packed

BUILD = "board/R17-1"
LONGEST = bytes(8 << 20)
EIGHT = [f"{number}/control" for number in range(8)]
SUITES = {"whole": EIGHT, "more": [*EIGHT, "short/control"], "same": ["short/control"] * 2}
MEMBERS = {
    **{f"autotest/{path}": LONGEST for path in EIGHT},
    "autotest/test_suites/suite_to_control_file_map": json.dumps(SUITES).encode(),
    "autotest/longer/control": LONGEST + b"x",
    "autotest/short/control": b"short",
}


@pytest.fixture(name="at")
def _at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        made.stage(made.build(suites_tgz=packed(MEMBERS)), "suites")
        yield made


def test_a_text_of_8_mib_is_read_and_a_longer_one_is_refused(at: Bench) -> None:
    controls = ControlFiles(at.service.upkeep)
    assert controls.text(BUILD, "3/control") == LONGEST
    assert controls.text(BUILD, "short/control") == b"short"
    with pytest.raises(LimitExceeded, match="more than 8388608 bytes"):
        controls.text(BUILD, "longer/control")
    with pytest.raises(NotFound, match="no control file 9/control"):
        controls.text(BUILD, "9/control")


def test_texts_of_64_mib_are_one_answer_and_more_are_refused(at: Bench) -> None:
    controls, folder = ControlFiles(at.service.upkeep), f"{BUILD}/autotest/"
    found = controls.below(folder, lambda path: path[0].isdigit())
    assert sorted(found) == [f"{number}/control" for number in range(8)]
    assert sum(map(len, found.values())) == 64 << 20
    with pytest.raises(LimitExceeded, match="more than 67108864 bytes"):
        controls.below(folder, lambda path: path[0].isdigit() or path.startswith("short"))
    assert controls.below(folder, lambda path: path.startswith("short")) == {
        "short/control": "short"
    }


def test_texts_of_a_suite_are_one_answer_up_to_64_mib_and_more_are_refused(at: Bench) -> None:
    controls = ControlFiles(at.service.upkeep)
    assert {path: len(text) for path, text in controls.texts(BUILD, "whole").items()} == {
        path: len(LONGEST) for path in EIGHT
    }
    assert controls.texts(BUILD, "same") == {"short/control": "short"}
    for suite in ("more", None):
        with pytest.raises(LimitExceeded, match="more than 67108864 bytes"):
            controls.texts(BUILD, suite)
