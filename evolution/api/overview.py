"""The whole: who asks, what the workers do, and experiments beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Q
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.serializers import (
    CharField,
    ChoiceField,
    DateTimeField,
    IntegerField,
    ListField,
    Serializer,
)

from evolution import access
from evolution.api.base import ApiView
from evolution.enums import ExperimentState, Role, Scope
from evolution.models import Worker
from evolution.services.couriers import queue_length

if TYPE_CHECKING:
    from rest_framework.request import Request


class AccountSerializer(Serializer):
    """Who asks."""

    name = CharField()
    role = ChoiceField(choices=Role.choices)
    scopes = ListField(
        child=ChoiceField(choices=Scope.choices), help_text="Of the token; all without one."
    )
    token_expires_at = DateTimeField(allow_null=True)


class RootSerializer(Serializer):
    """Where things are."""

    account = AccountSerializer(allow_null=True)
    schema = CharField()
    reference = CharField()


class HostSerializer(Serializer):
    """The workers of one host."""

    host = CharField()
    n_workers = IntegerField()
    n_busy = IntegerField()


class StatusSerializer(Serializer):
    """What the workers do."""

    queue_length = IntegerField(
        allow_null=True, help_text="Messages that wait; null where the broker does not answer."
    )
    n_workers = IntegerField()
    n_busy = IntegerField()
    hosts = HostSerializer(many=True)
    n_running_experiments = IntegerField(help_text="Of those that you may see.")


class Root(ApiView):
    """Where the API begins."""

    permission_classes = ()

    @extend_schema(
        operation_id="get_root",
        summary="Show who asks, and where the schema is",
        tags=["root"],
        auth=[],
        responses=RootSerializer,
    )
    def get(self, request: Request) -> Response:
        token = request.auth
        account = {
            "name": request.user.get_username(),
            "role": access.role_of(request.user),
            "scopes": token.scopes if token is not None else Scope.values,
            "token_expires_at": token.expires_at if token is not None else None,
        }
        body = {
            "account": account if request.user.is_authenticated else None,
            "schema": request.build_absolute_uri(reverse("api:schema")),
            "reference": request.build_absolute_uri(reverse("api:reference")),
        }
        return Response(RootSerializer(body).data)


class Status(ApiView):
    """Workers and queue."""

    @extend_schema(
        operation_id="get_status",
        summary="Show workers and queue",
        responses=StatusSerializer,
    )
    def get(self, request: Request) -> Response:
        is_busy = Q(is_busy=True)
        hosts = list(
            Worker.objects.alive()
            .values("host")
            .annotate(n_workers=Count("pk"), n_busy=Count("pk", filter=is_busy))
            .order_by("host")
        )
        running = access.visible_experiments(request.user).filter(state=ExperimentState.RUNNING)
        body = {
            "queue_length": queue_length(),
            "n_workers": sum(host["n_workers"] for host in hosts),
            "n_busy": sum(host["n_busy"] for host in hosts),
            "hosts": hosts,
            "n_running_experiments": running.count(),
        }
        return Response(StatusSerializer(body).data)
