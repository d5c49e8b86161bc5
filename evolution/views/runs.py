"""The pages of one run: its lineage, and its population generation by generation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evolution import access, genealogy, selectors
from evolution.drawings import changes_in_words, draw, graphs_of, mutated_addresses
from evolution.enums import Origin, StopReason
from evolution.models import Experiment, Generation, Rule, Run
from evolution.services.validations import MAX_TRIALS
from evolution.validated import ValidatedRules
from evolution.views import tables
from evolution.views.guards import open_to_link_holders
from evolution.views.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evolution.access import Person
    from evolution.cgp.genome_graph import GenomeGraph
    from evolution.cgp.parameters import EvolutionParameters
    from evolution.genealogy import Change
    from evolution.models import Experiment, Individual
    from evolution.validated import Validated

CHANGES_PER_PAGE = 20
_STEPS_AT_ONCE = 500


@open_to_link_holders
@never_cache
@require_safe
def lineage(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Show the way from the first ancestor to the champion."""
    run = get_run(pk, number, request.user)
    whole = None
    if run.champion_index is not None:
        whole = genealogy.collapse(genealogy.ancestors(run, run.champion_index))
    changes = whole.changes if whole else ()
    if tables.is_wanted(request):
        rows = _lineage_rows(run, changes)
        return tables.answer(
            request, _stem(run), {"lineage": lambda: Table(_lineage_columns(run), rows)}
        )
    page = Paginator(changes, CHANGES_PER_PAGE).get_page(request.GET.get("page"))
    wanted = {change.after.index for change in page}
    wanted |= {change.before.index for change in page if change.before}
    individuals = genealogy.individuals_by_index(run, wanted)
    parameters = evolution_parameters(run.experiment)
    context = {
        **run_context(run, "lineage", request.user),
        "lineage": whole,
        "n_neutral": whole.length - len(changes) if whole else 0,
        "page": page,
        "steps": [
            _step(change, individuals, run.experiment, parameters, page.start_index() + place)
            for place, change in enumerate(page)
        ],
        "champion_number": run.champion_index,
    }
    return render(request, "evolution/run_lineage.html", context)


