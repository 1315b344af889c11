"""Two services with nearly all settings different answer a random sequence of requests alike."""

from pathlib import Path

import pytest

from tests.databases import Migrated
from tests.differential.journey import compare
from tests.differential.worlds import FEWEST

STEPS = 40


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1])
def test_services_of_all_configurations_answer_alike(
    seed: int, tmp_path: Path, migrated: Migrated
) -> None:
    if found := compare(FEWEST, seed, STEPS, tmp_path, migrated):
        pytest.fail("\n".join(found))
