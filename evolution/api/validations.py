"""Held-out trials of rules: asking for them, following them, and what they tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.response import Response

from evolution import access
from evolution.api.asking import LOCATION, followed
from evolution.api.base import ApiView, asked
from evolution.api.problems import Invalid, at
from evolution.api.validation_shapes import (
    HeldOutSerializer,
    ValidateSerializer,
    ValidationSerializer,
)
from evolution.enums import Scope, ValidationKind, ValidationState
from evolution.estimates import METHODS
from evolution.models import Validation
from evolution.services import validations
from evolution.views.held_out import held_out_of, tasks_of
from evolution.views.lookup import rule_or_404

if TYPE_CHECKING:
    from rest_framework.request import Request

    from evolution.access import Person
    from evolution.models import Rule
    from evolution.services.idempotency import Answer
    from evolution.validated import HeldOut, Validated

_EXAMPLE = OpenApiExample(
    "Ten held-out trials",
    {"learning_task": "error-driven", "preset": "demo", "n_trials": 10},
    request_only=True,
)


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
        parameters=[LOCATION],
        responses=followed(ValidationSerializer, "All trials are known."),
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
            validation = validations.request_validation(
                [rule],
                task,
                preset=preset,
                parameters=preset.task_parameters,
                n_trials=values["n_trials"],
                owner=request.user,
            )
            location = reverse("api:validation", args=[validation.pk])
            body = _described(validation.pk, request.user)
            return asked(body, location, is_open=validation.state == ValidationState.OPEN)

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
        validation = about_rules.select_related("context").with_progress().get(pk=pk)
    except (Validation.DoesNotExist, OverflowError):
        raise Http404(f"There is no validation {pk} of a rule.") from None
    # Who has validation may have lost sight of the rule.
    rule = rule_or_404(validation.rule_id, user)
    if validation.state != ValidationState.OPEN:
        validation.progress = 1.0
    else:
        validation.progress = (
            (validation.n_done or 0) / validation.n_wanted if validation.n_wanted else 0.0
        )
    validation.held_out = _in_context(rule, validation.context_id, user)
    return ValidationSerializer(validation).data


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
