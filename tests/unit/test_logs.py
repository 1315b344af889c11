"""What log lines must not tell."""

import logging
from typing import Literal

import pytest

from staging_api import logs


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_names_lines_and_no_values(
    form: Literal["console", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure(form)
    try:
        password = "open sesame".replace(" ", "-")
        raise_with(password)
    except ValueError:
        logging.getLogger(__name__).exception("it failed")
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    told = capsys.readouterr().err
    assert "raise_with" in told
    assert "open-sesame" not in told


def raise_with(_password: str) -> None:
    raise ValueError("not good")
