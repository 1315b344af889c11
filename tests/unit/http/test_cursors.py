"""Cursor of compared documents: its content, and refusal of other texts."""

import base64
import json

import pytest

from staging_api.documents.model import Identity
from staging_api.errors import Invalid
from staging_api.http.resources.document_differences import DifferencesCursor

WHOLE = [0, 12, "site", "shop/Rack/v1", "site", "rack-2"]


def encoded(parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize("numbers", [(0, 12), (11, 0), (3, 1)])
def test_a_cursor_is_read_as_it_was_written(numbers: tuple[int, int]) -> None:
    cursor = DifferencesCursor(*numbers, ("site", Identity("shop/Rack/v1", "site", "rack-2")))
    assert DifferencesCursor.parse(str(cursor)) == cursor
    assert str(cursor) == encoded([*numbers, *WHOLE[2:]])


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "ü", "[]", encoded({}), encoded(None), encoded([])),
        *(encoded([wrong, *WHOLE[1:]]) for wrong in (-1, True, False, 1.0, "1", None)),
        *(encoded([0, wrong, *WHOLE[2:]]) for wrong in (-1, True, False, 1.0, "1", None)),
        *(encoded([*WHOLE[:place], 7, *WHOLE[place + 1 :]]) for place in range(2, 6)),
        encoded(WHOLE[:-1]),
        encoded([*WHOLE, "more"]),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="after: must be the `next` of the page before"):
        DifferencesCursor.parse(text)
