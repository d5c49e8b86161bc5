"""Middleware of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import reverse

from e2l_site.errors import method_not_allowed
from evolution.views.control import conflict
from simulations.learning_tasks import UnknownLearningTask

if TYPE_CHECKING:
    from collections.abc import Callable


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
