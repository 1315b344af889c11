"""Long random sequences of requests: services of every configuration answer them alike."""

import random
from pathlib import Path

import pytest

from tests.databases import Migrated
from tests.differential.journey import compare
from tests.differential.worlds import SHAPES

STEPS = 80


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("journey", range(2))
def test_services_of_all_configurations_answer_alike(
    journey: int, tmp_path: Path, migrated: Migrated
) -> None:
    seed = random.randrange(1 << 32)
    if found := compare(SHAPES, seed, STEPS, tmp_path, migrated):
        pytest.fail("\n".join(found))
