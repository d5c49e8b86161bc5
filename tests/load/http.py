"""A small HTTP client for many connections in one process: what it costs is not measured."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httptools

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_S = 60.0


class Lost(Exception):
    """The server has closed a connection, or none could be opened."""


@dataclass
class Answer:
    """What a server says; the names of its headers are in small letters."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._answer = Answer()
        self._body: list[bytes] = []
        self._done: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.is_open = False

    async def ask(self, request: bytes) -> Answer:
        self._answer, self._body = Answer(), []
        self._parser = httptools.HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._done

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._done is not None and not self._done.done():
            self._done.set_exception(Lost(str(exc or "closed")))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._transport.abort()
            if self._done is not None and not self._done.done():
                self._done.set_exception(Lost(str(error)))

    # --- called by the parser ---

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = self._answer.headers.get(key)
        self._answer.headers[key] = text if known is None else f"{known}, {text}"

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        self._answer.body = b"".join(self._body)
        if not self._parser.should_keep_alive():
            self.is_open = False
            self._transport.close()
        if self._done is not None and not self._done.done():
            self._done.set_result(self._answer)


class Client:
    """Asks one server, on as many connections as there are requests at the same time.

    Connections are kept for the next request. As with browsers, one that the server has closed
    meanwhile is not a failure: the request is sent once more on a new one.

    Parameters
    ----------
    url : str
        ``http://HOST:PORT``.
    headers : mapping of str to str
        Those of every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        own = {"Host": parts.netloc, "Accept": "*/*", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        self._free: deque[_Connection] = deque()

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to GET.

        Raises
        ------
        Lost
            If there is none.
        """
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        request = f"GET {path} HTTP/1.1\r\n{self._head}{more}\r\n".encode("latin-1")
        try:
            return await asyncio.wait_for(self._ask(request), _TIMEOUT_S)
        except TimeoutError:
            raise Lost(f"no answer in {_TIMEOUT_S:g} s") from None

    async def _ask(self, request: bytes) -> Answer:
        while self._free:
            connection = self._free.popleft()
            if not connection.is_open:
                continue
            try:
                return await self._ask_on(connection, request)
            except Lost:
                break
        return await self._ask_on(await self._connect(), request)

    async def _ask_on(self, connection: _Connection, request: bytes) -> Answer:
        try:
            answer = await connection.ask(request)
        except asyncio.CancelledError:
            connection.close()
            raise
        if connection.is_open:
            self._free.append(connection)
        return answer

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(_Connection, *self._address)
        except OSError as error:
            raise Lost(str(error)) from None
        return connection

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._free:
            self._free.popleft().close()
