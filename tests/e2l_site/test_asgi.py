"""The handler of requests: real ASGI messages to the application's own class."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from e2l_site.asgi import N_AT_A_TIME, Handler
from evolution.views.streaming import streamed_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_lock = threading.Lock()
_may_end = threading.Event()
_now: list[str] = []
_most: list[int] = []
_threads: list[tuple[int, int]] = []
_made: list[int] = []


@login_not_required
def slow(request: HttpRequest) -> HttpResponse:
    with _lock:
        _now.append(request.path)
        _most.append(len(_now))
        _threads.append((request.META["thread"], threading.get_ident()))
    assert _may_end.wait(30)
    with _lock:
        _now.remove(request.path)
    return HttpResponse("done")


async def _two_pieces() -> AsyncIterator[bytes]:
    yield b"first "
    yield b"second"


def _slow_pieces() -> Iterator[bytes]:
    _made.append(threading.get_ident())
    yield b"first "
    _made.append(threading.get_ident())
    assert _may_end.wait(30)
    yield b"second"


@login_not_required
def in_pieces(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_two_pieces())


@login_not_required
def slow_file(request: HttpRequest) -> StreamingHttpResponse:
    return streamed_file(request, _slow_pieces(), content_type="text/plain", name="slow.txt")


@login_not_required
def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("this view is broken")


urlpatterns = [
    path("slow/", slow),
    path("pieces/", in_pieces),
    path("file/", slow_file),
    path("broken/", broken),
]


class NoteThread:
    """A middleware at the very outside, of the kind that can only be synchronous."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.META["thread"] = threading.get_ident()
        return self._get_response(request)


@pytest.fixture
def handler(settings: Any) -> Handler:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [f"{__name__}.NoteThread", *settings.MIDDLEWARE]
    for noted in (_now, _most, _threads, _made):
        noted.clear()
    _may_end.set()
    return Handler()


async def _request(handler: Handler, address: str) -> ApplicationCommunicator:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": address,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    asked = ApplicationCommunicator(handler, scope)
    await asked.send_input({"type": "http.request", "body": b"", "more_body": False})
    return asked


async def _answer(asked: ApplicationCommunicator) -> tuple[int, bytes]:
    start = await asked.receive_output(30)
    body = b""
    while True:
        part = await asked.receive_output(30)
        body += part.get("body", b"")
        if not part.get("more_body"):
            await asked.wait(30)
            return start["status"], body


async def _burst(handler: Handler, n_requests: int) -> list[tuple[int, bytes]]:
    _may_end.clear()
    asked = [await _request(handler, "/slow/") for _ in range(n_requests)]
    answers = [asyncio.create_task(_answer(one)) for one in asked]
    while len(_most) < N_AT_A_TIME:
        await asyncio.sleep(0.001)
    # Time for others to come in as well, if they may.
    await asyncio.sleep(0.1)
    _may_end.set()
    return await asyncio.gather(*answers)


@pytest.mark.django_db(transaction=True)
def test_a_burst_is_answered_a_few_at_a_time_each_in_one_thread(handler: Handler) -> None:
    answers = asyncio.run(_burst(handler, 4 * N_AT_A_TIME))
    assert answers == [(200, b"done")] * (4 * N_AT_A_TIME)
    assert max(_most) == N_AT_A_TIME
    assert all(of_middleware == of_view for of_middleware, of_view in _threads)


@pytest.mark.django_db(transaction=True)
def test_who_goes_away_before_the_turn_is_not_answered(handler: Handler) -> None:
    async def some_leave() -> None:
        _may_end.clear()
        stay = [await _request(handler, "/slow/") for _ in range(N_AT_A_TIME)]
        answers = [asyncio.create_task(_answer(asked)) for asked in stay]
        while len(_most) < N_AT_A_TIME:
            await asyncio.sleep(0.001)
        gone = [await _request(handler, "/slow/") for _ in range(10)]
        for asked in gone:
            await asked.send_input({"type": "http.disconnect"})
            await asked.wait(30)
        _may_end.set()
        assert await asyncio.gather(*answers) == [(200, b"done")] * N_AT_A_TIME
        # Their places are free again.
        assert await _answer(await _request(handler, "/slow/")) == (200, b"done")

    asyncio.run(some_leave())
    assert len(_most) == N_AT_A_TIME + 1


@pytest.mark.django_db(transaction=True)
def test_whether_the_process_lives_is_answered_while_others_wait(handler: Handler) -> None:
    async def ask() -> tuple[int, bytes]:
        _may_end.clear()
        asked = [await _request(handler, "/slow/") for _ in range(2 * N_AT_A_TIME)]
        answers = [asyncio.create_task(_answer(one)) for one in asked]
        while len(_most) < N_AT_A_TIME:
            await asyncio.sleep(0.001)
        found = await _answer(await _request(handler, "/healthz"))
        assert len(_now) == N_AT_A_TIME
        _may_end.set()
        await asyncio.gather(*answers)
        return found

    status, body = asyncio.run(ask())
    assert (status, json.loads(body)) == (200, {"status": "alive"})


@pytest.mark.django_db(transaction=True)
def test_files_that_take_long_to_make_hold_up_nobody(handler: Handler) -> None:
    async def ask() -> tuple[tuple[int, bytes], list[tuple[int, bytes]]]:
        _may_end.clear()
        asked = [await _request(handler, "/file/") for _ in range(N_AT_A_TIME + 1)]
        answers = [asyncio.create_task(_answer(one)) for one in asked]
        while len(_made) < 2 * len(asked):
            await asyncio.sleep(0.001)
        page = await _answer(await _request(handler, "/pieces/"))
        _may_end.set()
        return page, await asyncio.gather(*answers)

    page, files = asyncio.run(asyncio.wait_for(ask(), 60))
    assert page == (200, b"first second")
    assert files == [(200, b"first second")] * (N_AT_A_TIME + 1)
    # Each is made in one thread, where its connection to the database is, and none beside it.
    assert sorted(_made.count(thread) for thread in set(_made)) == [2] * (N_AT_A_TIME + 1)


@pytest.mark.django_db(transaction=True)
def test_pieces_and_errors_reach_the_client(handler: Handler) -> None:
    async def both() -> tuple[tuple[int, bytes], tuple[int, bytes]]:
        pieces = await _answer(await _request(handler, "/pieces/"))
        return pieces, await _answer(await _request(handler, "/broken/"))

    pieces, (status, page) = asyncio.run(both())
    assert pieces == (200, b"first second")
    assert status == 500
    assert b"RuntimeError" not in page
