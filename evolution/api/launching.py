"""Bodies of requests that set up and change experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.serializers import BooleanField, CharField, IntegerField, Serializer

from evolution.api.parameters import EVOLUTION, TASK, ChangesField, LearningTaskField
from evolution.api.problems import Invalid, at
from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import Visibility
from evolution.errors import InvalidExperiment
from evolution.forms import MAX_SEED, TagsField
from evolution.models.experiment import MAX_RUNS
from evolution.services import experiments, several
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from evolution.access import Person
    from evolution.models import Experiment

_DEFAULT_PRESET = "demo"


class _SetupSerializer(Serializer):
    """What a new experiment may be told."""

    name = CharField(max_length=200, required=False)
    n_runs = IntegerField(min_value=1, max_value=MAX_RUNS, required=False)
    seed = IntegerField(
        min_value=0,
        max_value=MAX_SEED,
        required=False,
        help_text="Trial k uses seed + k, run i evolves with seed + i.",
    )
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False)
    task_parameters = ChangesField(TASK)
    evolution_parameters = ChangesField(EVOLUTION)
    launch = BooleanField(default=True, help_text="Set it going at once.")


class LaunchSerializer(_SetupSerializer):
    """A new experiment; what is left out is as in the preset."""

    learning_task = LearningTaskField()
    preset = CharField(required=False, max_length=60)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Replace the preset's name by the preset, and changes by parameters."""
        task = values["learning_task"]
        name = values.get("preset") or (
            _DEFAULT_PRESET if _DEFAULT_PRESET in task.presets else next(iter(task.presets))
        )
        if name not in task.presets:
            names = ", ".join(task.presets)
            raise Invalid([at(f"There is no preset {name!r}. Choose one of: {names}.", "preset")])
        preset = task.presets[name]
        errors: list[dict[str, str]] = []
        originals = {
            TASK: preset.task_parameters,
            EVOLUTION: EvolutionParameters.from_mapping(preset.evolution),
        }
        for kind, original in originals.items():
            try:
                values[kind] = original.with_changes(values[kind])
            except ParameterError as error:
                errors += parameter_errors(kind, error)
        if not errors:
            try:
                values[EVOLUTION].check_against(task.signature, values[TASK].n_trials)
            except ParameterError as error:
                errors += parameter_errors(EVOLUTION, error)
        if errors:
            raise Invalid(errors)
        return {
            "name": f"{task.title}, {preset.label}",
            "n_runs": preset.n_runs,
            "seed": preset.seed,
            "visibility": Visibility.LABORATORY,
            **values,
            "preset": preset,
        }


class CloneSerializer(_SetupSerializer):
    """A copy of an experiment; what is left out is as in the original."""


class ExtensionSerializer(Serializer):
    """More generations or more runs, in all."""

    n_generations = IntegerField(min_value=1, max_value=1_000_000, required=False)
    n_runs = IntegerField(min_value=1, max_value=MAX_RUNS, required=False)


class ChangesSerializer(Serializer):
    """What may be changed of an experiment in any state."""

    tags = serializers.ListField(child=CharField(max_length=100), required=False, max_length=50)
    notes = CharField(max_length=20_000, allow_blank=True, required=False)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False)

    def validate_tags(self, words: list[str]) -> list[str]:
        """Accept what the page accepts."""
        from django.forms import ValidationError

        try:
            return TagsField(required=False).clean(" ".join(words))
        except ValidationError as error:
            raise serializers.ValidationError(error.messages) from None


class BulkSerializer(Serializer):
    """What is done to which experiments."""

    action = serializers.ChoiceField(choices=list(several.ACTIONS))
    experiments = serializers.ListField(
        child=IntegerField(min_value=1, max_value=2**63 - 1),
        min_length=1,
        max_length=500,
        help_text="Their numbers.",
    )


class BulkOutcomeSerializer(Serializer):
    """What became of one experiment."""

    experiment = IntegerField(source="number")
    is_done = serializers.SerializerMethodField()
    detail = CharField(source="refusal", help_text="Why it was not done; empty otherwise.")

    def get_is_done(self, outcome: Any) -> bool:
        """Return whether its state allowed it."""
        return not outcome.refusal


class EstimateSerializer(Serializer):
    """How long an experiment will take."""

    seconds = serializers.FloatField(help_text="Roughly, with one worker per core, in s.")


def parameter_errors(kind: str, error: ParameterError) -> list[dict[str, str]]:
    """Return the messages about parameters with their places in the body."""
    return [
        at(text, kind, *((name,) if name else ()))
        for name, texts in error.messages.items()
        for text in texts
    ]


def create(values: dict[str, Any], by: Person) -> Experiment:
    """Create an experiment, and launch it if that was asked for."""
    experiment, _ = experiments.create_experiment(
        owner=by,
        name=values["name"],
        learning_task=values["learning_task"],
        preset=values["preset"].name,
        task_parameters=values[TASK],
        evolution_parameters=values[EVOLUTION],
        seed=values["seed"],
        n_runs=values["n_runs"],
        visibility=Visibility(values["visibility"]),
    )
    if values["launch"]:
        experiments.launch_experiment(experiment, by=by)
    return experiment


def clone(original: Experiment, values: dict[str, Any], by: Person) -> Experiment:
    """Create a copy of an experiment, and launch it if that was asked for."""
    task_type = original.learning_task.parameters_type
    errors = [
        at("There is no such parameter.", kind, name)
        for kind, known in ((TASK, task_type), (EVOLUTION, EvolutionParameters))
        for name in values[kind]
        if name not in known.model_fields
    ]
    if errors:
        raise Invalid(errors)
    try:
        copy = experiments.clone_experiment(
            original,
            by=by,
            changes={**values[TASK], **values[EVOLUTION]},
            **{name: values.get(name) for name in ("name", "seed", "n_runs")},
        )
    except ParameterError as error:
        raise Invalid(
            [
                item
                for name, texts in error.messages.items()
                for kind in [TASK if name in task_type.model_fields else EVOLUTION]
                for item in parameter_errors(kind, ParameterError({name: texts}))
            ]
        ) from None
    except InvalidExperiment as error:
        raise Invalid([{"detail": str(error)}]) from None
    if (visibility := values.get("visibility")) and visibility != copy.visibility:
        # Nothing was simulated yet: nothing has to be opened or hidden with it.
        copy.visibility = Visibility(visibility)
        copy.save(update_fields=["visibility"])
    if values["launch"]:
        experiments.launch_experiment(copy, by=by)
    return copy
