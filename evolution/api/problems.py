"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from evolution.errors import (
    AccountRefused,
    ComparisonError,
    InvalidExperiment,
    KeyReused,
    ProbeRefused,
    StateConflict,
    ValidationRefused,
)
from simulations.learning_tasks import UnknownLearningTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONTENT_TYPE = "application/problem+json"

_OF_STATE = {"type": "urn:e2l:problem:state-conflict", "title": "Not in this state"}
_OF_KEY = {"type": "urn:e2l:problem:idempotency-key-reused", "title": "Idempotency key used before"}


class Invalid(exceptions.APIException):
    """What was sent does not fit.

    Parameters
    ----------
    errors : iterable of dict
        Each has a ``detail`` and says where: ``pointer`` (into the body) or ``parameter``.
    """

    status_code = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, errors: Iterable[dict[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__("What was sent does not fit. Nothing was changed.")


class InvalidQuery(Invalid):
    """Parameters of an address do not fit."""

    status_code = HTTPStatus.BAD_REQUEST


class TooLarge(exceptions.APIException):
    """The body is longer than anything that is asked for here."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too long."


def at(detail: str, *path: str | int) -> dict[str, str]:
    """Return a message about a place in the body."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return {"pointer": "".join(f"/{step}" for step in steps), "detail": detail}


def problem(
    status: int, detail: str, errors: Iterable[dict[str, str]] = (), **more: str
) -> dict[str, Any]:
    """Return the members of a problem."""
    members: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": _text(detail),
        **more,
    }
    if errors := [{name: _text(text) for name, text in item.items()} for item in errors]:
        members |= {"type": "urn:e2l:problem:validation", "errors": errors}
    return members


def problem_response(status: int, detail: str) -> JsonResponse:
    """Return a problem where no view of the API was reached."""
    return JsonResponse(problem(status, detail), status=status, content_type=CONTENT_TYPE)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an error of a view; None for those that nobody has foreseen."""
    headers: dict[str, str] = {}
    if isinstance(error, exceptions.APIException):
        if challenge := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = challenge
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(math.ceil(wait))
    body = _problem_of(error)
    if body is None:
        return None
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def _problem_of(error: Exception) -> dict[str, Any] | None:
    text = str(error)
    if isinstance(error, Invalid):
        return problem(error.status_code, text, error.errors)
    if isinstance(error, exceptions.ValidationError):
        invalid = Invalid(_flat(error.detail))
        return problem(invalid.status_code, str(invalid), invalid.errors)
    if isinstance(error, exceptions.APIException):
        return problem(error.status_code, text)
    if isinstance(error, RequestDataTooBig):
        return _problem_of(TooLarge())
    if isinstance(error, Http404):
        return problem(HTTPStatus.NOT_FOUND, text or "There is nothing here.")
    if isinstance(error, PermissionDenied):
        return problem(HTTPStatus.FORBIDDEN, text or "You may not do this.")
    if isinstance(error, AccountRefused | ProbeRefused | StateConflict | ValidationRefused):
        return problem(HTTPStatus.CONFLICT, text, **_OF_STATE)
    if isinstance(error, UnknownLearningTask):
        return problem(HTTPStatus.CONFLICT, f"{text} It is not installed here (any more).")
    if isinstance(error, ComparisonError):
        status = HTTPStatus.NOT_FOUND if error.is_missing else HTTPStatus.BAD_REQUEST
        return problem(status, text)
    if isinstance(error, KeyReused):
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, text, **_OF_KEY)
    if isinstance(error, InvalidExperiment):
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, text)
    return None


def _flat(detail: Any, *path: str | int) -> Iterator[dict[str, str]]:
    """Yield the messages of a serializer with the place of each."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flat(inner, *path, *(() if name == "non_field_errors" else (name,)))
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            # Lists hold messages; those of lists hold dictionaries by place.
            yield from _flat(inner, *path, *((place,) if isinstance(inner, dict) else ()))
    else:
        yield at(str(detail), *path)


def _text(text: Any) -> str:
    """Return a text without halves of characters, which no answer can hold."""
    return str(text).encode("utf-8", "replace").decode()
