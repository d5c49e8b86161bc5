"""What all views of the API share: who may come in, how often, and how bodies are read."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.utils.cache import add_never_cache_headers
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from evolution import access
from evolution.api.problems import CONTENT_TYPE, InvalidQuery, TooLarge
from evolution.api.rates import Rates
from evolution.enums import Scope
from evolution.services import idempotency, tokens
from evolution.services.idempotency import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request
    from rest_framework.serializers import Serializer

    from evolution.models import ApiToken

_KEY_HEADER = "Idempotency-Key"
_MAX_KEY_LENGTH = 255


class TokenAuthentication(BaseAuthentication):
    """A personal token in the header ``Authorization: Bearer``."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """Return the owner of a token with it; leave requests without one to the others."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = tokens.find_token(secret.strip())
        if token is None:
            raise exceptions.AuthenticationFailed(
                "This token is not valid: it was revoked, has expired or is cut off."
            )
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes a refusal a 401."""
        return 'Bearer realm="e2l"'


def check_method(request: Request, view: ApiView) -> None:
    """Refuse methods that a view does not have before anybody is asked who he is."""
    if not hasattr(view, request.method.lower()):
        raise exceptions.MethodNotAllowed(request.method)


class MayUse(BasePermission):
    """What a role may do, and of that what the scopes of a token allow."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Say whether somebody may come in at all; what is seen is asked for later."""
        check_method(request, view)
        needed = view.read_scope if request.method in SAFE_METHODS else view.write_scope
        if not request.user.is_authenticated:
            return needed is Scope.READ and access.may_browse(request.user)
        if request.auth is not None and needed not in request.auth.scopes:
            raise exceptions.PermissionDenied(f"This token lacks the scope “{needed}”.")
        if needed is Scope.OPERATE and not access.is_operator(request.user):
            raise exceptions.PermissionDenied("Only operators may do this. Nothing was changed.")
        if needed is not Scope.READ and not access.may_simulate(request.user):
            raise exceptions.PermissionDenied(
                "Your account may read, but not launch or change things. Nothing was changed."
            )
        return True


class StrictParser(JSONParser):
    """JSON of a limited length, without what is no JSON: NaN, infinity, and what overflows."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the value that a body holds."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge
        try:
            return json.loads(
                body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite
            )
        except RecursionError:
            raise exceptions.ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise exceptions.ParseError(f"The body is no JSON: {error}.") from None


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


class ApiView(APIView):
    """A view of the API.

    Attributes
    ----------
    read_scope, write_scope : Scope
        What a token needs for reading, and for anything else.
    is_simulation : bool
        Whether writing counts among the simulations.
    """

    authentication_classes = (TokenAuthentication, SessionAuthentication)
    permission_classes = (MayUse,)
    throttle_classes = (Rates,)
    parser_classes = (StrictParser,)
    read_scope = Scope.READ
    write_scope = Scope.CONTROL
    is_simulation = False

    def perform_authentication(self, request: Request) -> None:
        """Count requests that are refused as well."""
        try:
            super().perform_authentication(request)
        finally:
            self.check_throttles(request)

    def finalize_response(self, request: Any, response: Any, *args: Any, **options: Any) -> Any:
        """Say what is left of the rate, and that no answer is stored."""
        response = super().finalize_response(request, response, *args, **options)
        if getattr(response, "content_type", None) == CONTENT_TYPE:
            # Whatever else the view writes, and whatever was asked for.
            response.accepted_renderer = JSONRenderer()
        for name, value in getattr(request, "rate_headers", {}).items():
            response.headers[name] = value
        add_never_cache_headers(response)
        return response

    def read(self, serializer_type: type[Serializer], **options: Any) -> dict[str, Any]:
        """Return the validated body of the request."""
        serializer = serializer_type(data=self.request.data, **options)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def once(self, act: Callable[[], Answer]) -> Response:
        """Answer a request; one that is repeated with its idempotency key as the first time."""
        request = self.request
        key = request.headers.get(_KEY_HEADER)
        if key is None:
            return _response(act())
        if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= _MAX_KEY_LENGTH:
            detail = f"A key has 1 to {_MAX_KEY_LENGTH} printable ASCII characters."
            raise InvalidQuery([{"parameter": _KEY_HEADER, "detail": detail}])
        question = (request.method, request.get_full_path(), request.data)
        answer, is_repeated = idempotency.answer_once(request.user, key, question, act)
        response = _response(answer)
        if is_repeated:
            response.headers["Idempotency-Replayed"] = "true"
        return response


class OperatorView(ApiView):
    """A view for those who run the site, and for tokens that were made for that."""

    read_scope = write_scope = Scope.OPERATE


def _response(answer: Answer) -> Response:
    headers = {"Location": answer.location} if answer.location else {}
    return Response(answer.body, status=answer.status, headers=headers)


def created(body: Any, location: str) -> Answer:
    """Return the answer that something was made."""
    return Answer(HTTPStatus.CREATED, body, location)


def asked(body: Any, location: str, *, is_open: bool) -> Answer:
    """Return the answer that workers are asked for something, or that it is known already."""
    return Answer(HTTPStatus.ACCEPTED if is_open else HTTPStatus.OK, body, location)


def files_of(media_type: str) -> type[BaseRenderer]:
    """Return what stands for a type in the negotiation of views that write files themselves."""

    def render(self: BaseRenderer, data: Any, *_: Any) -> Any:
        return data

    members = {"media_type": media_type, "format": media_type, "render": render}
    return type("FileRenderer", (BaseRenderer,), members)
