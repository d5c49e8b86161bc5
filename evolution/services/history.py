"""Writing what has become of a run: generations, their individuals, and the news of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction

from evolution import events
from evolution.models import Generation, Individual
from evolution.prepared import insert
from evolution.selectors import rule_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

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
    at : datetime
        When it was complete.
    """

    selection: Selection
    counts: Pending
    individuals: Mapping[int, Individual]
    champion: Individual
    is_improvement: bool
    new_rule: Rule | None
    at: datetime


def write(run: Run, completed: Sequence[Completed]) -> None:
    """Write generations in the caller's transaction, and announce them when that is committed."""
    if not completed:
        return
    insert([individual for each in completed for individual in each.individuals.values()])
    # After they are written: before, champions have no ids.
    run.champion = completed[-1].champion
    generations = [_generation(run, each) for each in completed]
    insert(generations)
    messages = [
        _message(generation, each.new_rule)
        for generation, each in zip(generations, completed, strict=True)
    ]
    experiment_id = run.experiment_id
    transaction.on_commit(lambda: events.announce_generations(experiment_id, messages), robust=True)


def _generation(run: Run, completed: Completed) -> Generation:
    selection, counts = completed.selection, completed.counts
    return Generation(
        run=run,
        index=selection.generation,
        champion=completed.champion,
        champion_fitness=finite(selection.champion_fitness),
        is_improvement=completed.is_improvement,
        parents=[selection.parent_indices],
        n_evaluations=counts.n_evaluations,
        n_cached=counts.n_cached,
        n_pruned=counts.n_pruned,
        created_at=completed.at,
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
