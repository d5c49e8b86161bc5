"""Simulations on demand: what any rule does in a trial of any learning task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.response import Response

from evolution.api.asking import LOCATION, followed
from evolution.api.base import ApiView, asked, files_of
from evolution.api.problems import Invalid, at
from evolution.api.queries import page_of, parameters, read_page
from evolution.api.rule_shapes import SimulateSerializer, SimulationSerializer
from evolution.api.rules import parsed_rule
from evolution.enums import Scope
from evolution.models import Probe
from evolution.services import notes, probes
from evolution.views.lookup import rule_or_404
from evolution.views.probes import probe_or_404, visible_probes
from evolution.views.recordings import TYPES, recording_or_404, recording_response
from nest_build.rules import PlasticityRule, RuleSyntaxError

if TYPE_CHECKING:
    from django.http import HttpResponse
    from rest_framework.request import Request

    from evolution.services.idempotency import Answer

_EXAMPLE = OpenApiExample(
    "The error-driven rule",
    {
        "learning_task": "error-driven",
        "preset": "demo",
        "expressions": ["(v - u)*s"],
    },
    request_only=True,
)


class SimulationList(ApiView):
    """Simulations that you asked for."""

    write_scope = Scope.SIMULATE
    is_simulation = True

    @extend_schema(
        operation_id="list_simulations",
        summary="List the simulations that you asked for, the latest first",
        parameters=parameters(),
        responses=page_of(SimulationSerializer),
    )
    def get(self, request: Request) -> Response:
        page, _ = read_page(request)
        # A visitor has none: those that nobody owns (any more) are not his.
        own = visible_probes(request.user).filter(owner__isnull=False, owner=request.user.pk)
        found = own.select_related("rule").defer("panels").order_by("-pk")
        return Response(page.of(found, SimulationSerializer))

    @extend_schema(
        operation_id="simulate",
        summary="Simulate any rule in the first trial of a preset",
        description="The same question asked twice is answered once: then the answer is 200 and "
        "the result is there already. Where its recording was removed, it is simulated again.",
        request=SimulateSerializer,
        parameters=[LOCATION],
        responses=followed(SimulationSerializer, "It was simulated before."),
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        values = self.read(SimulateSerializer)
        task = values["learning_task"]
        if "rule" in values:
            known = rule_or_404(values["rule"], request.user)
            try:
                PlasticityRule.parse(task.signature, known.expressions)
            except (RuleSyntaxError, ValueError) as error:
                raise Invalid([at(str(error), "rule")]) from None
            typed = None
        else:
            known, typed = None, parsed_rule(values)

        def act() -> Answer:
            rule = known or notes.add_to_catalogue(typed)
            preset = values["preset"].name
            probe = probes.request_probe(rule, task, preset=preset, owner=request.user)
            location = reverse("api:simulation", args=[probe.pk])
            return asked(SimulationSerializer(probe).data, location, is_open=probe.is_open)

        return self.once(act)


class SimulationDetail(ApiView):
    """One simulation."""

    @extend_schema(
        operation_id="get_simulation",
        summary="Follow a simulation, and read its result",
        responses=SimulationSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(SimulationSerializer(probe_or_404(pk, request.user)).data)


class SimulationRecording(ApiView):
    """All that a simulation has recorded."""

    renderer_classes = tuple(files_of(media_type) for media_type in TYPES.values())

    @extend_schema(
        operation_id="get_recording",
        summary="Download all that a simulation has recorded: as NWB, or as a zip archive of CSV",
        parameters=[OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=list(TYPES))],
        responses={
            (200, media_type): OpenApiResponse(OpenApiTypes.BINARY) for media_type in TYPES.values()
        },
    )
    def get(self, request: Request, pk: int, kind: str) -> HttpResponse:
        return recording_response(recording_or_404(pk, kind, request.user), kind)


class RuleSimulations(ApiView):
    """Simulations of a rule, whoever asked for them."""

    @extend_schema(
        operation_id="list_rule_simulations",
        summary="List the simulations of a rule, the latest first",
        parameters=parameters(),
        responses=page_of(SimulationSerializer),
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        page, _ = read_page(request)
        found = visible_probes(request.user).filter(rule=rule)
        found = found.select_related("rule").defer("panels").order_by("-pk")
        return Response(page.of(found, SimulationSerializer))


class SimulationPanel(ApiView):
    """What a plot shows."""

    @extend_schema(
        operation_id="get_simulation_panel",
        summary="Read the data of one plot of a simulation",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, pk: int, index: int) -> Response:
        probe_or_404(pk, request.user)
        panel: Any = Probe.objects.filter(pk=pk).values_list(f"panels__{index}", flat=True).first()
        if panel is None:
            raise Http404("There is no such plot.")
        return Response(panel)
