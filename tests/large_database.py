"""Fill a database with the history of a very large experiment, to see how pages fare with it.

    E2L_DATA_DIR=/tmp/large .venv/bin/python -m tests.large_database

migrates the database of ``E2L_DATA_DIR`` or ``DATABASE_URL`` and adds one experiment of the
error-driven learning task: 100 runs of 2000 generations with five offspring, a million individuals.
hal-cgp breeds them as in every experiment. Only the fitness is a stand-in, the distance of a rule
at random points from one that takes long to be found; and rows are written by the thousand.
"""

from __future__ import annotations

import argparse
import math
import os
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from evolution.cgp.protocol import Candidate, Selection
    from evolution.models import Experiment, Run
    from nest_build.rules import PlasticityRule

N_RUNS = 100
N_GENERATIONS = 2000
N_OFFSPRING = 5
_N_TRIALS = 3
#: Generations that are written together.
_N_TOGETHER = 250


def fill(n_runs: int, n_generations: int) -> Experiment:
    """Add the experiment to a migrated database."""
    from django.db import transaction
    from django.utils import timezone
    from rich.progress import track

    from evolution.enums import ExperimentState, StopReason
    from evolution.services import evaluations

    experiment = _create_experiment(n_runs, n_generations)
    context = evaluations.get_or_create_context(
        experiment.learning_task, experiment.get_task_parameters(), experiment.seed
    )
    started_at = timezone.now() - timedelta(hours=1)
    for run in track(experiment.runs.order_by("index"), "Runs", total=n_runs):
        history = _History(experiment, run, context, started_at)
        with transaction.atomic():
            history.write(n_generations)
            run.state, run.stop_reason = ExperimentState.FINISHED, StopReason.GENERATIONS
            run.started_at, run.finished_at = started_at, timezone.now()
            run.save()
    experiment.context = context
    experiment.state = ExperimentState.FINISHED
    experiment.started_at, experiment.finished_at = started_at, timezone.now()
    experiment.save()
    return experiment


def _create_experiment(n_runs: int, n_generations: int) -> Experiment:
    from evolution.cgp.parameters import EvolutionParameters
    from evolution.services.experiments import create_experiment
    from simulations.learning_tasks import get_learning_task

    learning_task = get_learning_task("error-driven")
    preset = learning_task.presets["paper"]
    changes = {
        "n_generations": n_generations,
        "n_parents": 4,
        "n_offspring": N_OFFSPRING,
        # Most offspring are new rules, as at the beginning of a run.
        "mutation_rate": 0.2,
        "target_fitness": None,
        "stop_at_baseline": False,
    }
    experiment, _ = create_experiment(
        owner=None,
        name="A million individuals",
        learning_task=learning_task,
        preset=preset.name,
        task_parameters=preset.task_parameters.with_changes({"n_trials": _N_TRIALS}),
        evolution_parameters=EvolutionParameters.from_mapping({**preset.evolution, **changes}),
        seed=1,
        n_runs=n_runs,
    )
    return experiment


