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


@pytest.mark.parametrize(
    "secret",
    [
        "postgresql+psycopg2://staging:hunter22@db/staging",
        "https://bucket.example/o?X-Amz-Signature=hunter22&x=1",
        "Authorization: Bearer hunter22.hunter22",
        "stg_hunter22hunter22hunter22",
        "eyJhunter22.hunter22.hunter22",
        "password=hunter22",
        "{'password': 'hunter22'}",
        "token: hunter22",
    ],
)
def test_what_looks_like_a_secret_is_hidden(secret: str) -> None:
    assert "hunter22" not in logs.redact(f"it failed: {secret} and so on")


@pytest.mark.parametrize(
    "harmless",
    [
        "GET /api/v1.0/stagings 200 1.5 ms",
        "gs://bucket/board/R17-1.0.0/update.gz",
        "tokens were read anew",
        "http://archive:8080/a?",
    ],
)
def test_what_does_not_is_left_as_it_is(harmless: str) -> None:
    assert logs.redact(harmless) == harmless