@open_to_link_holders
@never_cache
@require_safe
def population(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Show everybody of one generation: who survived it, and who was born in it."""
    run = get_run(pk, number, request.user)
    last = selectors.last_generation(run)
    asked = request.GET.get("generation", "").strip()
    message = ""
    index = last
    if asked:
        if asked.isascii() and asked.isdigit() and len(asked) < 10 and int(asked) <= last:
            index = int(asked)
        else:
            message = f"There is no generation “{asked[:20]}”. The last one is {last}."
    generation = Generation.objects.filter(run=run, index=index).first()
    rows = []
    if generation is not None:
        (parents,) = generation.parents or [[]]
        survivors = set(parents)
        rows = [
            {
                "individual": individual,
                "is_survivor": individual.index in survivors,
                "is_new": individual.birth_generation == index,
                "is_champion": individual.pk == generation.champion_id,
            }
            for individual in genealogy.population(run, index, parents)
        ]
    if tables.is_wanted(request) and not message:
        return tables.answer(
            request,
            f"{_stem(run)}-generation-{index}",
            {"population": lambda: Table(_population_columns(run), rows)},
        )
    context = {
        **run_context(run, "population", request.user),
        "generation": generation,
        "index": index,
        "last": last,
        "rows": rows,
        "message": message,
    }
    return render(request, "evolution/run_population.html", context, status=400 if message else 200)


# --- tables as files ----------------------------------------------------------------------------


def _stem(run: Run) -> str:
    return f"experiment-{run.experiment_id}-run-{run.number}"


def _lineage_columns(run: Run) -> list[Column]:
    return [
        Column("step", "number"),
        Column("individual", "change.after.index"),
        Column("parent", "change.after.parent_index"),
        Column("generation", "change.after.birth_generation"),
        Column("origin", "change.after.origin"),
        Column("neutral mutations before", "change.n_neutral"),
        tables.rule(),
        tables.fitness("change.after.fitness", run.experiment.learning_task.fitness_label),
    ]


def _lineage_rows(run: Run, changes: Sequence[Change]) -> Iterator[dict[str, Any]]:
    """Yield the steps of all pages."""
    for start in range(0, len(changes), _STEPS_AT_ONCE):
        part = changes[start : start + _STEPS_AT_ONCE]
        individuals = genealogy.individuals_by_index(run, [change.after.index for change in part])
        for number, change in enumerate(part, start=start + 1):
            yield {
                "number": number,
                "change": change,
                "rule": individuals[change.after.index].rule,
            }


def _population_columns(run: Run) -> list[Column]:
    return [
        Column("individual", "individual.index"),
        Column("survived", "is_survivor"),
        Column("born here", "is_new"),
        Column("is champion", "is_champion"),
        Column("generation of birth", "individual.birth_generation"),
        tables.rule("individual.rule"),
        tables.fitness("individual.fitness", run.experiment.learning_task.fitness_label),
        Column("is neutral", "individual.is_neutral"),
        Column("outcome", "individual.outcome"),
    ]


# --- shared by the pages of a run ---------------------------------------------------------------


def get_run(pk: int, number: int, user: Person) -> Run:
    """Return a run with its experiment and the number of its champion, or answer 404."""
    try:
        return (
            Run.objects.without_engine_state()
            .select_related("experiment")
            .annotate(champion_index=F("champion__index"), champion_rule_id=F("champion__rule_id"))
            .get(experiment__in=access.visible_experiments(user).filter(pk=pk), index=number - 1)
        )
    except Run.DoesNotExist:
        if access.visible_experiments(user).filter(pk=pk).exists():
            raise Http404(f"The experiment {pk} has no run {number}.") from None
        raise Http404(f"There is no experiment {pk}.") from None


def run_context(run: Run, tab: str, user: Person) -> dict[str, Any]:
    """Return what the heading of a run's pages shows."""
    return {
        "section": "experiments",
        "tab": tab,
        "run": run,
        "experiment": run.experiment,
        "learning_task": run.experiment.learning_task,
        "last_generation": selectors.last_generation(run),
        "stop_reason": StopReason(run.stop_reason).label if run.stop_reason else "",
        # Asked for by the pages that show it.
        "champion_validated": partial(_validated, run, user),
        "max_trials": MAX_TRIALS,
        "previous_number": run.number - 1 or None,
        "next_number": run.number + 1 if run.number < run.experiment.n_runs else None,
    }


def _validated(run: Run, user: Person) -> Validated | None:
    """Return what the rule of the champion gave in held-out trials."""
    if run.champion_rule_id is None:
        return None
    experiment = run.experiment
    rule = Rule.objects.get(pk=run.champion_rule_id)
    visible = access.visible_experiments(user)
    return ValidatedRules([rule], experiment.learning_task, visible).of(
        rule, like=experiment.task_parameters, fitness=run.champion_fitness
    )


def evolution_parameters(experiment: Experiment) -> EvolutionParameters | None:
    """Return the parameters that genomes are read with; None for those of an earlier version."""
    try:
        return experiment.get_evolution_parameters()
    except ValueError:
        return None


def graphs(
    individual: Individual | None, experiment: Experiment, parameters: EvolutionParameters | None
) -> list[GenomeGraph] | None:
    """Return the graph of each genome; None where the genomes cannot be read any more."""
    if individual is None or parameters is None:
        return None
    names = experiment.learning_task.signature.input_names
    try:
        return graphs_of(individual.genome, individual.constants, parameters, names)
    except (IndexError, ValueError, KeyError):
        return None


def drawings(
    individual: Individual,
    parent: Individual | None,
    experiment: Experiment,
    parameters: EvolutionParameters | None,
    *,
    only_used: bool,
) -> list[dict[str, Any]]:
    """Return drawing and changes of each branch's genome.

    Where genomes are reordered before they are bred, the parent's differs from the stored one: then
    only the mutated nodes are marked.
    """
    after = graphs(individual, experiment, parameters)
    if after is None:
        return []
    before = graphs(parent, experiment, parameters) if _is_direct(individual, parent) else None
    signature = experiment.learning_task.signature
    genes = individual.mutated_genes
    if len(genes) != len(after):
        genes = [[] for _ in after]
    drawn = []
    for branch, name in enumerate(signature.branches):
        earlier = before[branch] if before else None
        used, unused = changes_in_words(earlier, after[branch]) if earlier else ([], [])
        mutated = mutated_addresses(genes[branch], parameters, signature.input_names)
        drawn.append(
            {
                "drawing": draw(
                    after[branch],
                    output_name=_short(name),
                    mutated=mutated,
                    # In the whole grid the lines of two genomes would be too many.
                    before=earlier if only_used else None,
                    only_used=only_used,
                ),
                "words": used,
                "unused_words": unused,
                "name": name,
                "is_changed": bool(mutated),
            }
        )
    return drawn


def _short(branch: str) -> str:
    return "Δw" if branch == "delta_w" else branch


def _is_direct(individual: Individual, parent: Individual | None) -> bool:
    """Whether the parent's stored genome is the one that was mutated."""
    if parent is None or len(parent.genome) != len(individual.mutated_genes):
        return False
    return all(
        [place for place, (old, new) in enumerate(zip(*pair, strict=False)) if old != new]
        == sorted(genes)
        for pair, genes in zip(
            zip(parent.genome, individual.genome, strict=True),
            individual.mutated_genes,
            strict=True,
        )
    )


def _step(
    change: Change,
    individuals: dict[int, Individual],
    experiment: Experiment,
    parameters: EvolutionParameters | None,
    number: int,
) -> dict[str, Any]:
    individual = individuals[change.after.index]
    parent = individuals.get(change.before.index) if change.before else None
    drawn = drawings(individual, parent, experiment, parameters, only_used=True)
    branches = _expressions(experiment, individual, parent)
    gain = None
    if parent is not None and None not in (parent.fitness, individual.fitness):
        gain = individual.fitness - parent.fitness
    return {
        "number": number,
        "number_text": str(number),
        "n_neutral": change.n_neutral,
        "individual": individual,
        "parent": parent,
        "origin": Origin(individual.origin).label,
        "branches": branches,
        "drawings": [item for item in drawn if item["is_changed"]] or drawn,
        "gain": gain,
        "words": [word for item in drawn for word in item["words"]],
        "n_unused": sum(len(item["unused_words"]) for item in drawn),
    }


def _expressions(
    experiment: Experiment, individual: Individual, parent: Individual | None
) -> list[dict[str, str]]:
    names = experiment.learning_task.signature.branches
    after = individual.rule.mathml if individual.rule else [""] * len(names)
    before = parent.rule.mathml if parent is not None and parent.rule else [""] * len(names)
    return [
        {"name": name, "before": old, "after": new, "is_changed": old != new}
        for name, old, new in zip(names, before, after, strict=True)
    ]
