"""WebSocket routes and who may use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, WebsocketDenier
from channels.sessions import SessionMiddlewareStack
from django.conf import settings
from django.urls import path, re_path

from evolution.consumers import ExperimentConsumer, ProbeConsumer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class SameOriginValidator:
    """Refuse WebSockets that a page of another origin opens.

    Cookies do not tell ports apart, so a page on another port of this host would come with the
    user's session. `AllowedHostsOriginValidator` compares host names only; this compares the
    origin's host and port with those that the request was sent to.
    """

    def __init__(self, application: Callable[..., Awaitable[Any]]) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> Any:
        """Pass on a connection of our own pages, deny any other."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        try:
            is_own = bool(host) and urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:  # It is no address at all.
            is_own = False
        is_trusted = is_own or origin in settings.CSRF_TRUSTED_ORIGINS
        application = self.application if is_trusted else WebsocketDenier()
        return await application(scope, receive, send)


websocket_application = SameOriginValidator(
    AllowedHostsOriginValidator(
        SessionMiddlewareStack(
            URLRouter(
                [
                    path("ws/experiments/<id:pk>/", ExperimentConsumer.as_asgi()),
                    path("ws/simulations/<id:pk>/", ProbeConsumer.as_asgi()),
                    # Without a last route Channels raises an exception for other addresses.
                    re_path("", WebsocketDenier.as_asgi()),
                ]
            )
        )
    )
)
