"""Middleware of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from e2l_site.errors import method_not_allowed

if TYPE_CHECKING:
    from collections.abc import Callable


def error_pages(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Give "405 Method Not Allowed", which Django answers with an empty body, a page."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not response.content:
            return method_not_allowed(request, response)
        return response

    return middleware
