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
)

from evolution.api.asking import InPresetSerializer
from evolution.api.shapes import NumberField, RuleTextSerializer
from evolution.enums import ValidationState
from evolution.services.validations import MAX_TRIALS


class ValidateSerializer(InPresetSerializer):
    """Held-out trials to simulate."""

    n_trials = IntegerField(
        min_value=1,
        max_value=MAX_TRIALS,
        required=False,
        help_text="As many as the preset has, unless given.",
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the preset's number of trials."""
        values = super().validate(values)
        return {"n_trials": values["preset"].task_parameters.n_trials, **values}


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


class HeldOutSerializer(_ValuesSerializer):
    """A rule in held-out trials, beside the rules of the literature."""

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
    baselines = HeldOutBaselineSerializer(many=True)


class ValidationSerializer(Serializer):
    """A question for held-out trials of a rule."""

    id = IntegerField(source="pk")
    rule = RuleTextSerializer()
    learning_task = CharField(source="context.learning_task_name")
    n_trials = IntegerField()
    state = ChoiceField(choices=ValidationState.choices)
    detail = CharField(help_text="Why it could not be answered; empty otherwise.")
    progress = FloatField(help_text="Share of the trials that it waits for; 1 when it is over.")
    estimated_s = FloatField(help_text="How long it takes, roughly, in s of one core.")
    held_out = HeldOutSerializer(
        allow_null=True, help_text="What is known so far; null before the first trial."
    )
    created_at = DateTimeField()
    finished_at = DateTimeField(allow_null=True)
