"""Files that are sent while they are made, so that none has to fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from django.http import HttpRequest

_PIECE_LENGTH = 2**16


def streamed_file(
    request: HttpRequest, pieces: Iterator[bytes], *, content_type: str, name: str
) -> StreamingHttpResponse:
    """Return the answer that sends pieces as a file to be saved."""
    # Served by ASGI, Django would collect all pieces of a plain iterator before it sends the first.
    # Requests of the API are wrapped, and have what theirs has.
    content = _in_turn(pieces) if hasattr(request, "scope") else pieces
    response = StreamingHttpResponse(content, content_type=content_type)
    response.headers["Content-Disposition"] = content_disposition_header(True, name)
    return response


def in_larger_pieces(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield texts together, so that not each line is sent by itself."""
    waiting: list[str] = []
    length = 0
    for text in texts:
        waiting.append(text)
        length += len(text)
        if length > _PIECE_LENGTH:
            yield "".join(waiting).encode()
            waiting, length = [], 0
    if waiting:
        yield "".join(waiting).encode()


async def _in_turn(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces, each made in the thread that the request has for its database connection."""
    make_next = sync_to_async(next)
    while (piece := await make_next(pieces, None)) is not None:
        yield piece
