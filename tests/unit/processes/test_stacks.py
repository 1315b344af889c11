"""Memory for the stacks of an API process's threads."""

from staging_api.processes.api_worker import _STACK_BYTES


def test_a_stack_is_less_than_a_huge_page_by_a_little() -> None:
    assert (2 << 20) - (128 << 10) <= _STACK_BYTES < 2 << 20
    assert _STACK_BYTES % (64 << 10) == 0, "the pages of some processors are so large"
