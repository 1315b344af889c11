"""Artifacts side by side: which ones are kept apart, and by how many threads they are staged."""

import threading
from contextvars import ContextVar

import pytest

from staging_api.staging.side_by_side import by_objects, side_by_side


@pytest.mark.parametrize(
    ("artifacts", "groups"),
    [
        ({}, []),
        ({"a": "x", "b": "y"}, ["a", "b"]),
        ({"a": "", "b": ""}, ["a", "b"]),
        ({"a": "x", "b": "y", "c": "x"}, ["ac", "b"]),
        # Two groups become one by an artifact that needs objects of both; the order stays.
        ({"a": "x", "b": "y", "c": "z", "d": "zx"}, ["acd", "b"]),
        ({"a": "x", "b": "y", "c": "yz", "d": "xz"}, ["abcd"]),
    ],
    ids=str,
)
def test_artifacts_with_an_object_in_common_are_one_group(
    artifacts: dict[str, str], groups: list[str]
) -> None:
    assert ["".join(group) for group in by_objects(artifacts.items())] == groups


@pytest.mark.parametrize("free", [0, 1, 2, 9])
def test_no_more_threads_help_than_are_free_or_have_work(free: int) -> None:
    helpers, own, threads = threading.Semaphore(free), threading.get_ident(), set[int]()
    barrier = threading.Barrier(min(free, 2) + 1)

    def stage(item: int) -> None:
        threads.add(threading.get_ident())
        if item < barrier.parties:
            barrier.wait(timeout=10)

    assert side_by_side([[0], [1], [2]], stage, helpers) == []
    assert len(threads) == min(free, 2) + 1
    assert own in threads
    assert [helpers.acquire(blocking=False) for _ in range(free + 1)] == [*[True] * free, False]


def test_helpers_are_free_again_after_an_error() -> None:
    helpers, barrier = threading.Semaphore(1), threading.Barrier(2)

    def stage(item: int) -> None:
        barrier.wait(timeout=10)
        raise ValueError(item)

    errors = side_by_side([[0], [1], [2]], stage, helpers)
    assert sorted(map(str, errors)) == ["0", "1"]
    assert helpers.acquire(blocking=False)


def test_the_job_works_alone_if_the_system_has_no_thread_to_spare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    helpers, staged = threading.Semaphore(1), list[int]()
    assert side_by_side([[0, 1], [2]], staged.append, helpers) == []
    assert staged == [0, 1, 2]
    assert helpers.acquire(blocking=False)


def test_a_helper_works_in_the_context_of_the_job() -> None:
    of_job: ContextVar[str] = ContextVar("of_job", default="none")
    of_job.set("job")
    seen, barrier = list[str](), threading.Barrier(2)

    def stage(_item: int) -> None:
        barrier.wait(timeout=10)
        seen.append(of_job.get())

    side_by_side([[0], [1]], stage, threading.Semaphore(1))
    assert seen == ["job", "job"]
