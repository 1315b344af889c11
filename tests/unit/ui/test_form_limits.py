"""Forms of pages: maximum size, and refused bodies."""

import falcon
import pytest
from falcon.testing import create_environ

from staging_api.errors import Invalid, LimitExceeded
from staging_api.ui.answering import form_of
from staging_api.ui.screen import Form


def read(body: str, media: str = "application/x-www-form-urlencoded") -> Form:
    headers = {"Content-Type": media}
    return form_of(falcon.Request(create_environ(method="POST", headers=headers, body=body)))


def test_a_form_of_1100_fields_is_read_and_of_more_is_refused() -> None:
    assert read("&".join(["a=1"] * 1100)) == {"a": "\n".join(["1"] * 1100)}
    with pytest.raises(Invalid, match="is no form") as refused:
        read("&".join(["a=1"] * 1101))
    assert [each.field for each in refused.value.errors] == ["body"]


def test_a_form_of_256_kib_is_read_and_a_longer_one_is_refused() -> None:
    longest = "a=".ljust(256 << 10, "x")
    assert len(read(longest)["a"]) == (256 << 10) - 2
    with pytest.raises(LimitExceeded, match="at most 262144 bytes"):
        read(f"{longest}x")


@pytest.mark.parametrize(
    ("body", "field"), [("a=%ff", "body"), ("a=é", "body"), ("a=b%00c", "a"), ("a%00b=%00", "ab")]
)
def test_what_is_no_text_is_refused_by_its_field(body: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(body)
    assert [each.field for each in refused.value.errors] == [field]


def test_another_media_type_is_no_form() -> None:
    with pytest.raises(Invalid) as refused:
        read("a=1", "text/plain")
    assert [each.field for each in refused.value.errors] == ["Content-Type"]


def test_fields_are_stripped_and_line_ends_are_those_of_texts() -> None:
    assert read("a=+b%0D%0Ac+&d=&a=e") == {"a": "b\nc\ne", "d": ""}
