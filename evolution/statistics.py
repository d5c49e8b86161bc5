"""What an experiment amounts to: its figures, its failures, and its runs as one group."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from django.db.models import Count, Min, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from evolution.enums import Action, ExperimentState, Outcome
from evolution.models import Experiment, Generation, Individual, LogEntry, Run, Worker
from evolution.prepared import PreparedQuery, number_places, padded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Reasons of failures that may pass: another try can have another result.
RETRIABLE = (Outcome.TIME_LIMIT, Outcome.CRASH, Outcome.ERROR)
_FAILURES = [outcome for outcome in Outcome if outcome.is_failure]
#: Equivalent forms of a rule differ in the last digits of their fitness.
_EQUIVALENT_FORMS = 1e-9
#: The most corners of a curve; beyond these, changes that follow each other closely are left out.
MAX_CHANGES = 1500


# --- evaluations --------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaluationFigures:
    """What the evaluations of an experiment cost, and what cache and pruning saved.

    Attributes
    ----------
    n_asked : int
        Rules whose fitness had to be known, in all runs.
    n_cached, n_pruned : int
        Of these, how many had been asked for before, and were not simulated in all trials.
    computed_s, saved_s : float
        Time of simulation, in s of one core.
    """

    n_asked: int
    n_cached: int
    n_pruned: int
    computed_s: float
    saved_s: float

    @property
    def n_computed(self) -> int:
        """Rules that were simulated, in some trials at least."""
        return self.n_asked - self.n_cached

    @property
    def cached_share(self) -> float:
        """Share that was taken from the cache, from 0 to 1."""
        return self.n_cached / self.n_asked if self.n_asked else 0.0

    @property
    def cached_percent(self) -> str:
        """The same for the width of a bar."""
        return f"{100 * self.cached_share:.1f}"

    @property
    def saved_share(self) -> float:
        """Share of the time that was saved, from 0 to 1."""
        total = self.computed_s + self.saved_s
        return self.saved_s / total if total else 0.0


def evaluation_figures(runs: Iterable[Run]) -> EvaluationFigures:
    """Return the figures of all runs together."""
    runs = list(runs)
    return EvaluationFigures(
        n_asked=sum(run.n_evaluations for run in runs),
        n_cached=sum(run.n_cached for run in runs),
        n_pruned=sum(run.n_pruned for run in runs),
        computed_s=sum(run.simulated_s for run in runs),
        saved_s=sum(run.saved_s for run in runs),
    )


# --- failures -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FailureCounts:
    """How many individuals could not be judged, and why.

    Attributes
    ----------
    by_reason : dict of Outcome to int
        The most frequent reason first.
    n_retriable : int
        Evaluations that failed by something that may pass, and were not repeated since.
    """

    by_reason: Mapping[Outcome, int]
    n_retriable: int = 0

    @property
    def total(self) -> int:
        """All failures."""
        return sum(self.by_reason.values())


def failure_counts(experiment: Experiment, runs: Iterable[Run]) -> FailureCounts:
    """Return how often individuals of these runs failed, by reason, in one statement."""
    run_ids = padded([run.pk for run in runs])
    places = dict(zip(number_places(1 + len(run_ids)), [experiment.pk, *run_ids], strict=True))
    rows = _failure_query(len(run_ids)).rows(places)
    return FailureCounts(
        by_reason={Outcome(outcome): n for outcome, n, _ in rows},
        n_retriable=rows[0][2] if rows else 0,
    )


@lru_cache(maxsize=16)
def _failure_query(n_runs: int) -> PreparedQuery:
    """Return the question for the failures of so many runs; its places are experiment and runs."""
    experiment, *run_ids = number_places(1 + n_runs)
    retriable = (
        Individual.objects.filter(
            run__experiment=experiment,
            outcome__in=RETRIABLE,
            evaluation__reason__in=[str(outcome) for outcome in RETRIABLE],
        )
        .values("run__experiment")
        .annotate(n=Count("evaluation", distinct=True))
        .values("n")
    )
    return PreparedQuery(
        Individual.objects.filter(run__in=run_ids, outcome__in=_FAILURES)
        .values("outcome")
        .annotate(n=Count("pk"), n_retriable=Coalesce(Subquery(retriable[:1]), Value(0)))
        .order_by("-n", "outcome")
        .values_list("outcome", "n", "n_retriable")
    )


def latest_failures(runs: Iterable[Run], *, limit: int) -> list[Individual]:
    """Return the individuals that failed last, with rule, evaluation and ``failed_at``."""
    failed_at = Generation.objects.filter(
        run=OuterRef("run"), index=OuterRef("birth_generation")
    ).values("created_at")
    failed = Individual.objects.filter(run__in=[run.pk for run in runs], outcome__in=_FAILURES)
    # Found first: else the database reads rule and evaluation of all failures to order them.
    latest = failed.order_by("-pk").values("pk")[:limit]
    return list(
        Individual.objects.filter(pk__in=latest)
        .select_related("rule", "evaluation")
        .defer("genome", "mutated_genes", "constants", "evaluation__trials")
        .annotate(failed_at=Subquery(failed_at[:1]))
        .order_by("-pk")
    )


# --- workers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkerFigures:
    """The workers that are there, and what they do.

    Attributes
    ----------
    here_by_host : dict of str to int
        Those that are busy with the experiment.
    """

    n_alive: int
    n_busy: int
    here_by_host: Mapping[str, int]

    @property
    def n_here(self) -> int:
        """Workers that are busy with the experiment."""
        return sum(self.here_by_host.values())


def worker_figures(experiment: Experiment) -> WorkerFigures:
    """Return who works, in one statement."""
    rows = list(
        Worker.objects.alive()
        .values("host")
        .annotate(
            n=Count("pk"),
            n_busy=Count("pk", filter=Q(is_busy=True)),
            n_here=Count("pk", filter=Q(is_busy=True, experiment=experiment)),
        )
        .order_by("host")
    )
    return WorkerFigures(
        n_alive=sum(row["n"] for row in rows),
        n_busy=sum(row["n_busy"] for row in rows),
        here_by_host={row["host"]: row["n_here"] for row in rows if row["n_here"]},
    )


# --- the runs as a group ------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """The fitness that counts as a success.

    Attributes
    ----------
    fitness : float
    is_baseline : bool
        True where it is that of the best rule of the literature, in the same trials.
    """

    fitness: float
    is_baseline: bool

    @property
    def threshold(self) -> float:
        """Fitness that is as good, within rounding."""
        return self.fitness - _EQUIVALENT_FORMS * abs(self.fitness)


@dataclass(frozen=True)
class Success:
    """How many runs have come to the target, and how soon.

    Attributes
    ----------
    n_reached, n_runs : int
    n_ended : int
        Runs of which nothing more is to be expected: they have ended, or reached the target.
    median_generation : float or None
        Over the runs that reached it.
    median_s : float or None
        The same in time without pauses.
    """

    target: Target
    n_reached: int
    n_runs: int
    n_ended: int
    median_generation: float | None = None
    median_s: float | None = None

    @property
    def rate(self) -> float:
        """Share of the runs that reached it, from 0 to 1."""
        return self.n_reached / self.n_runs

    @property
    def n_open(self) -> int:
        """Runs that may still come to it."""
        return self.n_runs - self.n_ended


def target_of(experiment: Experiment, baseline_fitness: float | None) -> Target | None:
    """Return the target fitness, else that of the best known rule, None where neither is known."""
    wanted = experiment.evolution_parameters.get("target_fitness")
    if wanted is not None:
        return Target(wanted, is_baseline=False)
    if baseline_fitness is not None:
        return Target(baseline_fitness, is_baseline=True)
    return None


def success(target: Target, runs: Sequence[Run], log: Iterable[LogEntry]) -> Success:
    """Return how many runs have reached a target, and how soon, in one statement.

    Parameters
    ----------
    log : iterable of LogEntry
        What people did to the experiment: their pauses do not count.
    """
    found = {
        run_id: (index, moment)
        for run_id, index, moment in Generation.objects.filter(
            run__in=[run.pk for run in runs],
            is_improvement=True,
            champion_fitness__gte=target.threshold,
        )
        .values("run")
        .annotate(at=Min("index"), moment=Min("created_at"))
        .values_list("run", "at", "moment")
    }
    log = sorted(log, key=lambda entry: entry.created_at)
    times = [
        seconds
        for run in runs
        if run.pk in found and run.started_at
        for seconds in [time_without_pauses(run.started_at, found[run.pk][1], log)]
        if seconds is not None
    ]
    final = {str(state) for state in ExperimentState if state.is_final}
    return Success(
        target=target,
        n_reached=len(found),
        n_runs=len(runs),
        n_ended=sum(run.state in final or run.pk in found for run in runs),
        median_generation=_median([index for index, _ in found.values()]),
        median_s=_median(times),
    )


def time_without_pauses(start: datetime, end: datetime, log: Sequence[LogEntry]) -> float | None:
    """Return the time between two moments in s, None where a rest of unknown length is between."""
    rest_s = 0.0
    paused_at = None
    for entry in log:
        if not start <= entry.created_at <= end:
            continue
        if entry.action == Action.PAUSED:
            paused_at = entry.created_at
        elif entry.action == Action.RESUMED:
            if paused_at is None:
                return None  # it had failed, nobody knows when
            rest_s += (entry.created_at - paused_at).total_seconds()
            paused_at = None
        elif entry.action == Action.EXTENDED and paused_at is None:
            return None  # it may have ended before
    return (end - start).total_seconds() - rest_s


def _median(values: Sequence[float]) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[middle])
    return (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class SteppedCurve:
    """Fitness of the champion of one run: it stays the same between two improvements.

    Attributes
    ----------
    improvements : sequence of (int, float)
        Generation and fitness, in order.
    last_generation : int
        Generation that the run has come to.
    is_over : bool
        Whether it has ended: its champion stays.
    """

    improvements: Sequence[tuple[int, float]]
    last_generation: int
    is_over: bool


@dataclass(frozen=True)
class Band:
    """Quantiles over the runs: each value holds from its generation to the next one's.

    Values are minus infinity as long as too few runs have a fitness.
    """

    generations: Sequence[int]
    low: Sequence[float]
    median: Sequence[float]
    high: Sequence[float]
    last_generation: int


def quantile_band(
    curves: Sequence[SteppedCurve],
    quantiles: tuple[float, float] = (0.25, 0.75),
    *,
    max_changes: int = MAX_CHANGES,
) -> Band:
    """Return median and quantiles of the champions' fitness over the runs, by generation.

    A run that has ended keeps its champion; of the others only generations count that all of them
    have completed, so that every value is one of the same runs.
    """
    import numpy as np

    running = [curve.last_generation for curve in curves if not curve.is_over]
    last = min(running) if running else max((c.last_generation for c in curves), default=-1)
    if last < 0:
        return Band([], [], [], [], -1)
    changes = np.unique(
        [0, *(index for curve in curves for index, _ in curve.improvements if index <= last)]
    )
    if len(changes) > max_changes:
        changes = changes[np.linspace(0, len(changes) - 1, max_changes).round().astype(int)]
    values = np.full((len(curves), len(changes)), -math.inf)
    for row, curve in zip(values, curves, strict=True):
        if curve.improvements:
            indices, fitness = (
                np.array(column) for column in zip(*curve.improvements, strict=True)
            )
            at = np.searchsorted(indices, changes, side="right") - 1
            row[at >= 0] = fitness[at[at >= 0]]
    values.sort(axis=0)
    low, median, high = (_quantile(values, q) for q in (quantiles[0], 0.5, quantiles[1]))
    return Band(changes.tolist(), low, median, high, last)


def _quantile(ordered, q: float) -> list[float]:
    """Return the quantile of each column as NumPy has it, with minus infinity among the values."""
    position = q * (len(ordered) - 1)
    below = ordered[math.floor(position)]
    share = position - math.floor(position)
    if not share:
        return below.tolist()
    return (below * (1.0 - share) + ordered[math.floor(position) + 1] * share).tolist()
