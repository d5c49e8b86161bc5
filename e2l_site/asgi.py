"""The ASGI application: pages over HTTP, live updates over WebSockets."""

from __future__ import annotations

import asyncio
import os
import warnings
from typing import TYPE_CHECKING

import django
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import close_old_connections

from e2l_site import monitoring

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
# Whitenoise reads files synchronously; Django hands them to a thread, which is what is wanted.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")

#: Requests that a process answers at the same time: fewer than there are connections to the
#: database, of which live pages need some, and more than a core can compute.
N_AT_A_TIME = 5


class Handler(ASGIHandler):
    """Django's handler, which answers a request in one thread, and only so many at a time.

    Django goes from the event loop to a thread and back for each middleware that can do both, and
    begins with all requests at once. All views here are synchronous: when many people ask, their
    threads would only wait for one another, and for connections to the database until time is up.
    """

    def __init__(self) -> None:
        super().__init__()
        self._turns = asyncio.Semaphore(N_AT_A_TIME)

    def load_middleware(self, is_async: bool = False) -> None:
        """Load all of them as what runs in the request's thread."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Answer when it is the request's turn; who has gone by then is not answered.

        Whether the process lives, for which nobody else is asked, needs no turn: one that is busy
        is not one that is lost.
        """
        if request.path_info == monitoring.HEALTH:
            return await sync_to_async(self._answer)(request)
        async with self._turns:
            return await sync_to_async(self._answer)(request)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not response.streaming:
            # However long the network takes for the answer, it needs no connection any more.
            close_old_connections()
        return response


# Loads the models, which the consumers behind the routes import.
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter  # noqa: E402

from e2l_site.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": Handler(), "websocket": websocket_application})
