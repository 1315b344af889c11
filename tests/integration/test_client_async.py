"""Features of the asynchronous client alone: many concurrent calls, and cancelled calls."""

import asyncio
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest

from staging_api.client import AsyncStagingClient, Pacing
from staging_api.errors import Invalid
from tests.scripted_service import STAGING_ID, in_turn, says, service, silent_until, staging

SOON = Pacing(floor_seconds=0.01, jitter=0)
MANY = 200


def test_many_waits_at_once_need_no_thread_each() -> None:
    arrived = threading.Semaphore(0)
    over = Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        arrived.release()
        over.wait(60)
        says(200, staging())(request)

    async def waits(url: str) -> int:
        async with AsyncStagingClient(url, pacing=SOON) as client:
            loop = asyncio.get_running_loop()
            before = threading.active_count()
            waiting = [asyncio.ensure_future(client.wait(STAGING_ID)) for _ in range(MANY)]
            # The service has a thread for each call: these are not the client's threads.
            # With a time limit: the thread would outlive a failed test, and the run would hang.
            all_at_once = await loop.run_in_executor(
                None, lambda: all(arrived.acquire(timeout=20) for _ in waiting)
            )
            ours = threading.active_count() - before - MANY
            over.set()
            assert all_at_once
            assert {each.state for each in await asyncio.gather(*waiting)} == {"staged"}
            return ours

    with service(lambda _: answer) as running:
        assert asyncio.run(waits(running.url)) <= 2


def test_a_call_that_is_cancelled_ends_its_request() -> None:
    asked, over = Event(), Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        asked.set()
        silent_until(over)(request)

    async def given_up(url: str) -> None:
        async with AsyncStagingClient(url, pacing=SOON) as client:
            call = asyncio.ensure_future(client.staging(STAGING_ID))
            await asyncio.to_thread(asked.wait, 30)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert (await client.staging(STAGING_ID)).state == "staged"

    with service(in_turn(silent, says(200, staging()))) as running:
        asyncio.run(given_up(running.url))
        over.set()


def test_a_download_that_is_cancelled_ends_its_thread(tmp_path: Path) -> None:
    etag = f'"{"0" * 64}"'
    begun, ended, over = Event(), Event(), Event()

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("ETag", etag)
        request.send_header("Content-Length", str(1 << 40))
        request.end_headers()
        try:
            while not over.is_set():
                request.wfile.write(bytes(1 << 16))
        except OSError:
            ended.set()
        request.close_connection = True

    async def given_up(url: str) -> None:
        async with AsyncStagingClient(url, pacing=SOON) as client:

            def told(_done: int, _total: int) -> None:
                begun.set()

            to = tmp_path / "big"
            call = asyncio.ensure_future(client.download("x", to, sha256="0" * 64, on_bytes=told))
            await asyncio.to_thread(begun.wait, 30)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(ended.wait, 30)
            assert not to.exists()

    with service(in_turn(endless)) as running:
        try:
            asyncio.run(given_up(running.url))
        finally:
            over.set()


def test_a_loop_goes_on_while_a_call_waits() -> None:
    asked, turns = Event(), 0

    def slow(request: BaseHTTPRequestHandler) -> None:
        asked.wait(30)
        says(200, staging())(request)

    async def both(url: str) -> int:
        nonlocal turns
        async with AsyncStagingClient(url, pacing=SOON) as client:
            call = asyncio.ensure_future(client.staging(STAGING_ID))
            for _ in range(10):
                await asyncio.sleep(0)
                turns += 1
            asked.set()
            await call
        return turns

    with service(in_turn(slow)) as running:
        assert asyncio.run(both(running.url)) == 10


def test_without_its_extra_the_client_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: Callable[[], AsyncStagingClient] = AsyncStagingClient
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)
    with pytest.raises(Invalid, match=r"staging_api\[async\]"):
        made()
