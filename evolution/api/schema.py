"""The description of the API (OpenAPI), and the page that shows it."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from evolution.api.base import ApiView, TokenAuthentication
from evolution.api.problems import CONTENT_TYPE
from evolution.views.guards import open_to_the_public
from simulations.learning_tasks import learning_task_names

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from rest_framework.request import Request

_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "about:blank, or the URN of a kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "errors": {
            "type": "array",
            "description": "What does not fit, one by one.",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string", "description": "Place in the body (RFC 6901)."},
                    "parameter": {"type": "string", "description": "Of the address or a header."},
                },
            },
        },
    },
}
_WHY = {
    HTTPStatus.BAD_REQUEST: "The address or the body cannot be understood.",
    HTTPStatus.UNAUTHORIZED: "There is no valid token or session.",
    HTTPStatus.FORBIDDEN: "Your role, or the scopes of the token, do not allow it.",
    HTTPStatus.NOT_FOUND: "There is no such thing, or you may not see it.",
    HTTPStatus.NOT_ACCEPTABLE: "There is no answer of the type that Accept names.",
    HTTPStatus.CONFLICT: "The present state of things does not permit it.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too long.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Bodies are JSON.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Values do not fit; errors name each.",
    HTTPStatus.TOO_MANY_REQUESTS: "You ask too often.",
}
_OF_READS = (400, 401, 403, 404, 406, 409, 429)
_OF_WRITES = (*_OF_READS, 413, 415, 422)
_WITH_KEYS = {
    "launch_experiment", "clone_experiment", "simulate", "validate_rule", "keep_rule",
    "create_account", "reproduce_experiment", "validate_experiment", "validate_front",
    "test_robustness", "simulate_figure",
}  # fmt: skip
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "Any text of your choice. A request that is repeated with its key within a day "
    "gets the first answer again, and nothing happens; with another body it is refused (422).",
}
_RATE_HEADERS = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "After so many seconds."},
}


class _TokenScheme(OpenApiAuthenticationExtension):
    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A personal token, made on the page of your account.",
        }


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add to each operation how it fails, idempotency keys, and which learning tasks there are."""
    result["components"]["schemas"]["Problem"] = _PROBLEM
    for operations in result["paths"].values():
        for method, operation in operations.items():
            statuses = _OF_READS if method == "get" else _OF_WRITES
            for status in statuses:
                operation["responses"].setdefault(str(status), _problem_response(status))
            for parameter in operation.get("parameters", ()):
                if (parameter["name"], parameter["in"]) == ("task", "query"):
                    parameter["schema"]["enum"] = list(learning_task_names())
            if operation["operationId"] in _WITH_KEYS:
                operation.setdefault("parameters", []).append(_KEY)
    return result


def _problem_response(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    response = {
        "description": _WHY[HTTPStatus(status)],
        "content": {CONTENT_TYPE: {"schema": schema}},
    }
    return {**response, "headers": _RATE_HEADERS} if status == 429 else response


@cache
def document() -> dict[str, Any]:
    """Return the schema; it takes a second to make, and stays the same."""
    return SchemaGenerator().get_schema(request=None, public=True)


class Schema(ApiView):
    """The schema."""

    renderer_classes = (
        OpenApiJsonRenderer2,
        OpenApiJsonRenderer,
        OpenApiYamlRenderer2,
        OpenApiYamlRenderer,
    )

    @extend_schema(
        operation_id="get_schema",
        summary="Read this description as JSON, or YAML with Accept: application/yaml",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        return Response(document())


@open_to_the_public
@never_cache
@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Show the schema as a page on which every operation can be tried."""
    return render(request, "api/reference.html", {"section": "account"})
