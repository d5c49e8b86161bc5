"""Shapes of the bodies about held-out trials."""

from __future__ import annotations

from typing import Any

from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateTimeField,
    DictField,
    FloatField,
    IntegerField,
    JSONField,
    ListField,
    Serializer,
    ValidationError,
)

from evolution.api.asking import InPresetSerializer
from evolution.api.parameters import LearningTaskField
from evolution.api.shapes import NumberField, RuleTextSerializer, fitness_field
from evolution.enums import ValidationKind, ValidationState
from evolution.models.experiment import MAX_RUNS
from evolution.services.validations import MAX_TRIALS, N_ROBUSTNESS_TRIALS


def _n_trials(help_text: str, **options: Any) -> IntegerField:
    if "default" not in options:
        options["required"] = False
    return IntegerField(min_value=1, max_value=MAX_TRIALS, help_text=help_text, **options)


class ValidateSerializer(InPresetSerializer):
    """Held-out trials to simulate."""

    n_trials = _n_trials(help_text="As many as the preset has, unless given.")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the preset's number of trials."""
        values = super().validate(values)
        return {"n_trials": values["preset"].task_parameters.n_trials, **values}


class AskRobustnessSerializer(InPresetSerializer):
    """Trials at other values of the parameters."""

    n_trials = _n_trials(default=N_ROBUSTNESS_TRIALS, help_text="At each value of a parameter.")


class ValidateExperimentSerializer(Serializer):
    """Held-out trials of what an experiment has found."""

    which = ChoiceField(choices=["champions", "front"], default="champions")
    run = IntegerField(
        min_value=1, max_value=MAX_RUNS, required=False, help_text="Only the champion of this run."
    )
    n_trials = _n_trials(help_text="As many as the experiment has, unless given.")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Refuse the front of one run, which there is not."""
        if values["which"] == "front" and "run" in values:
            raise ValidationError({"run": "A front is of all runs together."})
        return values


class ValidateFrontSerializer(Serializer):
    """Held-out trials of the rules on a Pareto front of the catalogue."""

    learning_task = LearningTaskField()
    context = IntegerField(min_value=1, max_value=2**63 - 1, help_text="See list_contexts.")
    n_trials = _n_trials(help_text="As many as make a fitness there, unless given.")


class FitnessEstimateSerializer(Serializer):
    """A fitness with its uncertainty."""

    value = NumberField(help_text="The trials in the way that makes a fitness of them.")
    low = NumberField(help_text="Lower end of the 95 % confidence interval; null of one trial.")
    high = NumberField(help_text="Upper end of it.")
    mean = NumberField()
    sd = NumberField(help_text="Standard deviation of the trials, with n - 1.")
    n_trials = IntegerField()


class FitnessDifferenceSerializer(Serializer):
    """How much fitter one is than the other."""

    value = NumberField()
    low = NumberField(help_text="Lower end of the 95 % confidence interval.")
    high = NumberField(help_text="Upper end of it.")
    p_value = NumberField(help_text="Of no difference; null where no test was made.")
    test = CharField(help_text="Its name.")
    n_trials = IntegerField(help_text="Trials that both have.")


class _ValuesSerializer(Serializer):
    trials = ListField(child=FloatField(), source="evaluation.trials")
    reason = CharField(
        source="evaluation.reason", help_text="Why the next trial has no value; empty otherwise."
    )
    fitness = FitnessEstimateSerializer(
        source="estimate", allow_null=True, help_text="Null where the rule fails or has no trial."
    )


class HeldOutBaselineSerializer(_ValuesSerializer):
    """A rule of the literature in the same trials."""

    name = CharField()
    rule = RuleTextSerializer(source="evaluation.rule")
    difference = FitnessDifferenceSerializer(
        allow_null=True, help_text="How much fitter the rule is than this one, in pairs of trials."
    )


class ChampionHeldOutSerializer(_ValuesSerializer):
    """A rule in held-out trials."""

    context = IntegerField(source="evaluation.context_id")
    learning_task = CharField(source="learning_task.name")
    task_parameters = DictField(child=JSONField(), source="evaluation.context.task_parameters")
    seed = IntegerField(source="evaluation.context.seed")
    is_published = BooleanField(help_text="Values of the literature.")
    method = CharField(help_text="Of the confidence intervals of fitness.")
    gap = FitnessDifferenceSerializer(
        allow_null=True,
        help_text="Fitness in training minus that in held-out trials; null where one is unknown.",
    )


class HeldOutSerializer(ChampionHeldOutSerializer):
    """A rule in held-out trials, beside the rules of the literature."""

    baselines = HeldOutBaselineSerializer(many=True)


class ValidatedChampionSerializer(Serializer):
    """A rule that is the champion of some runs of an experiment."""

    rule = RuleTextSerializer()
    fitness = fitness_field()
    runs = ListField(child=IntegerField(), help_text="Numbers of these runs.")
    held_out = ChampionHeldOutSerializer(
        allow_null=True, help_text="With the experiment's parameters; null where not known."
    )


class ValidationListedSerializer(Serializer):
    """A question for held-out trials as lists show it."""

    id = IntegerField(source="pk")
    kind = ChoiceField(choices=ValidationKind.choices)
    subject = CharField(help_text="Which rules, in words.")
    rule = RuleTextSerializer(allow_null=True, help_text="Null where it is about several.")
    experiment = IntegerField(
        source="experiment_id", allow_null=True, help_text="Whose rules they are, of several."
    )
    asked_by = CharField(source="owner.username", allow_null=True, default=None)
    learning_task = CharField(source="context.learning_task_name")
    n_trials = IntegerField()
    state = ChoiceField(choices=ValidationState.choices)
    detail = CharField(help_text="Why it could not be answered; empty otherwise.")
    progress = FloatField(help_text="Share of the trials that it waits for; 1 when it is over.")
    estimated_s = FloatField(help_text="How long it takes, roughly, in s of one core.")
    may_cancel = BooleanField(help_text="Whether you may cancel it now.")
    created_at = DateTimeField()
    finished_at = DateTimeField(allow_null=True)


class ValidationSerializer(ValidationListedSerializer):
    """A question for held-out trials."""

    held_out = HeldOutSerializer(
        allow_null=True,
        help_text="What is known of its rule so far; null before the first trial, of several "
        "rules, and of a robustness.",
    )


class SensitivityPointSerializer(Serializer):
    """Fitness at one value of a parameter."""

    factor = FloatField(help_text="Of the parameter's own value.")
    value = FloatField()
    fitness = fitness_field()
    baseline = fitness_field()


class SensitivitySerializer(Serializer):
    """How fitness depends on one parameter."""

    name = CharField()
    label = CharField()
    unit = CharField()
    value = FloatField()
    swing = NumberField(
        help_text="Largest difference of fitness; null where the rule fails at some value."
    )
    points = SensitivityPointSerializer(many=True)


class RobustnessSerializer(Serializer):
    """Fitness of a rule around one set of parameters, the one that matters most first."""

    validation = IntegerField(source="validation.pk")
    state = ChoiceField(source="validation.state", choices=ValidationState.choices)
    learning_task = CharField()
    n_trials = IntegerField()
    fitness = fitness_field()
    baseline = fitness_field()
    baseline_name = CharField(help_text="The best rule of the literature.")
    parameters = SensitivitySerializer(many=True)