class _History:
    """Breeds one run and writes what workers would have written."""

    def __init__(self, experiment: Experiment, run: Run, context: Any, started_at: Any) -> None:
        from evolution.cgp.engine import Engine

        signature = experiment.learning_task.signature
        self._run, self._context, self._started_at = run, context, started_at
        self._signature = signature
        self._engine = Engine.start(
            experiment.get_evolution_parameters(),
            input_names=signature.input_names,
            n_branches=len(signature.branches),
            seed=run.seed,
        )
        #: Evaluations that the run has asked for, by the rule's key.
        self._asked: set[str] = set()
        self._rule_of: dict[int, PlasticityRule | None] = {}
        self._individuals: list[tuple[Any, PlasticityRule | None]] = []
        self._generations: list[Any] = []

    def write(self, n_generations: int) -> None:
        """Breed and write so many generations after the initial population."""
        for index in range(n_generations + 1):
            self._add_generation()
            if index % _N_TOGETHER == _N_TOGETHER - 1:
                self._flush()
        self._flush()
        self._run.engine_state = self._engine.to_state()
        self._run.n_generations_done = n_generations

    def _add_generation(self) -> None:
        request = self._engine.ask()
        for candidate in request.born:
            self._rule_of[candidate.index] = self._rule(candidate)
        answers = {}
        n_cached = 0
        for question in request.questions:
            rule = self._rule_of[question.index]
            answers[question.key] = -math.inf if rule is None else float(np.mean(_trials(rule)))
            n_cached += rule is not None and rule.key in self._asked
        cached = {
            index for index, rule in self._rule_of.items() if rule and rule.key in self._asked
        }
        self._asked.update(rule.key for rule in self._rule_of.values() if rule is not None)
        selection = self._engine.tell(answers)
        assert selection is not None
        for candidate in request.born:
            self._add_individual(candidate, selection, is_cached=candidate.index in cached)
        self._add_generation_row(selection, len(request.questions), n_cached)
        survivors = set(selection.parent_indices)
        self._rule_of = {i: rule for i, rule in self._rule_of.items() if i in survivors}

    def _rule(self, candidate: Candidate) -> PlasticityRule | None:
        from evolution.services import evaluations
        from nest_build.rules import RuleSyntaxError

        if candidate.texts is None:
            return None
        try:
            return evaluations.canonical_rule(self._signature, candidate.texts)
        except RuleSyntaxError:
            return None

    def _add_individual(
        self, candidate: Candidate, selection: Selection, *, is_cached: bool
    ) -> None:
        from evolution.enums import Outcome
        from evolution.services.history import new_individual

        rule, parent = self._rule_of[candidate.index], candidate.parent_index
        fitness = selection.fitness[candidate.index]
        outcome = Outcome.EVALUATED
        if rule is None:
            outcome = Outcome.INVALID
        elif candidate.fitness is not None:
            outcome = Outcome.INHERITED
        elif not math.isfinite(fitness):
            outcome = Outcome.NOT_FINITE
        individual = new_individual(
            self._run,
            candidate,
            selection,
            outcome=outcome,
            is_neutral=parent is not None
            and rule is not None
            and self._rule_of[parent] is not None
            and rule.key == self._rule_of[parent].key,
            is_cached=candidate.fitness is None and is_cached,
        )
        self._individuals.append((individual, rule))
        if candidate.index == selection.champion_index:
            self._run.champion = individual

    def _add_generation_row(self, selection: Selection, n_asked: int, n_cached: int) -> None:
        from evolution.models import Generation

        run = self._run
        before = -math.inf if run.champion_fitness is None else run.champion_fitness
        is_improvement = selection.champion_fitness > before
        if is_improvement:
            run.improved_at_generation = selection.generation
        if math.isfinite(selection.champion_fitness):
            run.champion_fitness = selection.champion_fitness
        run.n_evaluations += n_asked
        run.n_cached += n_cached
        self._generations.append(
            Generation(
                run=run,
                index=selection.generation,
                champion=run.champion,
                champion_fitness=run.champion_fitness,
                is_improvement=is_improvement,
                parents=[selection.parent_indices],
                n_evaluations=n_asked,
                n_cached=n_cached,
                created_at=self._started_at + timedelta(seconds=selection.generation),
            )
        )

    def _flush(self) -> None:
        from evolution.models import Generation, Individual

        rules = {rule.key: rule for _, rule in self._individuals if rule is not None}
        known = _records(self._signature, self._context, rules)
        for individual, rule in self._individuals:
            if rule is not None:
                individual.rule_id, individual.evaluation_id = known[rule.key]
        individuals = [individual for individual, _ in self._individuals]
        Individual.objects.bulk_create(individuals, batch_size=1000)
        for generation in self._generations:
            # Its champion has an id only now.
            generation.champion_id = generation.champion.pk
        Generation.objects.bulk_create(self._generations, batch_size=1000)
        self._individuals, self._generations = [], []


def _records(
    signature: Any, context: Any, rules: dict[str, PlasticityRule]
) -> dict[str, tuple[int, int]]:
    """Return the ids of the rules and of their evaluations by key; add those that are missing."""
    from evolution.enums import EvaluationState
    from evolution.models import Evaluation
    from evolution.services import evaluations

    ids = evaluations.get_or_create_rules(signature, rules.values())
    known = evaluations.find_rules(signature, rules, context)
    missing = [key for key in sorted(rules) if known.get(key, (0, None))[1] is None]
    new = []
    for key in missing:
        trials = _trials(rules[key])
        is_finite = all(map(math.isfinite, trials))
        new.append(
            Evaluation(
                context=context,
                rule_id=ids[key],
                trials=list(trials) if is_finite else [],
                n_trials_done=_N_TRIALS if is_finite else 0,
                worst=min(trials) if is_finite else None,
                score=float(np.mean(trials)) if is_finite else None,
                complexity=rules[key].complexity,
                state=EvaluationState.DONE,
                reason="" if is_finite else "not finite",
                seconds=0.1,
            )
        )
    Evaluation.objects.bulk_create(new, batch_size=1000)
    found = {key: item.pk for key, (_, item) in known.items() if item is not None}
    found.update(zip(missing, (item.pk for item in new), strict=True))
    return {key: (ids[key], found[key]) for key in rules}


@lru_cache(maxsize=1_000_000)
def _trials(rule: PlasticityRule) -> tuple[float, ...]:
    """Return the stand-in's value of each trial, in the range of the learning task's."""
    values = []
    for v, u, s in _POINTS:
        with np.errstate(all="ignore"):
            distance = rule.branches[0].evaluate(v, u, s) - _target(v, u, s)
            values.append(-13.0 - 10.0 * float(np.sqrt(np.mean(distance**2))))
    return tuple(value if math.isfinite(value) else -math.inf for value in values)


def _target(v: np.ndarray, u: np.ndarray, s: np.ndarray) -> np.ndarray:
    return (v - u) * s + 0.3 * v * u**2 / (1.0 + s**2)


_POINTS = np.random.RandomState(1).uniform(-2.0, 2.0, (_N_TRIALS, 3, 16))


def main() -> None:
    """Read the command line and fill the database."""
    import django

    parser = argparse.ArgumentParser(
        prog="tests.large_database",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=N_RUNS)
    parser.add_argument("--generations", type=int, default=N_GENERATIONS)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    django.setup()
    from django.core.management import call_command

    from evolution.services.upkeep import refresh_statistics

    call_command("migrate", verbosity=0)
    fill(options.runs, options.generations)
    refresh_statistics()


if __name__ == "__main__":
    main()
