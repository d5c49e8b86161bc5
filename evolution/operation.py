"""How the installation as a whole fares: what operators and their instruments look at.

No question here counts a large table: demands and workers are few, and totals of all that has ever
been evaluated are sums over runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Exists, OuterRef, Q, Sum
from django.db.models.functions import Now
from django.utils import timezone

from evolution.enums import EvaluationState, ExperimentState, Outcome, ProbeState
from evolution.models import Demand, Experiment, Individual, Probe, Run, Worker, WorkerHost
from evolution.models.worker import SILENCE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A run that has completed no generation for so long is worth a look, in s.
QUIET_S = 600.0
#: How many of the latest failures a page shows.
N_FAILED_RUNS = 20


# --- work ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """What is to be done now.

    Attributes
    ----------
    n_waiting, n_claimed, n_stale : int
        Evaluations that runs wait for: nobody has them, a worker has, a worker had that has been
        silent for too long.
    n_probes_waiting, n_probes_running : int
        Simulations that people have asked for.
    """

    n_waiting: int
    n_claimed: int
    n_stale: int
    n_probes_waiting: int
    n_probes_running: int


def work() -> Work:
    """Return what is to be done, in two statements."""
    is_claimed = Q(evaluation__state=EvaluationState.CLAIMED)
    is_over = Q(evaluation__lease_expires_at__lt=Now())
    wanted = Demand.objects.active().unsettled()
    # A retry by hand and a run may wait for the same one.
    evaluations = wanted.aggregate(
        n_waiting=Count("evaluation", distinct=True, filter=~is_claimed),
        n_claimed=Count("evaluation", distinct=True, filter=is_claimed & ~is_over),
        n_stale=Count("evaluation", distinct=True, filter=is_claimed & is_over),
    )
    probes = Probe.objects.open().aggregate(
        n_probes_waiting=Count("pk", filter=Q(state=ProbeState.WAITING)),
        n_probes_running=Count("pk", filter=Q(state=ProbeState.RUNNING)),
    )
    return Work(**evaluations, **probes)


@dataclass(frozen=True)
class Totals:
    """All that the runs which there are have done.

    Attributes
    ----------
    runs_by_state : dict of str to int
    n_generations, n_asked, n_cached, n_pruned : int
        Completed generations, rules whose fitness had to be known, and how many of these had been
        asked for before and were not simulated in all trials.
    """

    runs_by_state: dict[str, int]
    n_generations: int
    n_asked: int
    n_cached: int
    n_pruned: int


def totals() -> Totals:
    """Return the sums over all runs, in one statement."""
    rows = list(
        Run.objects.order_by()
        .values("state")
        .annotate(
            n=Count("pk"),
            n_generations=Sum("n_generations_done"),
            n_asked=Sum("n_evaluations"),
            n_hits=Sum("n_cached"),
            n_short=Sum("n_pruned"),
        )
    )
    return Totals(
        runs_by_state={row["state"]: row["n"] for row in rows},
        n_generations=sum(row["n_generations"] for row in rows),
        n_asked=sum(row["n_asked"] for row in rows),
        n_cached=sum(row["n_hits"] for row in rows),
        n_pruned=sum(row["n_short"] for row in rows),
    )


def failures_by_reason() -> dict[str, int]:
    """Return how many individuals of the runs that go on have no fitness, by the reason."""
    reasons = [outcome for outcome in Outcome if outcome.is_failure]
    rows = (
        Individual.objects.filter(run__state=ExperimentState.RUNNING, outcome__in=reasons)
        .order_by()
        .values_list("outcome")
        .annotate(n=Count("pk"))
    )
    return {**dict.fromkeys((reason.value for reason in reasons), 0), **dict(rows)}


def experiments_by_state() -> dict[str, int]:
    """Return how many experiments there are of each state."""
    return dict(Experiment.objects.order_by().values_list("state").annotate(n=Count("pk")))


# --- workers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkerCounts:
    """How many workers there are, by what they do."""

    busy: int
    idle: int
    drained: int


def worker_counts() -> WorkerCounts:
    """Return who is there, in one statement; on a drained host some may still be busy."""
    is_drained = Exists(WorkerHost.objects.filter(name=OuterRef("host"), is_drained=True))
    rows = Worker.objects.alive().annotate(is_drained=is_drained)
    return WorkerCounts(
        **rows.aggregate(
            busy=Count("pk", filter=Q(is_busy=True)),
            idle=Count("pk", filter=Q(is_busy=False, is_drained=False)),
            drained=Count("pk", filter=Q(is_busy=False, is_drained=True)),
        )
    )


@dataclass(frozen=True)
class Host:
    """A computer, or container, with its workers; one without any has been drained before."""

    name: str
    is_drained: bool
    changed_by: str
    changed_at: datetime | None
    workers: Sequence[Worker]

    @property
    def n_alive(self) -> int:
        """Workers that were heard of lately."""
        return sum(not is_silent(worker) for worker in self.workers)

    @property
    def n_busy(self) -> int:
        """Workers that simulate."""
        return sum(worker.is_busy and not is_silent(worker) for worker in self.workers)

    @property
    def state(self) -> str:
        """Where the host stands, in a word."""
        if not self.n_alive:
            return "silent" if self.workers else "no workers"
        if self.is_drained:
            return "draining" if self.n_busy else "drained"
        return "at work" if self.n_busy else "idle"


def is_silent(worker: Worker) -> bool:
    """Return whether a worker was not heard of for too long."""
    return abs(timezone.now() - worker.heard_at) > timedelta(seconds=SILENCE_S)


def state_of(worker: Worker) -> str:
    """Return what a worker does, in a word."""
    if is_silent(worker):
        return "silent"
    return "busy" if worker.is_busy else "idle"


def hosts() -> list[Host]:
    """Return all hosts with their workers and what was asked of them, in two statements."""
    orders = {order.name: order for order in WorkerHost.objects.select_related("changed_by").all()}
    workers: dict[str, list[Worker]] = {}
    for worker in Worker.objects.select_related("experiment").order_by("host", "name"):
        workers.setdefault(worker.host, []).append(worker)
    drained = {name for name, order in orders.items() if order.is_drained}
    found = []
    for name in sorted({*workers, *drained}):
        order = orders.get(name)
        found.append(
            Host(
                name=name,
                is_drained=name in drained,
                changed_by=order.changed_by.get_username() if order and order.changed_by else "",
                changed_at=order.changed_at if order else None,
                workers=workers.get(name, []),
            )
        )
    return found


# --- what is stuck ------------------------------------------------------------------------------


def stale_leases(limit: int) -> list[Demand]:
    """Return demands whose worker has been silent for too long, with experiment and rule."""
    return list(
        Demand.objects.active()
        .unsettled()
        .filter(evaluation__state=EvaluationState.CLAIMED, evaluation__lease_expires_at__lt=Now())
        .select_related("experiment", "evaluation__rule")
        .order_by("evaluation__lease_expires_at")[:limit]
    )


def quiet_runs(limit: int) -> list[Run]:
    """Return the runs that go on and have completed no generation for long, the longest first."""
    since = Now() - timedelta(seconds=QUIET_S)
    return list(
        Run.objects.running()
        .without_engine_state()
        .filter(Q(last_progress_at__lt=since) | Q(last_progress_at=None, started_at__lt=since))
        .select_related("experiment")
        .order_by("last_progress_at")[:limit]
    )


def failed_runs(limit: int = N_FAILED_RUNS) -> list[Run]:
    """Return the runs that could not go on, the latest first."""
    return list(
        Run.objects.filter(state=ExperimentState.FAILED)
        .without_engine_state()
        .select_related("experiment")
        .order_by("-finished_at")[:limit]
    )
