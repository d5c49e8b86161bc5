"""The page of a rule, and the rule as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evolution import access, catalogue, discoveries
from evolution.drawings import strips
from evolution.enums import Outcome
from evolution.exports import FORMS, Inexpressible
from evolution.views import tables
from evolution.views.guards import open_to_the_public
from evolution.views.held_out import tasks_of, validation_context
from evolution.views.lookup import page_number, rule_or_404
from evolution.views.microscope import microscope
from evolution.views.presentation import error_label
from evolution.views.rule_tables import rule_tables
from simulations.learning_tasks import UnknownLearningTask, get_learning_task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evolution.models import Rule
    from evolution.models.experiment import ExperimentQuerySet
    from simulations.learning_tasks import LearningTask

N_FORMS = 30
N_RELATIVES = 12
N_CONTEXTS = 12
N_DISCOVERIES = 20


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
    number = page_number(request)
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
