"""Held-out trials of rules: asking for them, following them, and what they tell."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
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

from evolution import access
from evolution.api.base import ApiView
from evolution.api.parameters import LearningTaskField
from evolution.api.problems import Invalid, at
from evolution.api.shapes import RuleTextSerializer
from evolution.enums import Scope, ValidationKind, ValidationState
from evolution.estimates import METHODS
from evolution.models import Validation
from evolution.services import validations
from evolution.services.idempotency import Answer
from evolution.views.held_out import held_out_of, tasks_of
from evolution.views.lookup import rule_or_404

if TYPE_CHECKING:
    from rest_framework.request import Request

    from evolution.access import Person
    from evolution.models import Rule
    from evolution.validated import HeldOut, Validated

_LOCATION = OpenApiParameter(
    "Location",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Where to follow it.",
    response=[200, 202],
)
_EXAMPLE = OpenApiExample(
    "Ten held-out trials",
    {"learning_task": "error-driven", "preset": "demo", "n_trials": 10},
    request_only=True,
)


class NumberField(FloatField):
    """A number that was computed; null where there is none, or none that is finite."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_representation(self, value: Any) -> float | None:
        """Return the number."""
        number = super().to_representation(value)
        return number if math.isfinite(number) else None


class ValidateSerializer(Serializer):
    """Held-out trials to simulate."""

    learning_task = LearningTaskField()
    preset = CharField(max_length=60, default="demo")
    n_trials = IntegerField(
        min_value=1,
        max_value=validations.MAX_TRIALS,
        required=False,
        help_text="As many as the preset has, unless given.",
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Put the preset in the place of its name."""
        presets = values["learning_task"].presets
        if values["preset"] not in presets:
            detail = f"There is no such preset. Choose one of: {', '.join(presets)}."
            raise serializers.ValidationError({"preset": detail})
        preset = presets[values["preset"]]
        return {"n_trials": preset.task_parameters.n_trials, **values, "preset": preset}


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


class RuleValidations(ApiView):
    """Questions for held-out trials."""

    write_scope = Scope.SIMULATE
    is_simulation = True

    @extend_schema(
        operation_id="validate_rule",
        summary="Simulate a rule and those of the literature in trials that no experiment has",
        description="Trials that are known are not simulated again: where all are, the answer is "
        "200 with their values.",
        request=ValidateSerializer,
        parameters=[_LOCATION],
        responses={
            202: OpenApiResponse(ValidationSerializer, description="Follow it at Location."),
            200: OpenApiResponse(ValidationSerializer, description="All trials are known."),
        },
        examples=[_EXAMPLE],
    )
    def post(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        values = self.read(ValidateSerializer)
        task, preset = values["learning_task"], values["preset"]
        if task.name not in {known.name for known in tasks_of(rule)}:
            detail = f"The rule does not fit the learning task {task.name}."
            raise Invalid([at(detail, "learning_task")])

        def act() -> Answer:
            asked = validations.request_validation(
                [rule],
                task,
                preset=preset,
                parameters=preset.task_parameters,
                n_trials=values["n_trials"],
                owner=request.user,
            )
            is_open = asked.state == ValidationState.OPEN
            status = HTTPStatus.ACCEPTED if is_open else HTTPStatus.OK
            location = reverse("api:validation", args=[asked.pk])
            return Answer(status, _described(asked.pk, request.user), location)

        return self.once(act)


class ValidationDetail(ApiView):
    """One question for held-out trials."""

    @extend_schema(
        operation_id="get_validation",
        summary="Follow a validation of a rule, and read its values",
        responses=ValidationSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(_described(pk, request.user))


class RuleHeldOut(ApiView):
    """All that is known of a rule in held-out trials."""

    @extend_schema(
        operation_id="list_held_out",
        summary="List the values of a rule in held-out trials, beside the rules of the literature",
        responses=HeldOutSerializer(many=True),
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        found = [_shown(item) for item in held_out_of(rule, request.user)]
        return Response(HeldOutSerializer(found, many=True).data)


def _described(pk: int, user: Person) -> dict[str, Any]:
    about_rules = access.visible_validations(user).filter(
        kind=ValidationKind.VALIDATION, rule__isnull=False
    )
    try:
        asked = about_rules.select_related("context").with_progress().get(pk=pk)
    except (Validation.DoesNotExist, OverflowError):
        raise Http404(f"There is no validation {pk} of a rule.") from None
    # Who has asked may have lost sight of the rule.
    rule = rule_or_404(asked.rule_id, user)
    if asked.state != ValidationState.OPEN:
        asked.progress = 1.0
    else:
        asked.progress = (asked.n_done or 0) / asked.n_wanted if asked.n_wanted else 0.0
    asked.held_out = _in_context(rule, asked.context_id, user)
    return ValidationSerializer(asked).data


def _in_context(rule: Rule, context_id: int, user: Person) -> dict[str, Any] | None:
    for item in held_out_of(rule, user):
        if item.own.evaluation.context_id == context_id and not item.own.is_pending:
            return _shown(item)
    return None


def _shown(item: HeldOut) -> dict[str, Any]:
    own = item.own
    return {
        **_values(own),
        "learning_task": own.learning_task,
        "is_published": own.is_published,
        "method": METHODS[own.learning_task.aggregate],
        "gap": own.gap,
        "baselines": [
            {"name": name, **_values(other), "difference": difference}
            for name, other, difference in item.baselines
        ],
    }


def _values(of: Validated) -> dict[str, Any]:
    return {"evaluation": of.evaluation, "estimate": of.estimate}
