"""Fields for learning tasks and their parameters, with schemas from the declarations."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from rest_framework import serializers

from evolution.cgp.parameters import EvolutionParameters
from simulations.learning_tasks import UnknownLearningTask, get_learning_task, learning_task_names

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

    from simulations.parameters import ParameterDescription, Parameters

TASK, EVOLUTION = "task_parameters", "evolution_parameters"
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


class LearningTaskField(serializers.CharField):
    """The name of a learning task."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the learning task."""
        try:
            return get_learning_task(super().to_internal_value(data))
        except UnknownLearningTask as error:
            raise serializers.ValidationError(str(error)) from None


class ChangesField(serializers.Field):
    """Values of parameters by name; those that are not named keep the preset's.

    The parameters themselves validate them: see :mod:`evolution.api.launching`.
    """

    def __init__(self, kind: str, **options: Any) -> None:
        self.kind = kind
        super().__init__(required=False, default=dict, **options)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the mapping."""
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object: values by name.")
        return data


class _LearningTaskSchema(OpenApiSerializerFieldExtension):
    target_class = LearningTaskField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return {"type": "string", "enum": list(learning_task_names())}


class _ChangesSchema(OpenApiSerializerFieldExtension):
    target_class = ChangesField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        if self.target.kind == EVOLUTION:
            return changes_schema(EvolutionParameters)
        tasks = [get_learning_task(name) for name in learning_task_names()]
        return {
            "anyOf": [
                {"title": task.title, **changes_schema(task.parameters_type)} for task in tasks
            ]
        }


def changes_schema(parameters_type: type[Parameters]) -> dict[str, Any]:
    """Return the JSON schema of an object with any of the parameters."""
    return {
        "type": "object",
        "properties": {
            name: _schema(description)
            for name, description in parameters_type.descriptions().items()
        },
        "additionalProperties": False,
    }


def descriptions_of(parameters_type: type[Parameters]) -> Iterator[dict[str, Any]]:
    """Yield what there is to know about each parameter."""
    defaults = parameters_type.model_construct().model_dump(mode="json")
    for name, description in parameters_type.descriptions().items():
        value_schema = _schema(description)
        yield {
            "name": name,
            "label": description.label,
            "help": description.help,
            "unit": description.unit,
            "group": description.group,
            "is_advanced": description.advanced,
            "default": defaults[name],
            "value_schema": {
                key: value for key, value in value_schema.items() if key != "description"
            },
        }


def _schema(description: ParameterDescription) -> dict[str, Any]:
    """Return the JSON schema of a parameter's values."""
    unit = f" In {description.unit}." if description.unit else ""
    schema = _of_annotation(description.annotation)
    for name, keyword in (
        ("minimum", "minimum"),
        ("exclusive_minimum", "exclusiveMinimum"),
        ("maximum", "maximum"),
        ("exclusive_maximum", "exclusiveMaximum"),
    ):
        if (bound := getattr(description, name)) is not None:
            schema[keyword] = bound
    return {**schema, "description": f"{description.help}{unit}"}


def _of_annotation(annotation: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {types.UnionType, typing.Union}:
        schema = _of_annotation(next(item for item in arguments if item is not types.NoneType))
        return {**schema, "type": [schema["type"], "null"]}
    if origin is tuple:
        return {"type": "array", "items": _of_annotation(arguments[0])}
    if origin is typing.Literal:
        return {"type": "string", "enum": list(arguments)}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"type": "string", "enum": [item.value for item in annotation]}
    return {"type": _TYPES.get(annotation, "string")}
