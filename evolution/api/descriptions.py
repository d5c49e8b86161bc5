"""What there is to choose from: learning tasks, presets, parameters, primitives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    DictField,
    FloatField,
    IntegerField,
    JSONField,
    ListField,
    Serializer,
)

from evolution.api.base import ApiView
from evolution.api.parameters import descriptions_of
from evolution.api.shapes import texts_field
from evolution.cgp.parameters import EvolutionParameters
from evolution.cgp.primitives import CONSTANTS, OPERATORS, PARAMETER
from simulations.learning_tasks import UnknownLearningTask, get_learning_task, learning_task_names

if TYPE_CHECKING:
    from rest_framework.request import Request

    from simulations.learning_tasks import LearningTask, Preset


class ParameterSerializer(Serializer):
    """A parameter."""

    name = CharField()
    label = CharField()
    help = CharField()
    unit = CharField(help_text="Empty for pure numbers.")
    group = CharField()
    is_advanced = BooleanField()
    default = JSONField()
    value_schema = DictField(
        child=JSONField(), help_text="JSON schema of its values: type, bounds, choices."
    )


class InputSerializer(Serializer):
    """An input of a rule."""

    name = CharField()
    unit = CharField()
    description = CharField()


class BaselineSerializer(Serializer):
    """A rule of the literature."""

    name = CharField()
    expressions = texts_field()
    reference = CharField()


class PresetSerializer(Serializer):
    """A complete set of parameters."""

    name = CharField()
    label = CharField()
    description = CharField()
    seed = IntegerField()
    n_runs = IntegerField()
    task_parameters = DictField(child=JSONField())
    evolution_parameters = DictField(child=JSONField())


class LearningTaskSerializer(Serializer):
    """A scenario in which plasticity rules are judged."""

    name = CharField()
    title = CharField()
    summary = CharField()
    fitness_label = CharField(help_text="What a fitness is, with its unit.")
    aggregate = CharField(help_text="How the values of trials make one fitness.")
    inputs = InputSerializer(many=True)
    branches = ListField(child=CharField())
    baselines = BaselineSerializer(many=True)
    presets = PresetSerializer(many=True)
    parameters = ParameterSerializer(many=True)


class PrimitiveSerializer(Serializer):
    """A function or constant that rules are built from."""

    name = CharField()
    arity = IntegerField(help_text="Number of inputs.")
    text = CharField(help_text="How rules write it; empty for tuned constants.")
    value = FloatField(allow_null=True, help_text="Of a constant.")


class LearningTaskList(ApiView):
    """All learning tasks."""

    @extend_schema(
        operation_id="list_learning_tasks",
        summary="List the learning tasks with their presets and parameters",
        responses=LearningTaskSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return Response([_described(get_learning_task(name)) for name in learning_task_names()])


class LearningTaskDetail(ApiView):
    """One learning task."""

    @extend_schema(
        operation_id="get_learning_task",
        summary="Show a learning task",
        responses=LearningTaskSerializer,
    )
    def get(self, request: Request, name: str) -> Response:
        try:
            return Response(_described(get_learning_task(name)))
        except UnknownLearningTask as error:
            raise Http404(str(error)) from None


class EvolutionParameterList(ApiView):
    """Parameters of the evolution."""

    @extend_schema(
        operation_id="list_evolution_parameters",
        summary="List the parameters of the evolution",
        responses=ParameterSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return Response(
            ParameterSerializer(list(descriptions_of(EvolutionParameters)), many=True).data
        )


class PrimitiveList(ApiView):
    """What genomes compute."""

    @extend_schema(
        operation_id="list_primitives",
        summary="List the primitives that rules are built from",
        responses=PrimitiveSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        primitives: list[dict[str, Any]] = [
            {"name": name, "arity": 2, "text": text, "value": None}
            for name, text in OPERATORS.items()
        ]
        primitives += [
            {"name": name, "arity": 0, "text": f"{value:g}", "value": value}
            for name, value in CONSTANTS.items()
        ]
        primitives.append({"name": PARAMETER, "arity": 0, "text": "", "value": None})
        return Response(primitives)


def _described(task: LearningTask) -> dict[str, Any]:
    body = {
        "name": task.name,
        "title": task.title,
        "summary": task.summary,
        "fitness_label": task.fitness_label,
        "aggregate": str(task.aggregate),
        "inputs": task.signature.inputs,
        "branches": task.signature.branches,
        "baselines": task.baselines,
        "presets": [_preset(preset) for preset in task.presets.values()],
        "parameters": list(descriptions_of(task.parameters_type)),
    }
    return LearningTaskSerializer(body).data


def _preset(preset: Preset) -> dict[str, Any]:
    evolution = EvolutionParameters.from_mapping(preset.evolution)
    return {
        **vars(preset),
        "task_parameters": preset.task_parameters.to_mapping(),
        "evolution_parameters": evolution.to_mapping(),
    }
