"""Held-out trials of rules: asking for them, following them, and what they tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.db.models import Q
from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.response import Response

from evolution import access, catalogue, validated
from evolution.api.asking import LOCATION, followed
from evolution.api.base import ApiView, asked
from evolution.api.problems import Invalid, at
from evolution.api.queries import page_of, parameters, read_page
from evolution.api.rules import context_or_404
from evolution.api.validation_shapes import (
    AskRobustnessSerializer,
    HeldOutSerializer,
    RobustnessSerializer,
    ValidatedChampionSerializer,
    ValidateExperimentSerializer,
    ValidateFrontSerializer,
    ValidateSerializer,
    ValidationListedSerializer,
    ValidationSerializer,
)
from evolution.enums import Scope, ValidationKind, ValidationState
from evolution.estimates import METHODS
from evolution.models import Validation
from evolution.robustness import robustness
from evolution.services import validations
from evolution.views.held_out import held_out_of, tasks_of, validation_to_cancel
from evolution.views.lookup import experiment_or_404, rule_or_404
from simulations.learning_tasks import get_learning_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request
    from rest_framework.serializers import Serializer

    from evolution.access import Person
    from evolution.models import Rule
    from evolution.models.validation import ValidationQuerySet
    from evolution.services.idempotency import Answer
    from evolution.validated import HeldOut, Validated


class _Questions(ApiView):
    """Questions for trials, which count among the simulations."""

    write_scope = Scope.SIMULATE
    is_simulation = True

    def ask(self, request_validation: Callable[[], Validation]) -> Response:
        """Ask for trials, and answer with the question."""

        def act() -> Answer:
            validation = request_validation()
            location = reverse("api:validation", args=[validation.pk])
            body = _described(validation.pk, self.request.user)
            return asked(body, location, is_open=validation.state == ValidationState.OPEN)

        return self.once(act)


def _asks(name: str, summary: str, shape: type[Serializer], example: dict[str, Any]) -> Any:
    """Return the description of an operation that asks for trials."""
    return extend_schema(
        operation_id=name,
        summary=summary,
        description="Trials that are known are not simulated again: where all are, the answer is "
        "200.",
        request=shape,
        parameters=[LOCATION],
        responses=followed(ValidationSerializer, "All trials are known."),
        examples=[OpenApiExample("For example", example, request_only=True)],
    )


class RuleValidations(_Questions):
    """Questions for held-out trials."""

    @_asks(
        "validate_rule",
        "Simulate a rule and those of the literature in trials that no experiment has",
        ValidateSerializer,
        {"learning_task": "error-driven", "preset": "demo", "n_trials": 10},
    )
    def post(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        values = _fitting(self.read(ValidateSerializer), rule)
        return self.ask(
            lambda: validations.request_validation([rule], **values, owner=request.user)
        )


class RuleRobustness(_Questions):
    """How fitness depends on the parameters of the learning task."""

    @extend_schema(
        operation_id="get_robustness",
        summary="Read how the fitness of a rule changes with each parameter of its learning task",
        responses=RobustnessSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        validation = validated.latest_robustness(rule)
        if validation is None:
            raise Http404("Nobody has asked how robust this rule is.")
        task = get_learning_task(validation.context.learning_task_name)
        found = robustness(rule, validation, task)
        body = {**vars(found), "validation": validation, "learning_task": task.name}
        return Response(RobustnessSerializer(body).data)

    @_asks(
        "test_robustness",
        "Simulate a rule where one parameter at a time has another value",
        AskRobustnessSerializer,
        {"learning_task": "error-driven", "preset": "demo"},
    )
    def post(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        values = _fitting(self.read(AskRobustnessSerializer), rule)
        return self.ask(lambda: validations.request_robustness(rule, **values, owner=request.user))


class ExperimentValidations(_Questions):
    """Questions for held-out trials of what an experiment has found."""

    @_asks(
        "validate_experiment",
        "Simulate the champions of an experiment, or its Pareto front, in held-out trials",
        ValidateExperimentSerializer,
        {"which": "champions", "n_trials": 10},
    )
    def post(self, request: Request, pk: int) -> Response:
        experiment = experiment_or_404(pk, request.user)
        values = self.read(ValidateExperimentSerializer)
        rules, words = validated.rules_in_words(
            experiment, is_front=values["which"] == "front", run=values.get("run")
        )
        return self.ask(
            lambda: validations.request_for_experiment(
                experiment,
                rules,
                subject=words,
                n_trials=values.get("n_trials"),
                owner=request.user,
            )
        )


class FrontValidations(_Questions):
    """Questions for held-out trials of the catalogue's best rules."""

    @_asks(
        "validate_front",
        "Simulate the rules on the Pareto front of a context in held-out trials",
        ValidateFrontSerializer,
        {"learning_task": "error-driven", "context": 1},
    )
    def post(self, request: Request) -> Response:
        values = self.read(ValidateFrontSerializer)
        visible = access.visible_experiments(request.user)
        task = values["learning_task"]
        context = context_or_404(values["context"], catalogue.contexts(task, visible))
        return self.ask(
            lambda: validations.request_for_front(
                context,
                task,
                visible=visible,
                n_trials=values.get("n_trials"),
                owner=request.user,
            )
        )


