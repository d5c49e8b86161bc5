"""Experiments beside each other: each is a group of runs that differ in their seed only."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from django.db.models import Q, Sum

from evolution import selectors, statistics
from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import ExperimentState
from evolution.errors import ComparisonError
from evolution.inference import Times
from evolution.models import (
    Evaluation,
    Experiment,
    Generation,
    Individual,
    LogEntry,
    Rule,
    Run,
)
from evolution.statistics import SteppedCurve, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from evolution.models.experiment import ExperimentQuerySet
    from simulations.learning_tasks import LearningTask

Clock = Literal["generations", "evaluations", "seconds"]

MAX_COMPARED_RUNS = 100


@dataclass(eq=False)
class Group:
    """The chosen runs of an experiment.

    Attributes
    ----------
    place : int
        Number within the comparison, from 0.
    other_runs : list of int
        Numbers of its runs that were not chosen.
    steps : dict of int to list of (int, float, datetime)
        By run, generation, fitness and time of each fitter champion.
    target : Target or None
        The fitness that counts as a success.
    """

    place: int
    experiment: Experiment
    runs: list[Run]
    other_runs: list[int] = field(default_factory=list)
    steps: Mapping[int, list[tuple[int, float, datetime]]] = field(default_factory=dict)
    target: Target | None = None

    @property
    def key(self) -> str:
        """A to Z, then AA and so on: short enough for an axis."""
        first, last = divmod(self.place, 26)
        return (chr(64 + first) if first else "") + chr(65 + last)

    @property
    def label(self) -> str:
        """The key with the experiment's name, and with the runs where some were chosen."""
        text = f"{self.key} · {self.experiment.name}"
        if not self.other_runs:
            return text
        numbers = ", ".join(str(run.number) for run in self.runs[:4])
        more = ", …" if len(self.runs) > 4 else ""
        return f"{text}, run{'s' if len(self.runs) > 1 else ''} {numbers}{more}"

    @property
    def facts(self) -> tuple[Any, ...]:
        """All that figures and words say of the group, but for its parameters."""
        runs = [
            (run.number, run.state, run.champion_id, run.champion_fitness, run.n_generations_done)
            for run in self.runs
        ]
        return self.place, self.label, runs, [self.steps.get(run.pk) for run in self.runs]

    @property
    def final_fitness(self) -> list[float]:
        """Fitness of each run's champion, minus infinity where it has none."""
        return [
            -math.inf if run.champion_fitness is None else run.champion_fitness for run in self.runs
        ]

    @property
    def curves(self) -> list[SteppedCurve]:
        """The champion's fitness of each run."""
        return [
            SteppedCurve(
                improvements=[(index, fitness) for index, fitness, _ in self.steps.get(run.pk, ())],
                last_generation=self.last_generation(run),
                is_over=ExperimentState(run.state).is_final,
            )
            for run in self.runs
        ]

    def last_generation(self, run: Run) -> int:
        """Return how far a run has come; it may have gone on since it was read."""
        steps = self.steps.get(run.pk)
        done = run.n_generations_done if run.champion_id is not None else -1
        return max(done, steps[-1][0]) if steps else done

    @property
    def best_run(self) -> Run | None:
        """The run with the fittest champion, None before there is one."""
        return selectors.best_run(self.runs)

    @property
    def n_open(self) -> int:
        """Runs that may still find something."""
        return sum(not ExperimentState(run.state).is_final for run in self.runs)


# --- what is compared ---------------------------------------------------------------------------


