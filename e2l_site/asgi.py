"""The ASGI application: pages over HTTP, live updates over WebSockets."""

from __future__ import annotations

import asyncio
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING

import django
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries

from e2l_site import monitoring

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
# Whitenoise reads files synchronously; Django hands them to a thread, which is what is wanted.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")

#: Requests that a process answers at the same time: fewer than there are connections to the
#: database, of which live pages need some, and more than a core can compute.
N_AT_A_TIME = 5


class Handler(ASGIHandler):
    """Django's handler, which answers a request in one of a few threads that stay.

    Django starts a thread for each request, goes from the event loop to it and back for each
    middleware that can do both, and begins with all requests at once. All views here are
    synchronous: when many people ask, their threads would only wait for one another, and for
    connections to the database until time is up.
    """

    def __init__(self) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(N_AT_A_TIME, thread_name_prefix="request")
        # Whether the process lives, for which nobody else is asked, needs no turn: one that is
        # busy is not one that is lost.
        self._thread_of_health = ThreadPoolExecutor(1, thread_name_prefix="health")
        # What Django does at the beginning of a request is done in its thread.
        for receiver in (close_old_connections, reset_queries):
            request_started.disconnect(receiver)

    def load_middleware(self, is_async: bool = False) -> None:
        """Load all of them as what runs in the request's thread."""
        super().load_middleware(is_async=False)

    async def __call__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer a request, without the thread of its own that Django gives it."""
        await self.handle(scope, receive, send)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Answer when it is the request's turn; who has gone by then is not answered."""
        is_health = request.path_info == monitoring.HEALTH
        return await asyncio.get_running_loop().run_in_executor(
            self._thread_of_health if is_health else self._threads,
            copy_context().run,
            self._answer,
            request,
        )

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        reset_queries()
        close_old_connections()
        response = self.get_response(request)
        # However long the network takes for the answer, this thread needs no connection any more.
        close_old_connections()
        return response

    async def send_response(self, response: HttpResponseBase, send: ASGISendCallable) -> None:
        """Send an answer. What is made while it is sent is made in a thread of its own."""
        if not response.streaming:
            await super().send_response(response, send)
            return
        async with ThreadSensitiveContext():
            try:
                await super().send_response(response, send)
            finally:
                # There, so that the thread gives its connection to the database back.
                await sync_to_async(response.close)()


# Loads the models, which the consumers behind the routes import.
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter  # noqa: E402

from e2l_site.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": Handler(), "websocket": websocket_application})
