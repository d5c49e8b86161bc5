"""What machines ask a web process: whether it lives, whether it can serve, how all fares.

These three addresses are answered before anything else looks at the request: a load balancer or
Prometheus comes without a session and calls the site by an address of its own, which is none of
``E2L_ALLOWED_HOSTS``.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse

if TYPE_CHECKING:
    from collections.abc import Callable

#: Where it is asked whether the process lives.
HEALTH = "/healthz"
_LOCAL = frozenset({"127.0.0.1", "::1"})


class Monitoring:
    """Answers /healthz, /readyz and /metrics."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        view = _VIEWS.get(request.path_info)
        if view is None:
            return self._get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        response = view(request)
        response.headers["Cache-Control"] = "no-store"
        return response


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that the process lives; asks nobody else."""
    return JsonResponse({"status": "alive"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether database, migrations and broker are there; 503 with reasons if not."""
    from e2l_site.readiness import unready

    reasons = unready()
    if reasons:
        return JsonResponse({"status": "not ready", "reasons": list(reasons)}, status=503)
    return JsonResponse({"status": "ready"})


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics of the installation, to whoever may know them."""
    if not _may_read_metrics(request):
        text = "E2L_METRICS_TOKEN as bearer token is needed.\n"
        response = HttpResponse(text, content_type="text/plain", status=401)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    from prometheus_client import CONTENT_TYPE_LATEST

    from e2l_site.metrics import exposition

    return HttpResponse(exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _may_read_metrics(request: HttpRequest) -> bool:
    token: str = settings.METRICS_TOKEN
    if token:
        given = request.headers.get("Authorization", "").encode()
        return secrets.compare_digest(given, f"Bearer {token}".encode())
    # Behind a proxy on this machine everybody may seem to come from here.
    is_behind_proxy = settings.SECURE_PROXY_SSL_HEADER is not None
    is_forwarded = any(name.startswith("X-Forwarded") for name in request.headers)
    return request.META.get("REMOTE_ADDR") in _LOCAL and not is_behind_proxy and not is_forwarded


_VIEWS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    HEALTH: healthz,
    "/readyz": readyz,
    "/metrics": metrics,
}