class ValidationForm(forms.Form):
    """Which validations are wanted."""

    experiment = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    rule = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    kind = forms.ChoiceField(required=False, choices=ValidationKind.choices)
    state = forms.ChoiceField(required=False, choices=ValidationState.choices)


class ValidationList(ApiView):
    """All questions for held-out trials that may be seen."""

    @extend_schema(
        operation_id="list_validations",
        summary="List validations, the latest first",
        parameters=parameters(ValidationForm),
        responses=page_of(ValidationListedSerializer),
    )
    def get(self, request: Request) -> Response:
        page, values = read_page(request, ValidationForm(request.GET))
        wanted = {name: value for name in ValidationForm.base_fields if (value := values[name])}
        found = _visible(request.user).filter(**wanted).order_by("-pk")

        def prepared(items: list[Validation]) -> list[Validation]:
            return [_with_progress(item, request.user) for item in items]

        return Response(page.of(found, ValidationListedSerializer, prepared))


class ValidationDetail(ApiView):
    """One question for held-out trials."""

    @extend_schema(
        operation_id="get_validation",
        summary="Follow a validation, and read the values of its rule",
        description="Where it is about several rules, list_champions has the values of an "
        "experiment, and list_held_out those of each rule.",
        responses=ValidationSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(_described(pk, request.user))


class ValidationCancel(ApiView):
    """The end of a question."""

    write_scope = Scope.SIMULATE

    @extend_schema(
        operation_id="cancel_validation",
        summary="Let workers leave what is missing of a validation; what is known is kept",
        request=None,
        responses=ValidationSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        validations.cancel(validation_to_cancel(pk, request.user))
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


class ExperimentChampions(ApiView):
    """The champions of an experiment."""

    @extend_schema(
        operation_id="list_champions",
        summary="List the champions of an experiment with their values in held-out trials",
        responses=ValidatedChampionSerializer(many=True),
    )
    def get(self, request: Request, pk: int) -> Response:
        experiment = experiment_or_404(pk, request.user)
        rows = validated.champion_rows(experiment, access.visible_experiments(request.user))
        body = [
            {
                "rule": row.rule,
                "fitness": row.fitness,
                "runs": row.runs,
                "held_out": row.validated and _values_with_gap(row.validated),
            }
            for row in rows
        ]
        return Response(ValidatedChampionSerializer(body, many=True).data)


def _fitting(values: dict[str, Any], rule: Rule) -> dict[str, Any]:
    """Return what is asked for of a rule, if it fits the learning task."""
    task = values["learning_task"]
    if task.name not in {known.name for known in tasks_of(rule)}:
        detail = f"The rule does not fit the learning task {task.name}."
        raise Invalid([at(detail, "learning_task")])
    return {**values, "parameters": values["preset"].task_parameters}


def _visible(user: Person) -> ValidationQuerySet:
    """Return validations with their progress; who has asked may have lost sight of the rule."""
    found = access.visible_validations(user).filter(
        Q(rule__isnull=True) | Q(rule__in=access.visible_rules(user))
    )
    return found.select_related("context", "rule", "owner").with_progress()


def _described(pk: int, user: Person) -> dict[str, Any]:
    try:
        validation = _with_progress(_visible(user).get(pk=pk), user)
    except Validation.DoesNotExist:
        raise Http404(f"There is no validation {pk}.") from None
    validation.held_out = None
    if validation.kind == ValidationKind.VALIDATION and validation.rule is not None:
        validation.held_out = _in_context(validation.rule, validation.context_id, user)
    return ValidationSerializer(validation).data


def _with_progress(validation: Validation, user: Person) -> Validation:
    if validation.state != ValidationState.OPEN:
        validation.progress = 1.0
    else:
        validation.progress = (validation.n_done or 0) / (validation.n_wanted or 1)
    validation.may_cancel = validation.state == ValidationState.OPEN and access.may_cancel(
        user, validation
    )
    return validation


def _in_context(rule: Rule, context_id: int, user: Person) -> dict[str, Any] | None:
    for item in held_out_of(rule, user):
        if item.own.evaluation.context_id == context_id and not item.own.is_pending:
            return _shown(item)
    return None


def _shown(item: HeldOut) -> dict[str, Any]:
    return {
        **_values_with_gap(item.own),
        "baselines": [
            {"name": name, **_values(other), "difference": difference}
            for name, other, difference in item.baselines
        ],
    }


def _values_with_gap(own: Validated) -> dict[str, Any]:
    return {
        **_values(own),
        "learning_task": own.learning_task,
        "is_published": own.is_published,
        "method": METHODS[own.learning_task.aggregate],
        "gap": own.gap,
    }


def _values(of: Validated) -> dict[str, Any]:
    return {"evaluation": of.evaluation, "estimate": of.estimate}
