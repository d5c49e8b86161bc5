"""Form fields that are derived from the declarations of parameters."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

from django import forms

if typing.TYPE_CHECKING:
    from simulations.parameters import ParameterDescription


def parameter_field(description: ParameterDescription) -> forms.Field:
    """Return the form field of a parameter, with its unit in the attribute ``unit``.

    The field turns text into a value; bounds are checked by the parameters themselves, so that
    they are stated once, and appear here as hints to the browser.
    """
    annotation, is_optional = _without_none(description.annotation)
    common: dict[str, Any] = {
        "label": label_of(description),
        "help_text": description.help,
        "required": not is_optional,
    }
    field: forms.Field
    if annotation is bool:
        field = forms.BooleanField(**{**common, "required": False})
    elif annotation is int:
        field = forms.IntegerField(**common, widget=_number_input(description, step="1"))
    elif annotation is float:
        field = forms.FloatField(**common, widget=_number_input(description, step="any"))
    elif typing.get_origin(annotation) is tuple and not _choices(typing.get_args(annotation)[0]):
        field = ListField(**{**common, "required": False})
    elif typing.get_origin(annotation) is tuple:
        field = forms.MultipleChoiceField(
            **{**common, "required": False},
            choices=_choices(typing.get_args(annotation)[0]),
            widget=forms.CheckboxSelectMultiple,
        )
    elif choices := _choices(annotation):
        field = forms.ChoiceField(**common, choices=choices)
    else:
        field = forms.CharField(**common, max_length=1000)
    field.unit = description.unit
    return field


class ListField(forms.CharField):
    """Several values, one on each line; those of numbers may also be separated by commas."""

    widget = forms.Textarea(attrs={"rows": 2, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> str:
        """Return the text that the form shows."""
        if isinstance(value, (list, tuple)):
            return "\n".join(str(as_typed(item)) for item in value)
        return value or ""

    def to_python(self, value: Any) -> list[str]:
        """Return the values as they were typed."""
        return [line.strip() for line in super().to_python(value).splitlines() if line.strip()]

    def validate(self, value: list[str]) -> None:
        """Leave it to the parameters to say what fits."""

    def run_validators(self, value: list[str]) -> None:
        """Limit the number of characters."""
        super().run_validators("\n".join(value))


def as_typed(value: Any) -> Any:
    """Return 2000 for 2000.0: as a person would type it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return ``float, True`` for ``float | None``."""
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        rest = [item for item in typing.get_args(annotation) if item is not types.NoneType]
        if len(rest) == 1:
            return rest[0], True
    return annotation, False


def _choices(annotation: Any) -> list[tuple[str, str]]:
    if typing.get_origin(annotation) is typing.Literal:
        return [(str(value), str(value)) for value in typing.get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [(str(item.value), str(item.value).replace("_", " ")) for item in annotation]
    return []


def _number_input(description: ParameterDescription, *, step: str) -> forms.NumberInput:
    bounds = {
        "min": _first(description.minimum, description.exclusive_minimum),
        "max": _first(description.maximum, description.exclusive_maximum),
    }
    attributes = {name: f"{bound:.15g}" for name, bound in bounds.items() if bound is not None}
    return forms.NumberInput(attrs={"step": step, **attributes})


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def label_of(description: ParameterDescription) -> str:
    """Return "Generations" for ``n_generations``, "Tau I" for ``tau_I_ms``."""
    words = description.label.removeprefix("n ")
    return words[:1].upper() + words[1:]
