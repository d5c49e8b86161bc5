"""The paper's figures: their panels as data, and the simulations that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    FloatField,
    IntegerField,
    Serializer,
    SerializerMethodField,
)

from evolution.api.asking import LOCATION, followed
from evolution.api.base import ApiView, asked
from evolution.api.problems import Invalid, at
from evolution.api.queries import read_query
from evolution.api.shapes import texts_field
from evolution.enums import ProbeKind, ProbeState, Scope
from evolution.figure_form import FigureForm
from evolution.services import figures
from evolution.views.figures import figure_or_404, panel_or_404, panels_of, progress_of
from nest_build.rules import MAX_LENGTH
from simulations.figures import FIGURE_NAMES, get_figure

if TYPE_CHECKING:
    from rest_framework.request import Request

    from evolution.figure_choice import FigureChoice
    from evolution.services.idempotency import Answer
    from simulations.figures.base import PaperFigure

_EXPERIMENT = (
    "Number of an experiment; none for published runs only. By default the latest one "
    "with the parameters of the paper."
)
_RUN = "Of the experiment; by default the one with the fittest champion."
_RULE = "Expressions with ; between them, or the number of a rule. By default that of the paper."
_NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, enum=list(FIGURE_NAMES))
_CHOICE = [
    OpenApiParameter(
        "experiment",
        {"type": "string", "pattern": "^([0-9]{1,18}|none)$"},
        description=_EXPERIMENT,
    ),
    OpenApiParameter(
        "run",
        {"type": "integer", "minimum": 1, "maximum": 100},
        description=f"{_RUN} Only of figures that show one run.",
    ),
    OpenApiParameter("rule", {"type": "string", "maxLength": 2 * MAX_LENGTH}, description=_RULE),
]


class FigureChoiceSerializer(Serializer):
    """What a figure is about."""

    experiment = CharField(max_length=18, required=False, help_text=_EXPERIMENT)
    run = IntegerField(min_value=1, max_value=100, required=False, help_text=_RUN)
    rule = CharField(max_length=2 * MAX_LENGTH, required=False, help_text=_RULE)


class FigureListedSerializer(Serializer):
    """A figure of the paper."""

    name = CharField()
    number = IntegerField()
    title = CharField()
    summary = CharField()
    learning_task = CharField(source="learning_task_name")


class FigurePanelSerializer(Serializer):
    """A panel without its data."""

    key = CharField()
    title = CharField()
    summary = CharField()
    missing = CharField(default="", help_text="Why there are no data yet; empty where there are.")


class FigureSimulationSerializer(Serializer):
    """A simulation that a figure needs."""

    kind = ChoiceField(source="probe.kind", choices=ProbeKind.choices)
    label = CharField()
    state = ChoiceField(source="probe.state", choices=ProbeState.choices)
    progress = SerializerMethodField(help_text="Share that is done, from 0 to 1.")
    estimated_s = FloatField(source="probe.estimated_s")
    reason = CharField(source="probe.reason")
    detail = CharField(source="probe.detail")

    def get_progress(self, item: Any) -> float:
        """Return the share that is done."""
        return item["percent"] / 100 if item["probe"].is_open else 1.0


class FigureSerializer(FigureListedSerializer):
    """A figure with what it is about, its panels, and how far its simulations are."""

    experiment = IntegerField(allow_null=True)
    published = IntegerField(allow_null=True, help_text="Experiment with the authors' runs.")
    rule = texts_field()
    is_comparable = BooleanField(help_text="Fitness values mean the same as in the paper.")
    panels = FigurePanelSerializer(many=True)
    simulations = FigureSimulationSerializer(many=True)
    is_open = BooleanField(help_text="Workers simulate.")
    is_lacking = BooleanField(help_text="Simulations are missing that simulate_figure asks for.")
    estimated_s = FloatField(help_text="How long those take, roughly, in s.")


class FigureList(ApiView):
    """All figures."""

    @extend_schema(
        operation_id="list_figures",
        summary="List the figures of the paper that can be computed",
        responses=FigureListedSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        found = [get_figure(name) for name in FIGURE_NAMES]
        return Response(FigureListedSerializer(found, many=True).data)


class FigureDetail(ApiView):
    """One figure."""

    @extend_schema(
        operation_id="get_figure",
        summary="Show what a figure is about, its panels, and how far its simulations are",
        parameters=[_NAME, *_CHOICE],
        responses=FigureSerializer,
    )
    def get(self, request: Request, name: str) -> Response:
        return Response(_described(_choice(figure_or_404(name), request)))


class FigureSimulations(ApiView):
    """The simulations of a figure."""

    write_scope = Scope.SIMULATE
    is_simulation = True

    @extend_schema(
        operation_id="simulate_figure",
        summary="Ask workers for the simulations that a figure lacks",
        request=FigureChoiceSerializer,
        parameters=[_NAME, LOCATION],
        responses=followed(FigureSerializer, "All of them are there."),
    )
    def post(self, request: Request, name: str) -> Response:
        figure = figure_or_404(name)
        values = self.read(FigureChoiceSerializer)
        form = FigureForm(values, figure=figure, reader=request.user)
        unknown = values.keys() - form.fields.keys()
        errors = [at("This figure shows no single run.", field) for field in sorted(unknown)]
        if not form.is_valid():
            errors += [at(text, field) for field, texts in form.errors.items() for text in texts]
        if errors:
            raise Invalid(errors)
        choice = form.choice()

        def act() -> Answer:
            figures.request_missing(choice, owner=request.user)
            body = _described(choice)
            location = reverse("api:figure", args=[name])
            query = f"?{urlencode(values)}" if values else ""
            return asked(body, f"{location}{query}", is_open=body["is_open"])

        return self.once(act)


class FigurePanel(ApiView):
    """One panel."""

    @extend_schema(
        operation_id="get_figure_panel",
        summary="Read the data of one panel of a figure",
        parameters=[_NAME, *_CHOICE],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, name: str, key: str) -> Response:
        return Response(panel_or_404(_choice(figure_or_404(name), request), key))


def _choice(figure: PaperFigure, request: Request) -> FigureChoice:
    """Return what an address is about."""
    form = FigureForm(request.GET, figure=figure, reader=request.user)
    read_query(request, form)
    return form.choice()


def _described(choice: FigureChoice) -> dict[str, Any]:
    figure = choice.figure
    answers = figures.answers(choice)
    body = {
        **{name: getattr(figure, name) for name in FigureListedSerializer().fields},
        "learning_task_name": figure.learning_task_name,
        "experiment": choice.experiment and choice.experiment.pk,
        "published": choice.published and choice.published.pk,
        "rule": choice.shown_rule.texts,
        "is_comparable": choice.is_comparable,
        "panels": panels_of(choice, answers).values(),
        **progress_of(choice, answers),
    }
    return FigureSerializer(body).data
