"""Middleware of the site."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import reverse

from e2l_site.errors import method_not_allowed
from evolution.services import audit, sharing
from evolution.services.sharing import SHARED_LINKS
from evolution.views.control import conflict
from evolution.views.guards import is_open_to
from simulations.learning_tasks import UnknownLearningTask

if TYPE_CHECKING:
    from collections.abc import Callable

_PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
)
#: The unspecified address, which no client has.
_UNKNOWN = "::"


class ErrorPages:
    """Give pages to what Django answers with an empty body or with "500 Server Error"."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not response.content:
            return method_not_allowed(request, response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Say what is missing where a record needs a learning task that was taken away."""
        if not isinstance(exception, UnknownLearningTask):
            return None
        message = (
            f"{exception} This page is about an experiment of a learning task that is not "
            "installed here any more. Name it in the setting E2L_LEARNING_TASKS and start e2l "
            "again; the experiment itself is kept."
        )
        return conflict(request, message, reverse("evolution:experiments"))


class RequestAddress:
    """Note in the audit log where a request came from.

    Behind a proxy the web server puts the client's address in the place of the proxy's, if it
    trusts the proxy (``FORWARDED_ALLOW_IPS``); headers are not looked at here. What the proxy says
    may be no address, which columns for addresses do not take: it counts as unknown. Failed
    sign-ins are counted for all unknown ones together.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        address = _address(request.META.get("REMOTE_ADDR", ""))
        request.META["REMOTE_ADDR"] = address or _UNKNOWN
        with audit.coming_from(address):
            response = self._get_response(request)
        response.headers.setdefault("Permissions-Policy", _PERMISSIONS_POLICY)
        if getattr(request, "user", None) and getattr(request.user, "shared_experiments", ()):
            response.headers["X-Robots-Tag"] = "noindex, nofollow"
        return response


def _address(text: str) -> str | None:
    """Return an IP address without the zone that IPv6 may have, None if it is none."""
    address = text.partition("%")[0]
    try:
        ip_address(address)
    except ValueError:
        return None
    return address


class SignInRequired(LoginRequiredMiddleware):
    """Send visitors to the sign-in page, except where a view is open to them."""

    def process_view(
        self, request: HttpRequest, view: Callable, arguments: tuple, options: dict
    ) -> HttpResponse | None:
        """Note what links have opened for the session, and let in whom the view is open to."""
        if links := request.session.get(SHARED_LINKS):
            request.user.shared_experiments = sharing.experiments_of_links(links)
        if not request.user.is_authenticated and is_open_to(request.user, view):
            return None
        return super().process_view(request, view, arguments, options)
