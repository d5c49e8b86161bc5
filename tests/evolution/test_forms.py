"""Forms are derived from the declarations of parameters."""

from __future__ import annotations

import enum
from typing import Literal

import pytest
from django import forms
from pydantic import model_validator

from evolution.cgp.parameters import EvolutionParameters
from evolution.forms import MAX_SEED, ExperimentForm
from evolution.parameter_fields import parameter_field
from simulations.learning_tasks import get_learning_task
from simulations.parameters import Parameters, quantity


class Colour(enum.StrEnum):
    RED = "red"
    DEEP_BLUE = "deep_blue"


class Sample(Parameters):
    n_things: int = quantity(3, "How many.", ge=1, le=9, group="Counts")
    length_um: float = quantity(2.5, "How long.", unit="um", gt=0.0, lt=10.0)
    limit: float | None = quantity(None, "At most.")
    mode: Literal["slow", "fast"] = quantity("slow", "How.", advanced=True)
    colour: Colour = quantity(Colour.RED, "Which.")
    parts: tuple[Literal["a", "b"], ...] = quantity(("a",), "What.")
    is_on: bool = quantity(False, "Whether.")
    note: str = quantity("", "Why.")


@pytest.fixture
def fields() -> dict[str, forms.Field]:
    return {name: parameter_field(item) for name, item in Sample.descriptions().items()}


def test_each_type_gets_its_field(fields):
    assert {name: type(field) for name, field in fields.items()} == {
        "n_things": forms.IntegerField,
        "length_um": forms.FloatField,
        "limit": forms.FloatField,
        "mode": forms.ChoiceField,
        "colour": forms.ChoiceField,
        "parts": forms.MultipleChoiceField,
        "is_on": forms.BooleanField,
        "note": forms.CharField,
    }


def test_label_help_unit_and_bounds_come_from_the_declaration(fields):
    assert fields["n_things"].label == "Things"
    assert fields["n_things"].widget.attrs == {"step": "1", "min": "1", "max": "9"}
    assert fields["length_um"].label == "Length"
    assert fields["length_um"].unit == "um"
    assert fields["length_um"].help_text == "How long."
    assert fields["length_um"].widget.attrs == {"step": "any", "min": "0", "max": "10"}


def test_optional_parameters_may_be_left_empty(fields):
    assert fields["limit"].clean("") is None
    with pytest.raises(forms.ValidationError, match="required"):
        fields["n_things"].clean("")


def test_choices_come_from_literals_and_enumerations(fields):
    assert fields["mode"].choices == [("slow", "slow"), ("fast", "fast")]
    assert fields["colour"].choices == [("red", "red"), ("deep_blue", "deep blue")]
    assert fields["parts"].choices == [("a", "a"), ("b", "b")]


@pytest.fixture
def learning_task():
    return get_learning_task("error-driven")


def _submitted(form: ExperimentForm) -> dict:
    """Return what a browser sends when nobody touches the form."""
    data = {}
    for field in form:
        value = field.value()
        if isinstance(field.field, forms.BooleanField):
            if value:
                data[field.name] = "on"
        elif value is not None:
            data[field.name] = list(value) if isinstance(value, (list, tuple)) else str(value)
    return data


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_an_untouched_form_gives_the_preset(learning_task, preset):
    preset = learning_task.presets[preset]
    empty = ExperimentForm(learning_task=learning_task, preset=preset)
    form = ExperimentForm(_submitted(empty), learning_task=learning_task, preset=preset)
    assert form.is_valid(), form.errors
    assert form.task_parameters == preset.task_parameters
    assert form.evolution_parameters == EvolutionParameters.from_mapping(preset.evolution)
    assert form.cleaned_data["seed"] == preset.seed
    assert form.cleaned_data["n_runs"] == preset.n_runs


def test_every_parameter_has_a_field_in_a_group(learning_task):
    form = ExperimentForm(learning_task=learning_task, preset=learning_task.presets["demo"])
    shown = [
        field.name
        for group in [*form.task_groups, *form.evolution_groups]
        for field in [*group.fields, *group.advanced]
    ]
    hidden_and_general = {"name", "n_runs", "seed", "visibility", "submission_token"}
    assert sorted(shown) == sorted(set(form.fields) - hidden_and_general)


def _errors(learning_task, **changes: str) -> dict[str, list[str]]:
    preset = learning_task.presets["demo"]
    data = _submitted(ExperimentForm(learning_task=learning_task, preset=preset))
    data.update({name.replace("__", "-", 1): value for name, value in changes.items()})
    form = ExperimentForm(data, learning_task=learning_task, preset=preset)
    return {name: list(texts) for name, texts in form.errors.items()}


def test_each_field_gets_its_own_message(learning_task):
    assert _errors(
        learning_task,
        evolution__n_generations="0",
        task__n_trials="many",
        task__learning_rate="nan",
        n_runs="101",
        seed=str(MAX_SEED + 1),
        name=" ",
    ) == {
        "evolution-n_generations": ["Must be greater than or equal to 1."],
        "task-n_trials": ["Enter a whole number."],
        "task-learning_rate": ["Enter a number."],
        "n_runs": ["Ensure this value is less than or equal to 100."],
        "seed": [f"Ensure this value is less than or equal to {MAX_SEED}."],
        "name": ["This field is required."],
    }


def test_all_messages_come_at_once(learning_task):
    assert _errors(
        learning_task,
        evolution__n_parents="many",
        evolution__mutation_rate="7",
        evolution__primitives=[],
        task__n_trials="x",
        task__learning_rate="1",
        task__dt_ms="-1",
    ) == {
        "evolution-n_parents": ["Enter a whole number."],
        "evolution-mutation_rate": ["Must be less than or equal to 1."],
        "evolution-primitives": ["Choose at least one primitive."],
        "task-n_trials": ["Enter a whole number."],
        "task-dt_ms": ["Must be greater than or equal to 0.01."],
    }


def test_a_missing_value_gives_no_false_message_about_a_combination(learning_task):
    # With the default of four parents, a tournament of six would not fit.
    assert _errors(learning_task, evolution__n_parents="x", evolution__tournament_size="6") == {
        "evolution-n_parents": ["Enter a whole number."]
    }


def test_given_rules_are_checked_whatever_the_learning_task_says(learning_task):
    errors = _errors(learning_task, evolution__seed_rules="v +", task__n_trials="x")
    assert sorted(errors) == ["evolution-seed_rules", "task-n_trials"]


def test_combinations_that_do_not_fit_are_told_at_the_top(learning_task):
    assert _errors(
        learning_task, evolution__tournament_size="9", task__input_rate_min_hz="900"
    ) == {
        "__all__": [
            "The smallest input rate must not be above the largest one.",
            "The tournament size (9) is larger than the number of parents (4).",
        ]
    }


def test_no_primitives_is_told_at_the_field(learning_task):
    assert _errors(learning_task, evolution__primitives=[]) == {
        "evolution-primitives": ["Choose at least one primitive."]
    }
    assert list(_errors(learning_task, evolution__primitives=["Add", "Sin"])) == [
        "evolution-primitives"
    ]


def test_a_validator_of_a_field_keeps_its_field():
    class Strict(Parameters):
        value: int = quantity(1, "A value.")

        @model_validator(mode="after")
        def _never(self):
            raise ValueError("Does not fit.")

    # What forms rely on: combinations arrive under the empty name.
    with pytest.raises(ValueError, match="Does not fit") as caught:
        Strict.from_mapping({"value": 2})
    assert caught.value.messages == {"": ["Does not fit."]}
