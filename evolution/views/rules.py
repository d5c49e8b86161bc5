"""The catalogue of rules: the list with its Pareto front, and the page of one rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evolution import access, catalogue, discoveries, fronts
from evolution.drawings import strips
from evolution.enums import Outcome
from evolution.exports import FORMS, Inexpressible
from evolution.filters import RuleFilter
from evolution.front_plot import LAYERS, front_figure
from evolution.models import EvaluationContext, Rule
from evolution.models.rule import signature_text
from evolution.services.validations import MAX_TRIALS
from evolution.validated import ValidatedRules
from evolution.views import tables
from evolution.views.guards import open_to_the_public
from evolution.views.held_out import tasks_of, validation_context
from evolution.views.lookup import rule_or_404
from evolution.views.microscope import microscope
from evolution.views.presentation import (
    error_label,
    figure_response,
    fitness_axes,
    rule_address_template,
)
from evolution.views.rule_tables import rule_tables
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
#: Pages beyond are not served: who looks for something far down filters.
MAX_PAGE = 200
N_FORMS = 30
N_RELATIVES = 12
N_CONTEXTS = 12
N_DISCOVERIES = 20


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
    number = _page_number(request)
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


@open_to_the_public
@never_cache
@require_safe
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a rule: its mathematics, shape, behaviour, forms, fitness, and where it was found."""
    found = catalogue.rule_with_notes(pk, access.visible_rules(request.user))
    if found is None:
        raise Http404(f"There is no rule {pk}.")
    rule, notes = found
    visible = access.visible_experiments(request.user)
    if tables.is_wanted(request):
        return tables.answer(request, f"rule-{pk}", rule_tables(rule, visible))
    counts = discoveries.found_counts(
        [rule.fingerprint],
        n_forms=discoveries.N_FORMS_OF_ONE,
        visible=visible,
        rule_id=rule.pk,
    )
    n_runs, n_experiments = counts.get((rule.signature, rule.fingerprint), (0, 0))
    forms = Paginator(catalogue.forms(rule), N_FORMS).get_page(request.GET.get("forms"))
    number = _page_number(request)
    found_in, is_more = discoveries.first_in_runs(
        rule, offset=(number - 1) * N_DISCOVERIES, limit=N_DISCOVERIES, visible=visible
    )
    learning_tasks = tasks_of(rule)
    known = _known_rules(rule, learning_tasks)
    evaluations, beside = catalogue.evaluations_beside(
        rule, [item["key"] for item in known], N_CONTEXTS, visible
    )
    context = {
        "section": "rules",
        "rule": rule,
        "branches": [
            {"name": name, "mathml": mathml, "text": text}
            for name, mathml, text in zip(
                rule.branch_names, rule.mathml, rule.expressions, strict=True
            )
        ],
        "learning_tasks": learning_tasks,
        "symbols": learning_tasks[0].signature.inputs if learning_tasks else (),
        "known_rules": known,
        "exports": _exports(rule),
        **microscope(rule, learning_tasks),
        "notes": notes,
        "own_note": next((note for note in notes if note["author_id"] == request.user.pk), None),
        "contexts": _fitness_rows(evaluations, beside, known, visible),
        **validation_context(rule, learning_tasks, evaluations, visible),
        "forms": forms,
        "simplest": forms[0] if forms.number == 1 and forms else None,
        "relatives": catalogue.relatives(rule, N_RELATIVES),
        "n_runs": n_runs,
        "is_lower_bound": forms.paginator.count > discoveries.N_FORMS_OF_ONE,
        "n_experiments": n_experiments,
        "discoveries": found_in,
        "number": number,
        "is_more": is_more,
    }
    return render(request, "evolution/rule.html", context)


@open_to_the_public
@never_cache
@require_safe
def export(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """Return a rule in one of its forms as a file."""
    rule = rule_or_404(pk, request.user)
    form = FORMS.get(name)
    if form is None:
        raise Http404(f"Rules have no form {name!r}. There are: {', '.join(FORMS)}.")
    try:
        text = form.write(rule)
    except Inexpressible as error:
        raise Http404(f"Rule {pk} has no {form.title}. {error}") from None
    return HttpResponse(
        text,
        content_type=f"{form.media_type}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{form.file_name(rule)}"'},
    )


# --- the list -----------------------------------------------------------------------------------


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


def _page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "")
    is_number = text.isascii() and text.isdigit() and len(text) < 6
    return min(max(1, int(text)), MAX_PAGE) if is_number else 1


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


# --- one rule -----------------------------------------------------------------------------------


def _exports(rule: Rule) -> list[dict[str, Any]]:
    """Return each form with its text, or the reason why there is none."""
    exports = []
    for form in FORMS.values():
        text, reason = "", ""
        try:
            text = form.write(rule)
        except Inexpressible as error:
            reason = str(error)
        exports.append({"form": form, "text": text, "reason": reason})
    return exports


def _known_rules(rule: Rule, learning_tasks: Iterable[LearningTask]) -> list[dict[str, Any]]:
    """Return the rules of the literature for the same learning tasks, and whether this is one."""
    known: dict[str, dict[str, Any]] = {}
    for learning_task in learning_tasks:
        for baseline, other in learning_task.canonical_baselines:
            known[other.key] = {
                "name": baseline.name,
                "reference": baseline.reference,
                "mathml": other.mathml,
                "key": other.key,
                "is_equivalent": other.fingerprint == rule.fingerprint,
                "is_same": other.family == rule.family,
            }
    return list(known.values())


def _fitness_rows(
    evaluations: list[Any],
    baselines: dict[tuple[int, str], Any],
    known: list[dict[str, Any]],
    visible: ExperimentQuerySet,
) -> list[dict[str, Any]]:
    """Return trials and fitness in each context, beside those of the rules of the literature."""
    context_ids = {evaluation.context_id for evaluation in evaluations}
    experiments = catalogue.experiments_in(context_ids, visible)
    rows = []
    for evaluation in evaluations:
        try:
            label = get_learning_task(evaluation.context.learning_task_name).fitness_label
        except UnknownLearningTask:
            label = ""
        beside = [
            (item, baselines[evaluation.context_id, item["key"]])
            for item in known
            if (evaluation.context_id, item["key"]) in baselines
        ]
        own, *others = strips(
            [
                (evaluation.trials, evaluation.score),
                *((other.trials, other.score) for _, other in beside),
            ],
            is_error=bool(error_label(label)),
        )
        users = experiments.get(evaluation.context_id, [])
        rows.append(
            {
                "evaluation": evaluation,
                "context": evaluation.context,
                "fitness_label": label,
                "strip": own,
                "reason": Outcome(evaluation.reason).label if evaluation.reason else "",
                "experiments": users[:3],
                "n_more_experiments": max(0, len(users) - 3),
                "baselines": [
                    {"name": item["name"], "score": other.score, "strip": strip}
                    for (item, other), strip in zip(beside, others, strict=True)
                ],
            }
        )
    return rows
