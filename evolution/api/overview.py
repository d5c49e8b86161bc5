"""The whole: who asks, what the workers do, and experiments beside each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Q
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateTimeField,
    FloatField,
    IntegerField,
    JSONField,
    ListField,
    Serializer,
)

from evolution import access, comparison, inference, statistics
from evolution.api.base import ApiView
from evolution.api.problems import InvalidQuery
from evolution.enums import ExperimentState, Role, Scope
from evolution.models import Worker
from evolution.services.couriers import queue_length
from evolution.views.comparison import choices

if TYPE_CHECKING:
    from rest_framework.request import Request

    from evolution.comparison import Group


_NUMBERS = {
    "type": "array",
    "items": {"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
}
_RUNS = {"type": "array", "items": {"type": "string", "pattern": "^[0-9]{1,18}-[0-9]{1,9}$"}}


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


class BandSerializer(Serializer):
    """Quantiles over the runs; each value holds from its generation to the next one's."""

    generations = ListField(child=IntegerField())
    low = ListField(child=FloatField(allow_null=True))
    median = ListField(child=FloatField(allow_null=True))
    high = ListField(child=FloatField(allow_null=True))


class GroupSerializer(Serializer):
    """The chosen runs of an experiment."""

    key = CharField()
    label = CharField()
    experiment = IntegerField()
    runs = ListField(child=IntegerField())
    final_fitness = ListField(child=FloatField(allow_null=True), help_text="Of each run.")
    n_open = IntegerField(help_text="Runs that may still find something.")
    band = BandSerializer()


class DifferenceSerializer(Serializer):
    """What a test says about the final fitness of the groups."""

    test = CharField()
    statistic = FloatField(allow_null=True)
    p_value = FloatField(allow_null=True)
    effect_name = CharField()
    effect = FloatField(allow_null=True)
    interval = ListField(child=FloatField(allow_null=True), allow_null=True)
    is_significant = BooleanField()


class DifferingParameterSerializer(Serializer):
    """A parameter that is not the same in all groups."""

    label = CharField()
    unit = CharField()
    help = CharField()
    values = ListField(child=JSONField())


class ComparisonSerializer(Serializer):
    """Experiments and runs beside each other."""

    groups = GroupSerializer(many=True)
    parameters = DifferingParameterSerializer(many=True)
    difference = DifferenceSerializer(
        allow_null=True, help_text="Null where the groups cannot be compared."
    )


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


class Comparison(ApiView):
    """Experiments beside each other."""

    @extend_schema(
        operation_id="compare",
        summary="Compare experiments and single runs: curves, final fitness, parameters",
        parameters=[
            OpenApiParameter("experiment", _NUMBERS, description="Numbers of whole experiments."),
            OpenApiParameter(
                "run", _RUNS, description="Single runs: 12-3 is run 3 of experiment 12."
            ),
        ],
        responses=ComparisonSerializer,
    )
    def get(self, request: Request) -> Response:
        if unknown := set(request.GET) - {"experiment", "run"}:
            detail = "There is no such parameter here. There are: experiment, run."
            raise InvalidQuery({"parameter": name, "detail": detail} for name in sorted(unknown))
        visible = access.visible_experiments(request.user)
        groups = comparison.groups_of(*choices(request.GET), visible)
        tasks = {group.experiment.learning_task_name for group in groups}
        difference = (
            inference.compare_values([group.final_fitness for group in groups])
            if len(tasks) == 1
            else None
        )
        body = {
            "groups": [_group(group) for group in groups],
            "parameters": comparison.differing_parameters(groups) if groups else [],
            "difference": difference and _difference(difference),
        }
        return Response(ComparisonSerializer(body).data)


def _group(group: Group) -> dict[str, Any]:
    band = statistics.quantile_band(group.curves)
    return {
        "key": group.key,
        "label": group.label,
        "experiment": group.experiment.pk,
        "runs": [run.number for run in group.runs],
        "final_fitness": _finite(group.final_fitness),
        "n_open": group.n_open,
        "band": {
            "generations": band.generations,
            **{name: _finite(getattr(band, name)) for name in ("low", "median", "high")},
        },
    }


def _difference(difference: inference.Difference) -> dict[str, Any]:
    numbers = {
        name: _finite([getattr(difference, name)])[0] for name in ("statistic", "p_value", "effect")
    }
    interval = difference.interval and _finite(difference.interval)
    return {
        "test": difference.test,
        "effect_name": difference.effect_name,
        "interval": interval,
        "is_significant": difference.is_significant,
        **numbers,
    }


def _finite(values: Any) -> list[float | None]:
    """Return numbers with null for what JSON cannot say."""
    return [None if value is None or not math.isfinite(value) else float(value) for value in values]
