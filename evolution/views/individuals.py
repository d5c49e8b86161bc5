"""The individuals of a run: the table of all, and the page of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evolution import access, genealogy
from evolution.cgp.phenotype import expression_text
from evolution.drawings import strips
from evolution.enums import Outcome
from evolution.filters import IndividualFilter
from evolution.models import Generation, Individual
from evolution.validated import ValidatedRules
from evolution.views import runs, tables
from evolution.views.guards import open_to_link_holders
from evolution.views.presentation import error_label
from evolution.views.tables import Column, Table
from nest_build.rules import RuleSyntaxError, parse

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from evolution.models import Run
    from evolution.models.experiment import ExperimentQuerySet
    from evolution.validated import Validated

PER_PAGE = 50
_ROWS_AT_ONCE = 2000
N_OFFSPRING = 24

#: What the outcome of an individual means, for its page.
_EXPLANATIONS = {
    Outcome.EVALUATED: "Its rule was simulated in all trials.",
    Outcome.INHERITED: (
        "The mutation touched inactive nodes only, so the rule is its parent's and the fitness "
        "was taken over without a simulation."
    ),
    Outcome.PRUNED: (
        "After some trials it was certain that it could not survive any more; the other trials "
        "were left out. Its fitness counts as minus infinity."
    ),
    Outcome.HURDLE: (
        "It stayed below the hurdle in the first trials, so the others were left out. "
        "Its fitness counts as minus infinity."
    ),
    Outcome.INVALID: (
        "Its genome encodes an expression that is longer or nested deeper than the language "
        "allows. Nothing was simulated; its fitness counts as minus infinity."
    ),
    Outcome.NOT_FINITE: (
        "With this rule something in the simulation became infinite or undefined. "
        "Its fitness counts as minus infinity."
    ),
    Outcome.TIME_LIMIT: (
        "The simulation did not end within its time limit. Its fitness counts as minus infinity."
    ),
    Outcome.CRASH: (
        "The simulator crashed more than once with this rule. Its fitness counts as minus infinity."
    ),
    Outcome.ERROR: (
        "The simulation ended with an error. Its fitness counts as minus infinity; "
        "the experiment's owner may have it repeated."
    ),
}


@open_to_link_holders
@never_cache
@require_safe
def individual_list(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """List the individuals of a run; filters, order and page stand in the address."""
    run = runs.get_run(pk, number, request.user)
    form = IndividualFilter(request.GET)
    is_valid = form.is_valid()
    found = filtered_individuals(run, form.cleaned_data if is_valid else {})
    if not is_valid:
        found = found.none()
    if tables.is_wanted(request):
        label = run.experiment.learning_task.fitness_label
        rows = found.iterator(chunk_size=_ROWS_AT_ONCE)
        return tables.answer(
            request,
            f"experiment-{pk}-run-{number}",
            {"individuals": lambda: Table(columns(label), rows)},
        )
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    for individual in page:
        individual.run = run
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        **runs.run_context(run, "individuals", request.user),
        "form": form,
        "page": page,
        "query": query.urlencode(),
    }
    status = 200 if is_valid else 400
    return render(request, "evolution/run_individuals.html", context, status=status)


@open_to_link_holders
@never_cache
@require_safe
def page(request: HttpRequest, pk: int, number: int, index: int) -> HttpResponse:
    """Show an individual: genome, rule, trials, parent and offspring."""
    run = runs.get_run(pk, number, request.user)
    experiment = run.experiment
    try:
        individual = Individual.objects.select_related("rule", "evaluation").get(
            run=run, index=index
        )
    except Individual.DoesNotExist:
        raise Http404(f"Run {number} has no individual {index}.") from None
    individual.run = run
    parent = genealogy.individuals_by_index(run, [individual.parent_index]).get(
        individual.parent_index
    )
    offspring, n_offspring = genealogy.offspring(run, individual, N_OFFSPRING)
    if tables.is_wanted(request):
        trials = _trials(individual)
        return tables.answer(
            request,
            f"experiment-{pk}-run-{number}-individual-{index}",
            {"trials": lambda: Table(_trial_columns(trials["fitness_label"]), trials["trials"])},
        )
    parameters = runs.evolution_parameters(experiment)
    outcome = Outcome(individual.outcome)
    context = {
        **runs.run_context(run, "individuals", request.user),
        "individual": individual,
        "parent": parent,
        "offspring": offspring,
        "n_offspring": n_offspring,
        "is_champion": individual.index == run.champion_index,
        "was_champion": Generation.objects.filter(run=run, champion=individual).exists(),
        "drawings": runs.drawings(individual, parent, experiment, parameters, only_used=False),
        "branches": _branches(individual, parameters),
        "outcome": outcome,
        "explanation": _EXPLANATIONS[outcome],
        "validated": _validated(individual, access.visible_experiments(request.user)),
        **_trials(individual),
    }
    return render(request, "evolution/individual.html", context)


def columns(fitness_label: str) -> list[Column]:
    """Return the columns of tables of individuals."""
    return [
        Column("individual", "index"),
        Column("generation", "birth_generation"),
        tables.rule(),
        Column("complexity", "rule.complexity"),
        tables.fitness("fitness", fitness_label),
        Column("origin", "origin"),
        Column("parent", "parent_index"),
        Column("outcome", "outcome"),
    ]


def filtered_individuals(run: Run, values: dict[str, Any]) -> QuerySet[Individual]:
    """Return the individuals of a run that the values of an `IndividualFilter` ask for."""
    conditions = {
        "outcome": values.get("outcome") or None,
        "origin": values.get("origin") or None,
        "birth_generation__gte": values.get("generation_min"),
        "birth_generation__lte": values.get("generation_max"),
        "fitness__gte": values.get("fitness_min"),
        "fitness__lte": values.get("fitness_max"),
    }
    orders = {
        "-index": ["-index"],
        "-fitness": [F("fitness").desc(nulls_last=True), "index"],
        "fitness": [F("fitness").asc(nulls_first=True), "index"],
        "complexity": [F("rule__complexity").asc(nulls_last=True), "index"],
    }
    return (
        Individual.objects.filter(
            run=run, **{name: value for name, value in conditions.items() if value is not None}
        )
        .select_related("rule")
        .defer("genome", "constants", "mutated_genes")
        .order_by(*orders.get(values.get("sort", ""), ["index"]))
    )


def _trial_columns(fitness_label: str) -> list[Column]:
    return [
        Column("trial", "number"),
        tables.fitness("value", fitness_label, "value"),
        Column("reason", lambda row: row.get("reason")),
    ]


def _branches(individual: Individual, parameters: Any) -> list[dict[str, Any]]:
    """Return each branch as the genome says it, and as it is simulated."""
    signature = individual.run.experiment.learning_task.signature
    rule = individual.rule
    simplified = zip(rule.mathml, rule.expressions, strict=True) if rule else ()
    branches: list[dict[str, Any]] = [{"name": name} for name in signature.branches]
    for branch, (mathml, text) in zip(branches, simplified, strict=False):
        branch |= {"mathml": mathml, "text": text}
    if parameters is None:
        return branches
    constants = individual.constants or [{} for _ in individual.genome]
    for branch, alleles, values in zip(branches, individual.genome, constants, strict=False):
        try:
            text = expression_text(alleles, parameters, signature.input_names, values)
            expression = parse(text, signature.input_names)
        except (RuleSyntaxError, IndexError, KeyError):
            continue
        branch |= {"encoded": str(expression), "encoded_mathml": expression.mathml()}
    return branches


def _validated(individual: Individual, visible: ExperimentQuerySet) -> Validated | None:
    """Return what the rule gave in held-out trials."""
    if individual.rule is None:
        return None
    experiment = individual.run.experiment
    known = individual.evaluation.trials if individual.evaluation else ()
    return ValidatedRules([individual.rule], experiment.learning_task, visible).of(
        individual.rule,
        like=experiment.task_parameters,
        training=known[: experiment.task_parameters.get("n_trials", 0)],
        fitness=individual.fitness,
    )


def _trials(individual: Individual) -> dict[str, Any]:
    """Return the value of each trial, and why the next one has none."""
    experiment = individual.run.experiment
    label = experiment.learning_task.fitness_label
    n_trials = experiment.task_parameters.get("n_trials", 0)
    evaluation = individual.evaluation
    values = evaluation.trials[:n_trials] if evaluation else []
    rows: list[dict[str, Any]] = [
        {"number": number, "value": value} for number, value in enumerate(values, start=1)
    ]
    if evaluation is not None and evaluation.reason and len(values) < n_trials:
        rows.append(
            {
                "number": len(values) + 1,
                "value": None,
                "reason": Outcome(evaluation.reason).label,
                "detail": evaluation.detail,
            }
        )
    (strip,) = strips([(values, individual.fitness)], is_error=bool(error_label(label)))
    return {
        "trials": rows,
        "n_trials": n_trials,
        "n_left_out": max(0, n_trials - len(rows)),
        "strip": strip,
        "fitness_label": label,
        "trial_seed": experiment.seed,
    }
