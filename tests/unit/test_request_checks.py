"""Checks of requests: a valid request is not checked again while it is remembered."""

from collections.abc import Sequence
from dataclasses import replace

from staging_api.catalogue.catalogue import Catalogue
from staging_api.sources.url import parse
from staging_api.staging.model import StagingRequest
from staging_api.staging.request_checks import RequestChecks

KIND = Catalogue.load().kinds[0]
URL = parse("https://archive.example/board/R17")


class Checks:
    """Check that accepts everything, and records its calls."""

    def __init__(self, *, kinds: int = 1, has_credential: bool = False) -> None:
        self.asked: list[str] = []
        self._kinds = (KIND,) * kinds
        self._url = replace(URL, has_credential=has_credential)

    def __call__(
        self, archive_url: str, artifacts: Sequence[str], upload_wait_seconds: float | None
    ) -> StagingRequest:
        self.asked.append(archive_url)
        return StagingRequest(self._url, self._kinds, upload_wait_seconds)


def times_asked(checks: Checks, archive_url: str, artifact: str = "a") -> int:
    """Return how often a request is checked that arrives twice."""
    remembered = RequestChecks(checks)
    for _ in range(2):
        remembered.checked(archive_url, [artifact], None)
    return len(checks.asked)


def test_each_different_request_is_checked_once() -> None:
    checks = Checks()
    remembered = RequestChecks(checks)
    for _ in range(2):
        for request in (("u", ["a"], None), ("u", ["b"], None), ("u", ["a"], 1.0), ("v", [], None)):
            assert remembered.checked(*request).upload_wait_seconds == request[2]
    assert checks.asked == ["u", "u", "u", "v"]


def test_a_request_with_a_credential_is_not_remembered() -> None:
    assert times_asked(Checks(has_credential=True), "u") == 2
    assert times_asked(Checks(), "u") == 1


def test_the_last_4096_are_remembered() -> None:
    checks = Checks()
    remembered = RequestChecks(checks)
    for number in range(4097):
        remembered.checked(str(number), ["a"], None)
    remembered.checked("1", ["a"], None)
    assert checks.asked[4097:] == []
    remembered.checked("0", ["a"], None)
    assert checks.asked[4097:] == ["0"]


def test_of_eight_mebibytes_each_counts_its_texts_and_its_artifacts() -> None:
    for kinds in (1, 3):
        # The URL counts twice, in the key and in the request.
        longest = "u" * (((8 << 20) - 1000 - 500 * kinds - 2) // 2)
        assert times_asked(Checks(kinds=kinds), longest, "ab") == 1
        assert times_asked(Checks(kinds=kinds), longest, "abc") == 2
