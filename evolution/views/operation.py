"""The page for operators: workers, queues, what is stuck, versions; and what they can do."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evolution import operation
from evolution.errors import StateConflict
from evolution.services import orders
from evolution.services.couriers import queue_length
from evolution.services.evaluations import engine_version
from evolution.views.control import conflict
from evolution.views.guards import for_operators

if TYPE_CHECKING:
    from typing import Any


#: Rows of each list of what is stuck.
N_ROWS = 20
_ORDERS = {
    "drain": (orders.drain, "The workers of {} finish what they do and take no more."),
    "resume": (orders.resume, "The workers of {} take work again."),
    "restart": (orders.restart, "The workers of {} finish their trial and start anew."),
}


@for_operators
@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the page; its state is a part that renews itself."""
    context = {"section": "operation", "versions": versions(), **_state()}
    return render(request, "evolution/operation.html", context)


@for_operators
@never_cache
@require_safe
def state(request: HttpRequest) -> HttpResponse:
    """Show who works and what is stuck (a part of the page)."""
    return render(request, "evolution/_operation_state.html", _state())


@for_operators
@require_POST
def order(request: HttpRequest, action: str) -> HttpResponse:
    """Give an order to the workers of a host."""
    host = request.POST.get("host", "")
    give, text = _ORDERS[action]
    try:
        give(host, by=request.user)
    except StateConflict as error:
        return conflict(request, str(error), reverse("evolution:operation"))
    messages.success(request, text.format(host))
    return redirect("evolution:operation")


def _state() -> dict[str, Any]:
    hosts = operation.hosts()
    return {
        "hosts": [
            {
                "host": host,
                "workers": [(worker, operation.state_of(worker)) for worker in host.workers],
            }
            for host in hosts
        ],
        "n_alive": sum(host.n_alive for host in hosts),
        "n_busy": sum(host.n_busy for host in hosts),
        "queue_length": queue_length(),
        "work": operation.work(),
        "stale": operation.stale_leases(N_ROWS),
        "quiet_runs": operation.quiet_runs(N_ROWS),
        "failed_runs": operation.failed_runs(N_ROWS),
        "failures": operation.failures_by_reason().items(),
        "engine_version": engine_version(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what this process is made of, and of the database, by name."""
    return {**_own_versions(), "Database": _database_version()}


@cache
def _own_versions() -> dict[str, str]:
    return {
        "Engine": engine_version(),
        "Python": platform.python_version(),
        "Django": version("django"),
        "Celery": version("celery"),
        "Web server": f"{platform.node()}, uvicorn {version('uvicorn')}",
    }


def _database_version() -> str:
    numbers = connection.get_database_version()
    return f"{connection.display_name} {'.'.join(str(number) for number in numbers)}"
