"""One's own personal tokens: listed and revoked. They are made on a page only, see ADR 0010."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.response import Response
from rest_framework.serializers import (
    CharField,
    ChoiceField,
    DateTimeField,
    IntegerField,
    ListField,
    Serializer,
    SerializerMethodField,
)

from evolution.api.base import ApiView, check_method
from evolution.api.queries import page_of, parameters, read_page
from evolution.api.shapes import opens_something
from evolution.enums import Scope
from evolution.models import ApiToken
from evolution.services import tokens
from evolution.views.tokens import own_token_or_404

if TYPE_CHECKING:
    from rest_framework.request import Request


class TokenSerializer(Serializer):
    """A personal token; nobody can look up its secret."""

    id = IntegerField(source="pk")
    name = CharField()
    hint = CharField(help_text="First characters of the secret.")
    scopes = ListField(child=ChoiceField(choices=Scope.choices))
    is_valid = SerializerMethodField(help_text="Neither revoked nor expired.")
    created_at = DateTimeField()
    expires_at = DateTimeField(allow_null=True)
    last_used_at = DateTimeField(allow_null=True)
    revoked_at = DateTimeField(allow_null=True)

    def get_is_valid(self, token: Any) -> bool:
        """Return whether it opens anything."""
        return opens_something(token)


class OwnTokens(BasePermission):
    """What people with an account do with their own tokens, viewers as well.

    A token may always be revoked by itself: who finds one that has leaked makes it void. Others are
    revoked by tokens that may control things, so that a leaked one that may read does not shut out
    the programs of its owner.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Say whether somebody may come in."""
        check_method(request, view)
        if not request.user.is_authenticated:
            return False
        token = request.auth
        if token is None or (request.method not in SAFE_METHODS and token.pk == view.kwargs["pk"]):
            return True
        needed = Scope.READ if request.method in SAFE_METHODS else Scope.CONTROL
        if needed not in token.scopes:
            raise exceptions.PermissionDenied(f"This token lacks the scope “{needed}”.")
        return True


class TokenList(ApiView):
    """One's own tokens."""

    permission_classes = (OwnTokens,)

    @extend_schema(
        operation_id="list_tokens",
        summary="List your personal tokens, the latest first",
        parameters=parameters(),
        responses=page_of(TokenSerializer),
    )
    def get(self, request: Request) -> Response:
        page, _ = read_page(request)
        return Response(page.of(ApiToken.objects.filter(owner=request.user), TokenSerializer))


class TokenDetail(ApiView):
    """One of one's own tokens."""

    permission_classes = (OwnTokens,)

    @extend_schema(
        operation_id="revoke_token",
        summary="Revoke one of your personal tokens; any token may revoke itself",
        responses={204: None},
    )
    def delete(self, request: Request, pk: int) -> Response:
        tokens.revoke_token(own_token_or_404(pk, request.user), by=request.user)
        return Response(status=HTTPStatus.NO_CONTENT)
