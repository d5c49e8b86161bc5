"""Writing what has become of a run: generations, their individuals, and the news of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from evolution import events
from evolution.models import Generation, Individual
from evolution.selectors import rule_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evolution.cgp.engine import Candidate, Selection
    from evolution.models import Rule, Run
    from evolution.serializers import GenerationMessage
    from evolution.services.pending import Pending


@dataclass(frozen=True)
class Completed:
    """A generation that is complete and not yet written.

    Attributes
    ----------
    selection : Selection
        What the engine has made of the fitness of all.
    counts : Pending
        What it took to know that.
    individuals : mapping of int to Individual
        Those born in it by index, without ids.
    champion : Individual
        One of them or the former one.
    is_improvement : bool
        Whether it is fitter than the former one.
    new_rule : Rule or None
        The champion's, if the former one had another one.
    """

    selection: Selection
    counts: Pending
    individuals: Mapping[int, Individual]
    champion: Individual
    is_improvement: bool
    new_rule: Rule | None


def write(run: Run, completed: Completed) -> None:
    """Write a generation in the caller's transaction, and announce it when that is committed."""
    Individual.objects.bulk_create(completed.individuals.values())
    # After they are written: before, they have no ids.
    run.champion = completed.champion
    counts = completed.counts
    generation = Generation.objects.create(
        run=run,
        index=completed.selection.generation,
        champion=run.champion,
        champion_fitness=run.champion_fitness,
        is_improvement=completed.is_improvement,
        parents=[completed.selection.parent_indices],
        n_evaluations=counts.n_evaluations,
        n_cached=counts.n_cached,
        n_pruned=counts.n_pruned,
        created_at=timezone.now(),
    )
    message = _message(generation, completed.new_rule)
    experiment_id = run.experiment_id
    transaction.on_commit(
        lambda: events.announce_generations(experiment_id, [message]), robust=True
    )


def _message(generation: Generation, new_rule: Rule | None) -> GenerationMessage:
    message: GenerationMessage = {
        "run": generation.run_id,
        "generation": generation.index,
        "fitness": generation.champion_fitness,
        "is_improvement": generation.is_improvement,
        "n_evaluations": generation.n_evaluations,
        "n_cached": generation.n_cached,
    }
    if new_rule is not None:
        message["rule"] = rule_message(new_rule)
    return message


def new_individual(
    run: Run, candidate: Candidate, selection: Selection, **judged: Any
) -> Individual:
    """Return the row, not yet written, of an individual that a run's engine has bred.

    Parameters
    ----------
    run : Run
    candidate : Candidate
        What the engine knows of it.
    selection : Selection
        Of the generation that it was born in.
    **judged
        The columns that do not come from the engine.
    """
    return Individual(
        run=run,
        index=candidate.index,
        parent_index=candidate.parent_index,
        birth_generation=selection.generation,
        origin=candidate.origin,
        genome=candidate.genomes,
        constants=list(candidate.parameters) if any(candidate.parameters) else None,
        mutated_genes=candidate.mutated_genes,
        fitness=finite(selection.fitness[candidate.index]),
        **judged,
    )


def finite(fitness: float) -> float | None:
    """Return a fitness as databases keep it: none where it is minus infinity."""
    return fitness if math.isfinite(fitness) else None
