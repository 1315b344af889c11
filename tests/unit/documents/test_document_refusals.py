"""Refusals about documents: which are retryable."""

from staging_api.documents.refusals import BufferConflict, elsewhere, late, moved


def test_a_refusal_stays_unless_it_says_that_it_may_pass() -> None:
    for stays in (BufferConflict("a", "b"), elsewhere("a/B/v1", "n", "c"), late(7), moved("x", 7)):
        assert not stays.retryable
        assert stays.messages == ()
    assert BufferConflict("a", "b", retryable=True).retryable
