"""Error pages in the site's own design."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.template import loader

from evolution.api.problems import problem_response

_API = "/api/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be understood."""
    if request.path.startswith(_API):
        return problem_response(400, "The request cannot be understood.")
    return render(request, "400.html", status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that its sender may not make."""
    return render(request, "403.html", {"message": str(exception)}, status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form that was not sent from one of our own pages."""
    message = (
        "This form was not sent from a page of this site, or the page was too old. "
        "Nothing was changed. Go back, reload the page and try again."
    )
    return render(request, "403.html", {"message": message}, status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request for a page that does not exist."""
    if request.path.startswith(_API):
        return problem_response(404, _readable(exception) or "There is nothing at this address.")
    return render(request, "404.html", {"message": _readable(exception)}, status=404)


def method_not_allowed(request: HttpRequest, response: HttpResponseNotAllowed) -> HttpResponse:
    """Answer a request with a method that the address does not have; keeps the headers."""
    allowed = response.headers["Allow"]
    page = render(request, "405.html", {"allowed": allowed}, status=405)
    page.headers["Allow"] = allowed
    return page


def locked_out(request: HttpRequest, *_: object) -> HttpResponse:
    """Answer somebody who has typed too many wrong passwords."""
    return render(request, "429.html", status=429)


def gone(request: HttpRequest, message: str) -> HttpResponse:
    """Answer a request for something that existed once."""
    return render(request, "410.html", {"message": message}, status=410)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer when the server failed; uses no database and no context."""
    if request.path.startswith(_API):
        return problem_response(500, "The server failed. It has written down why.")
    return HttpResponse(loader.render_to_string("500.html"), status=500)


def _readable(exception: Exception) -> str:
    # Django's Resolver404 carries a dictionary of all routes, which is nothing for people.
    argument = exception.args[0] if exception.args else ""
    return argument if isinstance(argument, str) else ""
