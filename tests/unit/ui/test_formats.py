"""How pages write what they show."""

import pytest

from staging_api.ui.formats import counted


@pytest.mark.parametrize(
    ("count", "noun", "shown"),
    [
        (1, "blocks", "1 block"),
        (2, "blocks", "2 blocks"),
        (0, "index_files", "0 index files"),
        (1, "index_files", "1 index file"),
        (1, "accepted", "1 accepted"),
    ],
)
def test_a_number_has_its_noun_in_the_right_form(count: int, noun: str, shown: str) -> None:
    assert counted(count, noun) == shown
