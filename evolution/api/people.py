"""Accounts and the activity log, as operators have them.

No request makes a link with which somebody sets a password: see ADR 0010.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateTimeField,
    IntegerField,
    IPAddressField,
    Serializer,
    SerializerMethodField,
)

from evolution import access
from evolution.api.base import OperatorView, created
from evolution.api.problems import Invalid, at
from evolution.api.queries import page_of, parameters, read_page
from evolution.api.shapes import LogEntrySerializer
from evolution.enums import Role
from evolution.errors import AccountRefused
from evolution.filters import ActivityFilter
from evolution.services import accounts
from evolution.views.activity import filtered_entries
from evolution.views.lookup import account_or_404

if TYPE_CHECKING:
    from rest_framework.request import Request

    from evolution.services.idempotency import Answer


class PersonSerializer(Serializer):
    """Somebody with an account."""

    id = IntegerField(source="pk")
    name = CharField(source="username")
    role = SerializerMethodField()
    is_active = BooleanField(help_text="Whether somebody may sign in with it.")
    has_password = BooleanField(source="has_usable_password")
    created_at = DateTimeField(source="date_joined")
    last_sign_in = DateTimeField(source="last_login", allow_null=True)

    def get_role(self, user: Any) -> Role:
        """Return what somebody may do."""
        return access.role_of_account(user)


class NewPersonSerializer(Serializer):
    """A new account."""

    name = CharField(max_length=150)
    role = ChoiceField(choices=Role.choices, default=Role.MEMBER)


class PersonChangesSerializer(Serializer):
    """What operators change of an account."""

    role = ChoiceField(choices=Role.choices, required=False)
    is_active = BooleanField(required=False)


class ActivitySerializer(LogEntrySerializer):
    """What somebody did on this site."""

    experiment = IntegerField(source="experiment_id", allow_null=True)
    subject = CharField(help_text="What it was done to.")
    address = IPAddressField(allow_null=True, help_text="Where the request came from.")


class PersonList(OperatorView):
    """All accounts."""

    @extend_schema(
        operation_id="list_people",
        summary="List the accounts and their roles",
        parameters=parameters(),
        responses=page_of(PersonSerializer),
    )
    def get(self, request: Request) -> Response:
        page, _ = read_page(request)
        users = access.with_role(get_user_model().objects.order_by("username"))
        return Response(page.of(users, PersonSerializer))

    @extend_schema(
        operation_id="create_account",
        summary="Create an account; its holder gets a link to set a password on the page People",
        request=NewPersonSerializer,
        responses={201: PersonSerializer},
    )
    def post(self, request: Request) -> Response:
        values = self.read(NewPersonSerializer)

        def act() -> Answer:
            try:
                user = accounts.create_account(
                    values["name"], Role(values["role"]), by=request.user
                )
            except AccountRefused as error:
                raise Invalid([at(str(error), "name")]) from None
            location = reverse("api:person", args=[user.pk])
            return created(PersonSerializer(user).data, location)

        return self.once(act)


class PersonDetail(OperatorView):
    """One account."""

    @extend_schema(operation_id="get_person", summary="Show an account", responses=PersonSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(PersonSerializer(account_or_404(pk)).data)

    @extend_schema(
        operation_id="change_account",
        summary="Change the role of an account, deactivate it or let its holder sign in again",
        request=PersonChangesSerializer,
        responses=PersonSerializer,
    )
    def patch(self, request: Request, pk: int) -> Response:
        user = account_or_404(pk)
        values = self.read(PersonChangesSerializer)
        with transaction.atomic():
            if "role" in values:
                accounts.set_role(user, Role(values["role"]), by=request.user)
            if "is_active" in values:
                accounts.set_active(user, values["is_active"], by=request.user)
        return Response(PersonSerializer(user).data)


class ActivityList(OperatorView):
    """The activity log."""

    @extend_schema(
        operation_id="list_activity",
        summary="List what people did on this site, the latest first",
        parameters=parameters(ActivityFilter),
        responses=page_of(ActivitySerializer),
    )
    def get(self, request: Request) -> Response:
        form = ActivityFilter(request.GET)
        page, _ = read_page(request, form)
        return Response(page.of(filtered_entries(form), ActivitySerializer))
