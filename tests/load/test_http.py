"""The crowd's HTTP client against a server that is written out byte by byte."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.load.http import Client, Lost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nhi"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n6\r\n there\r\n0\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Gives one answer after the other; None breaks the connection off."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []
        self.n_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        try:
            while self._answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self._answers.pop(0)
                if answer is None:
                    break
                for byte in range(0, len(answer), 7):
                    writer.write(answer[byte : byte + 7])
                    await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(*answers: bytes | None) -> AsyncIterator[tuple[Server, Client]]:
    server = Server(answers)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}", {"Cookie": "a=b"})
    async with listener:
        yield server, client
        client.close()


@pytest.mark.asyncio
async def test_answers_of_all_forms_come_on_one_connection() -> None:
    async with served(KEPT, CHUNKED, EMPTY, KEPT) as (server, client):
        answers = [await client.get(f"/{index}", {"X-B": "2"}) for index in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 204, 200]
    assert [answer.text for answer in answers] == ["hi", "hi there", "", "hi"]
    assert answers[0].headers["x-a"] == "1"
    assert server.n_connections == 1
    assert server.requests[1].startswith(b"GET /1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nCookie: a=b\r\nX-B: 2\r\n\r\n" in server.requests[1]


@pytest.mark.asyncio
async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async with served(KEPT, KEPT, KEPT) as (server, client):
        await asyncio.gather(*(client.get("/") for _ in range(3)))
    assert server.n_connections == 3


@pytest.mark.asyncio
async def test_a_kept_connection_that_was_closed_is_no_failure_but_a_new_one_is() -> None:
    async with served(KEPT, None, KEPT, LAST, KEPT, LAST, None) as (server, client):
        for _ in range(5):
            assert (await client.get("/")).status == 200
        # The second request was sent twice; the fourth answer said that it is the last one.
        assert (len(server.requests), server.n_connections) == (6, 3)
        with pytest.raises(Lost):
            await client.get("/")


@pytest.mark.asyncio
async def test_a_server_that_is_gone_is_told() -> None:
    async with served() as (_, client):
        pass
    with pytest.raises(Lost):
        await client.get("/")
