"""What requests have in common that ask workers for something, and how they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.serializers import CharField, Serializer

from evolution.api.parameters import LearningTaskField

LOCATION = OpenApiParameter(
    "Location",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Where to follow it.",
    response=[200, 202],
)


def followed(shape: type[Serializer], known: str) -> dict[int, OpenApiResponse]:
    """Return the answers to a question that workers answer, unless it is known already."""
    return {
        202: OpenApiResponse(shape, description="Follow it at Location."),
        200: OpenApiResponse(shape, description=known),
    }


class InPresetSerializer(Serializer):
    """Trials with the parameters of a preset."""

    learning_task = LearningTaskField()
    preset = CharField(max_length=60, default="demo")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Put the preset in the place of its name."""
        presets = values["learning_task"].presets
        if values["preset"] not in presets:
            detail = f"There is no such preset. Choose one of: {', '.join(presets)}."
            raise serializers.ValidationError({"preset": detail})
        return {**values, "preset": presets[values["preset"]]}