def groups_of(
    experiments: Sequence[int], runs: Sequence[tuple[int, int]], visible: ExperimentQuerySet
) -> list[Group]:
    """Return the chosen experiments with their runs, in the order in which they were named.

    Three statements.

    Parameters
    ----------
    experiments : sequence of int
    runs : sequence of (int, int)
        Experiment and number of each single run. Of an experiment with single runs only these
        count.
    visible : queryset of Experiment
        Others count as if they did not exist.

    Raises
    ------
    ComparisonError
        If something does not exist, or there are too many runs.
    """
    wanted: dict[int, set[int]] = {pk: set() for pk in experiments}
    for pk, number in runs:
        wanted.setdefault(pk, set()).add(number)
    if len(wanted) > MAX_COMPARED_RUNS:
        raise ComparisonError(_too_many(len(wanted), "experiments"))
    found = visible.in_bulk(list(wanted))
    by_experiment: dict[int, list[Run]] = defaultdict(list)
    for run in Run.objects.without_engine_state().filter(experiment__in=found).order_by("index"):
        by_experiment[run.experiment_id].append(run)
    groups = []
    for pk, numbers in wanted.items():
        if pk not in found:
            raise ComparisonError(f"There is no experiment {pk}.", is_missing=True)
        own = by_experiment[pk]
        if missing := numbers - {run.number for run in own}:
            raise ComparisonError(
                f"The experiment “{found[pk].name}” has no run {min(missing)}.", is_missing=True
            )
        chosen = [run for run in own if not numbers or run.number in numbers]
        others = [run.number for run in own if run not in chosen]
        groups.append(Group(len(groups), found[pk], chosen, others))
    n_runs = sum(len(group.runs) for group in groups)
    if n_runs > MAX_COMPARED_RUNS:
        raise ComparisonError(_too_many(n_runs, "runs"))
    _add_steps(groups)
    return groups


def _too_many(number: int, what: str) -> str:
    return (
        f"These are {number} {what}, and at most {MAX_COMPARED_RUNS} runs can be compared. "
        "Leave some out."
    )


def _add_steps(groups: Iterable[Group]) -> None:
    runs = [run.pk for group in groups for run in group.runs]
    steps: dict[int, list[tuple[int, float, datetime]]] = defaultdict(list)
    rows = Generation.objects.filter(run__in=runs, is_improvement=True).order_by("run", "index")
    for run_id, *step in rows.values_list("run_id", "index", "champion_fitness", "created_at"):
        steps[run_id].append(tuple(step))
    for group in groups:
        group.steps = steps


def champions(groups: Iterable[Group]) -> dict[int, Individual]:
    """Return the champion of each run, by run, with its rule."""
    found = Individual.objects.filter(
        pk__in=[run.champion_id for group in groups for run in group.runs if run.champion_id]
    )
    return {
        individual.run_id: individual
        for individual in found.select_related("rule").defer("genome", "mutated_genes", "constants")
    }


def n_with_the_same_rule(group: Group, found: Mapping[int, Individual]) -> int:
    """Return how many runs ended with a rule that means the same as that of the best run."""
    counts = Counter(
        individual.rule.fingerprint
        for run in group.runs
        if (individual := found.get(run.pk)) and individual.rule
    )
    best = found.get(group.best_run.pk) if group.best_run else None
    return counts[best.rule.fingerprint] if best and best.rule else 0


# --- parameters ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """A parameter that is not the same in all groups, with its value in each; None: has none."""

    label: str
    unit: str
    help: str
    values: tuple[Any, ...]
    is_of_task: bool = False


def differing_parameters(groups: Sequence[Group]) -> list[Parameter]:
    """Return what differs in the configuration of the groups."""
    parameters = [
        Parameter("learning task", "", "", tuple(g.experiment.learning_task.title for g in groups)),
        *_differing(groups, "evolution_parameters", is_of_task=False),
        *_differing(groups, "task_parameters", is_of_task=True),
        Parameter(
            "seed",
            "",
            "Trial k uses seed + k, run i evolves with seed + i.",
            tuple(group.experiment.seed for group in groups),
            is_of_task=True,
        ),
    ]
    return [item for item in parameters if any(a != b for a, b in pairwise(item.values))]


def _differing(groups: Sequence[Group], attribute: str, *, is_of_task: bool) -> Iterator[Parameter]:
    descriptions: dict[str, Any] = {}
    for group in groups:
        known = (
            group.experiment.learning_task.parameters_type if is_of_task else EvolutionParameters
        )
        descriptions |= known.descriptions()
    stored = [getattr(group.experiment, attribute) for group in groups]
    for name in dict.fromkeys(name for values in stored for name in values):
        known = descriptions.get(name)
        yield Parameter(
            known.label if known else name,
            known.unit if known else "",
            known.help if known else "",
            tuple(_hashable(values.get(name)) for values in stored),
            is_of_task,
        )


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# --- time to target -----------------------------------------------------------------------------


