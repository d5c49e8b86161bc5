"""Experiments with a history, written to the database as workers write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Max
from django.utils import timezone

from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import ExperimentState
from evolution.models import Experiment, Generation, Individual, Rule, Run
from evolution.services import evaluations, experiments
from simulations.learning_tasks import get_learning_task

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Champions as they follow each other in a typical run: expression and fitness.
TYPICAL = (("u*s", -812.5), ("v", -120.25), ("(v - u)", -44.125), ("(v - u)*s", -11.5))


def make_experiment(
    *, name: str = "A test", n_runs: int = 2, n_generations: int = 100, running: bool = True, **more
) -> Experiment:
    """Create an experiment of the error-driven task; no worker is told about it."""
    learning_task = get_learning_task("error-driven")
    experiment, _ = experiments.create_experiment(
        owner=None,
        name=name,
        learning_task=learning_task,
        preset="demo",
        task_parameters=learning_task.presets["demo"].task_parameters,
        evolution_parameters=EvolutionParameters(n_generations=n_generations),
        seed=1235,
        n_runs=n_runs,
        **more,
    )
    if running:
        experiment.state = ExperimentState.RUNNING
        experiment.started_at = timezone.now()
        experiment.save()
        experiment.runs.update(state=ExperimentState.RUNNING)
    return experiment


def make_rule(text: str) -> Rule:
    """Return the record of a rule of the error-driven task."""
    signature = get_learning_task("error-driven").signature
    rule = evaluations.canonical_rule(signature, (text,))
    (pk,) = evaluations.get_or_create_rules(signature, [rule]).values()
    return Rule.objects.get(pk=pk)


def add_generations(run: Run, champions: Sequence[tuple[str | None, float | None]]) -> None:
    """Append one generation for each (expression, fitness); an expression of None stays the same.

    Parameters
    ----------
    run : Run
    champions : sequence of (str or None, float or None)
        A fitness of None is minus infinity.
    """
    run.refresh_from_db()
    index = run.generations.aggregate(last=Max("index"))["last"]
    index = -1 if index is None else index
    for text, fitness in champions:
        index += 1
        if text is not None:
            run.champion = Individual.objects.create(
                run=run,
                index=index,
                birth_generation=index,
                genome=[[]],
                rule=make_rule(text),
                fitness=fitness,
            )
        before = float("-inf") if run.champion_fitness is None else run.champion_fitness
        is_improvement = fitness is not None and fitness > before
        if is_improvement:
            run.improved_at_generation = index
        Generation.objects.create(
            run=run,
            index=index,
            champion=run.champion,
            champion_fitness=fitness,
            is_improvement=is_improvement,
            n_evaluations=4,
            n_cached=1,
            created_at=timezone.now(),
        )
        run.champion_fitness = fitness
        run.n_generations_done = index
    run.save()


def add_typical_history(run: Run, *, n_each: int = 5) -> None:
    """Append the typical champions, each staying for ``n_each`` generations."""
    for text, fitness in TYPICAL:
        add_generations(run, [(text, fitness), *[(None, fitness)] * (n_each - 1)])


def finish(experiment: Experiment, state: ExperimentState = ExperimentState.FINISHED) -> None:
    """Bring an experiment and its runs to a final state."""
    now = timezone.now()
    experiment.runs.update(state=state, finished_at=now)
    experiment.state, experiment.finished_at = state, now
    experiment.save()
