"""Options of a run: each part may be careful by itself, or all parts together."""

from typing import Any

import pytest

from staging_api.publishing.run_model import Options, _Part

PARTS: tuple[_Part, ...] = ("publishing", "domination", "indices", "release")


def test_a_run_is_thorough_in_nothing_that_was_not_asked_for() -> None:
    options = Options()
    assert [options.wants(part) for part in PARTS] == [False] * 4
    assert not options.is_careful


@pytest.mark.parametrize("asked", PARTS)
def test_each_part_may_be_thorough_by_itself(asked: _Part) -> None:
    given: dict[str, Any] = {f"careful_{asked}": True}
    options = Options(**given)
    wanted = [part for part in PARTS if options.wants(part)]
    assert (wanted, options.is_careful) == ([asked], True)


def test_a_careful_run_is_thorough_in_all_parts() -> None:
    options = Options(careful=True)
    assert [options.wants(part) for part in PARTS] == [True] * 4
    assert options.is_careful