def add_targets(
    groups: Sequence[Group], learning_task: LearningTask, fitness: float | None
) -> None:
    """Give each group its target: the fitness that was asked for, else the experiment's own.

    One statement at most: of experiments without one, the fitness of the best known rule counts.
    """
    from evolution.models.rule import signature_text

    if fitness is not None:
        for group in groups:
            group.target = Target(fitness, is_baseline=False)
        return
    best: dict[int, float] = {}
    keys = [rule.key for _, rule in learning_task.canonical_baselines]
    contexts = {group.experiment.context_id: group.experiment for group in groups}
    rows = Evaluation.objects.filter(
        context__in=[pk for pk in contexts if pk],
        rule__in=Rule.objects.filter(
            signature=signature_text(learning_task.signature), key__in=keys
        ),
        reason="",
        score__isnull=False,
    )
    for context_id, trials in rows.values_list("context_id", "trials"):
        n_trials = contexts[context_id].task_parameters["n_trials"]
        if len(trials) >= n_trials:
            value = learning_task.aggregate(trials[:n_trials])
            best[context_id] = max(value, best.get(context_id, -math.inf))
    for group in groups:
        group.target = statistics.target_of(group.experiment, best.get(group.experiment.context_id))


def times_to_target(groups: Sequence[Group], clock: Clock) -> list[Times | None]:
    """Return when the runs of each group came to its target; None for a group without one.

    Runs that have not come to it count as censored at what they have done so far. One statement
    for evaluations and for seconds, none for generations.
    """
    if clock == "seconds":
        return _seconds(groups)
    hits = {run.pk: _hit(group, run) for group in groups for run in group.runs}
    n_evaluations = _evaluations_until(hits) if clock == "evaluations" else {}
    times: list[Times | None] = []
    for group in groups:
        reached, censored = [], []
        for run in group.runs:
            hit = hits[run.pk]
            if clock == "evaluations":
                value = run.n_evaluations if hit is None else n_evaluations[run.pk]
            else:
                value = max(0, group.last_generation(run)) if hit is None else hit[0]
            (censored if hit is None else reached).append(value)
        times.append(Times(tuple(reached), tuple(censored)) if group.target else None)
    return times


def _hit(group: Group, run: Run) -> tuple[int, datetime] | None:
    """Return generation and time at which a run came to the target, None if it has not."""
    if group.target is None:
        return None
    threshold = group.target.threshold
    return next(
        ((index, moment) for index, fitness, moment in group.steps[run.pk] if fitness >= threshold),
        None,
    )


def _evaluations_until(hits: Mapping[int, tuple[int, datetime] | None]) -> dict[int, int]:
    wanted = Q()
    for run_id, hit in hits.items():
        if hit is not None:
            wanted |= Q(run_id=run_id, index__lte=hit[0])
    if not wanted:
        return {}
    rows = (
        Generation.objects.filter(wanted)
        .order_by()
        .values("run_id")
        .annotate(n=Sum("n_evaluations"))
    )
    return {row["run_id"]: row["n"] for row in rows}


def _seconds(groups: Sequence[Group]) -> list[Times | None]:
    """Return times without pauses; runs of which they are not known are left out."""
    logs: dict[int, list[LogEntry]] = defaultdict(list)
    entries = LogEntry.objects.filter(experiment__in=[group.experiment.pk for group in groups])
    for entry in entries.order_by("created_at", "pk"):
        logs[entry.experiment_id].append(entry)
    times: list[Times | None] = []
    for group in groups:
        reached, censored = [], []
        for run in group.runs:
            hit = _hit(group, run)
            end = hit[1] if hit else run.finished_at or run.last_progress_at
            if run.started_at is None or end is None:
                continue
            seconds = statistics.time_without_pauses(run.started_at, end, logs[group.experiment.pk])
            if seconds is not None:
                (reached if hit else censored).append(max(0.0, seconds))
        times.append(Times(tuple(reached), tuple(censored)) if group.target else None)
    return times
