"""Namespaces of the client: the same calls in both forms, and every error that they raise."""

import inspect
import re

import pytest

from staging_api import client
from staging_api.client import errors
from staging_api.client.async_client import AsyncArchives, AsyncDocuments, AsyncStagingClient
from staging_api.client.client import Archives, Documents, StagingClient
from staging_api.errors import StagingApiError

TWINS = [
    (StagingClient, AsyncStagingClient),
    (Archives, AsyncArchives),
    (Documents, AsyncDocuments),
]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("blocking", "asynchronous"), TWINS)
def test_both_clients_have_the_same_calls(blocking: type, asynchronous: type) -> None:
    assert public(blocking) - {"close"} == public(asynchronous) - {"aclose"}
    for name in public(blocking) - {"close"}:
        one, other = (inspect.unwrap(getattr(kind, name)) for kind in (blocking, asynchronous))
        assert one is other, f"{name} is not one call"
        assert one.__doc__, name


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    drawn: list[tuple[str, str]] = []
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([| `]*(?:-- )?)(\w+)  ", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn.append((found[2], above[depth - 1] if depth else "Exception"))
    named = {name for name, _ in drawn} | {"HeldLock", "FieldError"}
    assert named == set(errors.__all__)
    for name, parent in drawn:
        kind = getattr(errors, name)
        expected = "Unavailable" if name == "Unreachable" else parent
        assert kind.__base__.__name__ == expected, name


def test_whatever_a_client_may_raise_is_in_its_namespace() -> None:
    """According to the ``Raises:`` sections of the calls."""
    for kind, _ in TWINS:
        for name in public(kind):
            doc = inspect.getdoc(getattr(kind, name)) or ""
            said = re.findall(r"^    (\w+):", doc.partition("Raises:\n")[2], re.MULTILINE)
            assert set(said) <= {*errors.__all__, "OSError"}, name
    assert client.errors is errors


def test_the_errors_of_the_client_are_those_of_the_service() -> None:
    assert errors.StagingApiError is StagingApiError
