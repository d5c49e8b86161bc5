"""The catalogue of rules: the list, and its Pareto front."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evolution import access, catalogue, fronts
from evolution.drawings import strips
from evolution.filters import RuleFilter
from evolution.front_plot import LAYERS, front_figure
from evolution.models import EvaluationContext, Rule
from evolution.models.rule import signature_text
from evolution.services.validations import MAX_TRIALS
from evolution.validated import ValidatedRules
from evolution.views import tables
from evolution.views.guards import open_to_the_public
from evolution.views.lookup import MAX_PAGE, page_number
from evolution.views.presentation import (
    error_label,
    figure_response,
    fitness_axes,
    rule_address_template,
)
from evolution.views.tables import Column, Table
from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.learning_tasks import (
    LearningTask,
    UnknownLearningTask,
    get_learning_task,
    learning_task_names,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evolution.catalogue import Context, RuleClass
    from evolution.models.experiment import ExperimentQuerySet

PER_PAGE = 25
_ROWS_AT_ONCE = 250


@open_to_the_public
@never_cache
@require_safe
def rule_list(request: HttpRequest) -> HttpResponse:
    """List the classes of rules of a learning task; everything chosen stands in the address."""
    visible = access.visible_experiments(request.user)
    learning_task = _chosen_task(request, visible)
    contexts = catalogue.contexts(learning_task, visible)
    data = request.GET.copy()
    data.setdefault("context", str(contexts[0].pk) if contexts else "")
    form = RuleFilter(data, contexts=contexts)
    is_valid = form.is_valid()
    values = form.cleaned_data
    context = form.contexts.get(values.get("context", ""))
    typed, problem = _typed_rule(values.get("q", ""), learning_task)
    classes: list[RuleClass] = []
    is_more = False
    number = page_number(request)
    if is_valid and problem is None:
        wanted = criteria(values, learning_task, context, typed)
        if tables.is_wanted(request):
            columns = _list_columns(learning_task)
            return tables.answer(
                request,
                learning_task.name,
                {
                    "rules": lambda: Table(
                        columns, _all_classes(wanted, learning_task, context, visible)
                    )
                },
            )
        classes, is_more = catalogue.rule_classes(
            wanted, offset=(number - 1) * PER_PAGE, limit=PER_PAGE, visible=visible
        )
    query = request.GET.copy()
    query.pop("page", None)
    page = {
        "section": "rules",
        "learning_task": learning_task,
        "learning_tasks": [get_learning_task(name) for name in learning_task_names()],
        "form": form,
        "context": context,
        "typed": typed,
        "problem": problem,
        "pointer": _pointer(values.get("q", ""), problem),
        "rows": _rows(classes, learning_task, context, visible),
        "max_trials": MAX_TRIALS,
        "number": number,
        "is_more": is_more and number < MAX_PAGE,
        "query": query.urlencode(),
        "is_error": bool(error_label(learning_task.fitness_label)),
        "n_filters": form.n_set - 1 if data.get("context") else form.n_set,
    }
    status = 200 if is_valid and problem is None else 400
    return render(request, "evolution/rules.html", page, status=status)


@open_to_the_public
@never_cache
@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """Return the plot of complexity against fitness in one context for BokehJS."""
    visible = access.visible_experiments(request.user)
    learning_task = _chosen_task(request, visible)
    labels = fitness_axes(learning_task)
    scale = request.GET.get("scale", "linear")
    if scale not in labels:
        return JsonResponse({"error": f"There is no scale {scale!r} here."}, status=400)
    asked = request.GET.get("context", "")
    context = {str(item.pk): item for item in catalogue.contexts(learning_task, visible)}.get(asked)
    if context is None:
        raise Http404("There are no such trials.")
    fittest = fronts.fittest_by_complexity(context.pk, context.n_trials)
    points = fronts.pareto_fronts(fittest, len(LAYERS))
    rules = Rule.objects.in_bulk({point.rule_id for point in points})
    figure = front_figure(
        points,
        {pk: str(rule) for pk, rule in rules.items()},
        y_label=labels[scale],
        scale=scale,
        address=rule_address_template(),
    )
    return figure_response(figure)


def _chosen_task(request: HttpRequest, visible: ExperimentQuerySet) -> LearningTask:
    """Return the learning task that the address names, else that of the latest experiment."""
    names = learning_task_names()
    name = request.GET.get("task")
    if not name:
        latest = (
            visible.filter(learning_task_name__in=names)
            .newest_first()
            .values_list("learning_task_name", flat=True)
            .first()
        )
        name = latest or names[0]
    try:
        return get_learning_task(name)
    except UnknownLearningTask as error:
        raise Http404(str(error)) from None


def _typed_rule(
    text: str, learning_task: LearningTask
) -> tuple[PlasticityRule | None, RuleSyntaxError | None]:
    if not text.strip():
        return None, None
    try:
        return catalogue.parse_rule(text, learning_task), None
    except RuleSyntaxError as error:
        return None, error


def _pointer(text: str, problem: RuleSyntaxError | None) -> dict[str, str] | None:
    """Return the typed text in three parts: before, at and after the mistake."""
    if problem is None or problem.column is None:
        return None
    at = problem.column - 1
    start = max(0, at - 60)
    return {
        "before": ("…" if start else "") + text[start:at],
        "at": text[at : at + 1] or "\u00a0",
        "after": text[at + 1 : at + 40],
    }


def criteria(
    values: dict[str, Any],
    learning_task: LearningTask,
    context: Context | None,
    typed: PlasticityRule | None,
) -> catalogue.Criteria:
    """Return what the values of a `RuleFilter` ask for."""
    is_family = values["match"] == "family"
    sort = values["sort"] or ("fitness" if context else "newest")
    if context is None and sort == "fitness":
        sort = "newest"
    return catalogue.Criteria(
        signature=signature_text(learning_task.signature),
        context=context,
        fingerprint=typed.fingerprint if typed and not is_family else None,
        family=typed.family if typed and is_family else None,
        complexity_min=values["complexity_min"],
        complexity_max=values["complexity_max"],
        fitness_min=values["fitness_min"],
        fitness_max=values["fitness_max"],
        sort=sort,
    )


def _rows(
    classes: Iterable[RuleClass],
    learning_task: LearningTask,
    context: Context | None,
    visible: ExperimentQuerySet,
) -> list[dict[str, Any]]:
    classes = list(classes)
    is_error = bool(error_label(learning_task.fitness_label))
    drawn = strips(
        [
            (item.evaluation.trials, item.evaluation.score) if item.evaluation else ((), None)
            for item in classes
        ],
        is_error=is_error,
    )
    names = catalogue.names_of_rules(
        signature_text(learning_task.signature), [item.rule.fingerprint for item in classes]
    )
    validations = ValidatedRules([item.rule for item in classes], learning_task, visible)
    like = None
    if context is not None:
        like = EvaluationContext.objects.get(pk=context.pk).task_parameters
    return [
        {
            "item": item,
            "strip": strip,
            "names": names.get(item.rule.fingerprint, []),
            "validated": validations.of(item.rule, like=like),
        }
        for item, strip in zip(classes, drawn, strict=True)
    ]


def _list_columns(learning_task: LearningTask) -> list[Column]:
    def score(row: dict[str, Any]) -> float | None:
        evaluation = row["item"].evaluation
        # What failed has a fitness of minus infinity, what was not evaluated has none.
        return -math.inf if evaluation and evaluation.reason else evaluation and evaluation.score

    def trials(row: dict[str, Any]) -> list[float] | None:
        return row["item"].evaluation and row["item"].evaluation.trials

    unit = tables.unit(learning_task.fitness_label)
    return [
        Column("rule number", "item.rule.pk"),
        tables.rule("item.rule"),
        Column("names", lambda row: "; ".join(row["names"])),
        Column("complexity", "item.rule.complexity"),
        Column("best fitness", score, unit),
        Column("trials", trials, unit),
        Column("reason", "item.evaluation.reason"),
        Column("runs", "item.n_runs"),
        Column("experiments", "item.n_experiments"),
        Column("are lower bounds", "item.is_lower_bound"),
        Column("forms", "item.n_forms"),
        Column("first found", "item.first_found.created_at"),
    ]


def _all_classes(
    criteria: catalogue.Criteria,
    learning_task: LearningTask,
    context: Context | None,
    visible: ExperimentQuerySet,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of all pages."""
    for offset in range(0, MAX_PAGE * PER_PAGE, _ROWS_AT_ONCE):
        classes, is_more = catalogue.rule_classes(
            criteria, offset=offset, limit=_ROWS_AT_ONCE, visible=visible
        )
        yield from _rows(classes, learning_task, context, visible)
        if not is_more:
            return
