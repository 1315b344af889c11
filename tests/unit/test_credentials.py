"""Tokens: the forms in which a request may contain them."""

from base64 import b64encode

import pytest

from staging_api.errors import Unauthenticated
from staging_api.identity.bearer import bearer
from staging_api.identity.model import Principal


def name_of(given: str | None) -> str | None:
    """Return the caller for a header; each token is the name of its caller."""
    identify = bearer(lambda token: Principal(token, frozenset()))
    found = identify({} if given is None else {"HTTP_AUTHORIZATION": given})
    return found.name if found else None


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "given", ["Bearer stg_1", "bearer  stg_1 ", basic("apt:stg_1"), basic(":stg_1")]
)
def test_a_token_comes_as_a_bearer_or_as_a_password(given: str):
    assert name_of(given) == "stg_1"


def test_without_the_header_no_credential_was_sent():
    assert name_of(None) is None


@pytest.mark.parametrize("given", ["stg_1", "Digest x", "Bearer", basic("stg_1"), "Basic ####"])
def test_any_other_form_is_refused(given: str):
    with pytest.raises(Unauthenticated):
        name_of(given)


def test_a_password_that_is_no_text_is_refused():
    with pytest.raises(Unauthenticated, match="base64"):
        name_of(f"Basic {b64encode(bytes([0xFF, 0x3A, 0xFE])).decode()}")
