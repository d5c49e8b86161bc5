"""Parameters as typed, validated, immutable objects with units, bounds and help.

Form, API, command line and documentation are derived from the same declarations, so a
parameter is described in one place only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo


def quantity(
    default: Any,
    help: str,  # noqa: A002  (the word that users read)
    *,
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    group: str = "",
    advanced: bool = False,
) -> Any:
    """Declare a parameter: default, help text, unit and bounds.

    Parameters
    ----------
    default : Any
        Value when none is given.
    help : str
        One sentence for people, without the unit.
    unit : str
        Unit as printed behind the value, such as ``"ms"``; empty for pure numbers.
    ge, gt, le, lt : float, optional
        Bounds, inclusive (``ge``, ``le``) or exclusive (``gt``, ``lt``).
    group : str
        Heading under which forms show the parameter.
    advanced : bool
        True for parameters that forms fold away.
    """
    return Field(
        default,
        description=help,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        allow_inf_nan=False if isinstance(default, float) else None,
        json_schema_extra={"unit": unit, "group": group, "advanced": advanced},
    )


@dataclass(frozen=True)
class ParameterDescription:
    """What forms, tables and help texts need to know about one parameter."""

    name: str
    annotation: Any
    default: Any
    help: str
    unit: str
    group: str
    advanced: bool
    minimum: float | None
    exclusive_minimum: float | None
    maximum: float | None
    exclusive_maximum: float | None

    @property
    def label(self) -> str:
        """Name for people: ``input_rate_min_hz`` with unit Hz reads "input rate min"."""
        words = self.name.split("_")
        if self.unit and words[-1].lower() == self.unit.lower() and len(words) > 1:
            words = words[:-1]
        return " ".join(words)


class ParameterError(ValueError):
    """Parameters that do not fit, with a message for each field.

    Attributes
    ----------
    messages : dict of str to list of str
        Messages by parameter name; the empty name holds those about combinations.
    """

    def __init__(self, messages: Mapping[str, list[str]]) -> None:
        self.messages = {name: list(texts) for name, texts in messages.items()}
        super().__init__(
            "; ".join(
                f"{name}: {text}" if name else text
                for name, texts in self.messages.items()
                for text in texts
            )
        )


class Parameters(BaseModel):
    """Base of all parameter sets: frozen, no unknown names, JSON round trip."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def descriptions(cls) -> dict[str, ParameterDescription]:
        """Return the description of each parameter, in order of declaration."""
        return {name: _describe(name, info) for name, info in cls.model_fields.items()}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Validate ``values``; missing names take their defaults.

        Raises
        ------
        ParameterError
            With one or more messages per field that does not fit.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ParameterError(_messages(error)) from None

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """Return a validated copy with some values replaced.

        Raises
        ------
        ParameterError
            With one or more messages per field that does not fit.
        """
        return self.from_mapping({**self.to_mapping(), **changes})

    def to_mapping(self) -> dict[str, Any]:
        """Return the values as plain JSON types."""
        return self.model_dump(mode="json")

    def digest(self, *, exclude: frozenset[str] = frozenset()) -> str:
        """Return a hexadecimal digest of the values that is the same in every process."""
        values = {name: value for name, value in self.to_mapping().items() if name not in exclude}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class TaskParameters(Parameters):
    """Parameters every learning task has."""

    n_trials: int = quantity(
        8,
        "Number of trials (independent repetitions) that one fitness value is made of.",
        ge=1,
        le=1000,
        group="Trials",
    )

    def trial_digest(self) -> str:
        """Return the digest of everything that the value of one trial depends on."""
        return self.digest(exclude=frozenset({"n_trials"}))


def _describe(name: str, info: FieldInfo) -> ParameterDescription:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    bounds = {
        key: getattr(item, key)
        for item in info.metadata
        for key in ("ge", "gt", "le", "lt")
        if getattr(item, key, None) is not None
    }
    return ParameterDescription(
        name=name,
        annotation=info.annotation,
        default=info.get_default(),
        help=info.description or "",
        unit=str(extra.get("unit", "")),
        group=str(extra.get("group", "")),
        advanced=bool(extra.get("advanced", False)),
        minimum=bounds.get("ge"),
        exclusive_minimum=bounds.get("gt"),
        maximum=bounds.get("le"),
        exclusive_maximum=bounds.get("lt"),
    )


def _messages(error: ValidationError) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_context=True):
        name = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "extra_forbidden":
            text = "There is no such parameter."
        elif item["type"] == "value_error":
            text = str(item["ctx"]["error"])
        else:
            text = item["msg"].replace("Input should be", "Must be", 1) + "."
        messages.setdefault(name, []).append(text)
    return messages
