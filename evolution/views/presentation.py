"""What the experiment page shows, made from what the database holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.http import HttpResponse, JsonResponse
from django.urls import reverse

from evolution import selectors, statistics
from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import ExperimentState, StopReason
from evolution.figure_template import figure_item
from evolution.plots import N_RUN_COLORS, ChampionCurve, error_label
from evolution.services.couriers import queue_length
from evolution.services.judgement import judge
from evolution.templatetags.evolution_format import fitness as format_fitness
from evolution.views.written import digest
from simulations.learning_tasks import get_learning_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bokeh.models import Plot

    from evolution.models import Evaluation, Experiment, Individual, LogEntry, Run
    from evolution.serializers import ExperimentMessage
    from simulations.learning_tasks import LearningTask

#: How long the length of the queue is good for all pages of a process, in s.
QUEUE_KEPT_S = 1


@dataclass(frozen=True)
class RunRow:
    """A run as tables and the plot show it; people count from 1."""

    pk: int
    number: int
    seed: int
    state: str
    reason: str
    detail: str
    generation: int
    fitness: float | None
    improved_at: int

    @property
    def label(self) -> str:
        """Name for people."""
        return f"Run {self.number}"

    @property
    def color(self) -> int:
        """Number of the run's colour in the style sheet."""
        return (self.number - 1) % N_RUN_COLORS


def run_rows(runs: Iterable[Run]) -> dict[int, RunRow]:
    """Return the runs by id, in their order."""
    return {
        run.pk: RunRow(
            pk=run.pk,
            number=number,
            seed=run.seed,
            state=run.state,
            reason=StopReason(run.stop_reason).label if run.stop_reason else "",
            detail=run.detail,
            generation=selectors.last_generation(run),
            fitness=run.champion_fitness,
            improved_at=run.improved_at_generation,
        )
        for number, run in enumerate(runs, start=1)
    }


def cursors(message: ExperimentMessage) -> dict[int, int]:
    """Return the last generation of each run that the page shows."""
    return {run["run"]: run["generation"] for run in message["runs"]}


def champion_curves(experiment: Experiment, runs: Mapping[int, RunRow]) -> list[ChampionCurve]:
    """Return the champions' fitness of each run."""
    steps: dict[int, list[tuple[int, float, str]]] = {pk: [] for pk in runs}
    for run_id, *step in selectors.improvement_steps(experiment):
        # Of a run that was added since the others were read, nothing is shown yet.
        steps.setdefault(run_id, []).append(tuple(step))
    return [
        ChampionCurve(
            run=run.pk,
            label=f"{run.label}, seed {run.seed}",
            color=run.color,
            improvements=steps[run.pk],
            # A generation may have been completed since the run was read.
            last_generation=max([run.generation, *(step[0] for step in steps[run.pk])]),
        )
        for run in runs.values()
    ]


def band(curves: Iterable[ChampionCurve], runs: Mapping[int, RunRow]) -> statistics.Band:
    """Return median and quartiles of these curves over the runs."""
    return statistics.quantile_band(
        [
            statistics.SteppedCurve(
                improvements=[(index, fitness) for index, fitness, _ in curve.improvements],
                last_generation=curve.last_generation,
                is_over=ExperimentState(runs[curve.run].state).is_final,
            )
            for curve in curves
        ]
    )


def improvement_rows(
    experiment: Experiment, runs: Mapping[int, RunRow], *, limit: int
) -> list[dict[str, Any]]:
    """Return the last improvements, newest first."""
    return [
        {
            "run": runs[generation.run_id],
            "generation": generation.index,
            "rule": generation.champion.rule,
            "fitness": generation.champion_fitness,
        }
        for generation in selectors.improvements(experiment)[:limit]
    ]


def history_digest(runs: Iterable[RunRow], improvements: Iterable[Mapping[str, Any]]) -> str:
    """Return what tells whether the tables of runs and improvements would be the same.

    A hundred rows take half of the time of a page. Those of an experiment that is over are written
    once.
    """
    found = [
        (item["run"].pk, item["generation"], item["rule"] and item["rule"].pk, item["fitness"])
        for item in improvements
    ]
    return digest((list(runs), found))


def summary(message: ExperimentMessage, runs: Mapping[int, RunRow]) -> str:
    """Say in words what the plot shows."""
    with_fitness = [run for run in runs.values() if run.fitness is not None]
    if not with_fitness:
        return "No run has a fitness yet."
    best = min(with_fitness, key=lambda run: (-run.fitness, run.improved_at, run.number))
    worst = min(with_fitness, key=lambda run: run.fitness)
    text = f"{best.label} has the best fitness, {format_fitness(best.fitness)}"
    if len(with_fitness) > 1:
        text += f"; the champions of the other runs lie down to {format_fitness(worst.fitness)}"
    furthest = max(run.generation for run in runs.values())
    return f"{text}, after up to {furthest} of {message['n_generations']} generations."


def fitness_axes(learning_task: LearningTask) -> dict[str, str]:
    """Return the labels of the fitness axis by scale: "linear" and, for an error, "log"."""
    axes = {"linear": learning_task.fitness_label}
    if error := error_label(learning_task.fitness_label):
        axes["log"] = error
    return axes


def rule_address_template() -> str:
    """Return the address of a rule's page with ``@rule``, a column of a figure, for its number."""
    base, _, _ = reverse("evolution:rule", args=[0]).rpartition("0")
    return f"{base}@rule/"


def figure_response(figure: Plot | str) -> HttpResponse:
    """Return a figure, or its JSON, for BokehJS."""
    if isinstance(figure, str):
        return HttpResponse(figure, content_type="application/json")
    return JsonResponse(figure_item(figure))


def progress(message: ExperimentMessage) -> float:
    """Return the share of the experiment that is done, from 0 to 1."""
    return selectors.progress(
        message["n_generations"],
        ((run["state"] == ExperimentState.FINISHED, run["generation"]) for run in message["runs"]),
    )


def origin(champion: Individual | None, runs: Mapping[int, RunRow]) -> str:
    """Return where the champion was found."""
    if champion is None:
        return ""
    return f"{runs[champion.run_id].label}, generation {champion.birth_generation}"


def branches(experiment: Experiment, champion: Individual | None) -> list[dict[str, str]]:
    """Return name, MathML and text of each branch of the champion's rule; empty before it."""
    names = experiment.learning_task.signature.branches
    if champion is None:
        return [{"name": name, "mathml": "", "text": ""} for name in names]
    rule = champion.rule
    return [
        {"name": name, "mathml": mathml, "text": text}
        for name, mathml, text in zip(names, rule.mathml, rule.expressions, strict=True)
    ]


def parameter_groups(experiment: Experiment) -> list[dict[str, Any]]:
    """Return all parameters with their units, by heading.

    Shown as they were stored: an experiment of an earlier version may have had other parameters.
    """
    stored = (
        (EvolutionParameters, experiment.evolution_parameters),
        (experiment.learning_task.parameters_type, experiment.task_parameters),
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for parameters_type, values in stored:
        descriptions = parameters_type.descriptions()
        for name, value in values.items():
            known = descriptions.get(name)
            groups.setdefault(known.group if known else "Of an earlier version", []).append(
                {
                    "label": known.label if known else name,
                    "value": value,
                    "unit": known.unit if known else "",
                    "help": known.help if known else "",
                }
            )
    return [{"heading": heading, "rows": rows} for heading, rows in groups.items()]


def seeds(experiment: Experiment) -> dict[str, str]:
    """Return which seeds are used, in words."""
    first = experiment.seed
    last_trial = first + experiment.task_parameters.get("n_trials", 1) - 1
    last_run = first + experiment.n_runs - 1
    return {
        "trials": str(first) if last_trial == first else f"{first} to {last_trial}",
        "runs": str(first) if last_run == first else f"{first} to {last_run}",
    }


def fitness_of(experiment: Experiment, evaluation: Evaluation) -> float | None:
    """Return the fitness of an evaluated rule in an experiment's trials, None if it has none."""
    judgement = judge(
        evaluation.trials,
        evaluation.reason,
        n_trials=experiment.task_parameters["n_trials"],
        bound=None,
        aggregate=experiment.learning_task.aggregate,
    )
    if judgement is None or not math.isfinite(judgement.fitness):
        return None
    return judgement.fitness


@lru_cache(maxsize=256)
def known_rules(
    learning_task_name: str, expressions: tuple[str, ...] | None
) -> list[dict[str, Any]]:
    """Return the rules of the literature, each with whether ``expressions`` are the same rule."""
    from nest_build.rules import PlasticityRule

    learning_task = get_learning_task(learning_task_name)
    signature = learning_task.signature
    rule = PlasticityRule.parse(signature, expressions) if expressions else None
    return [
        {
            "name": baseline.name,
            "reference": baseline.reference,
            "mathml": known.mathml,
            "key": canonical.key,
            "is_same": rule is not None and rule.is_positive_multiple_of(known),
        }
        for baseline, canonical in learning_task.canonical_baselines
        for known in [PlasticityRule.parse(signature, baseline.expressions)]
    ]


def known_rules_of(experiment: Experiment, champion: Individual | None) -> list[dict[str, Any]]:
    """Return the rules of the literature with their fitness in the experiment's trials."""
    known = known_rules(
        experiment.learning_task_name, tuple(champion.rule.expressions) if champion else None
    )
    evaluations = selectors.baseline_evaluations(experiment, [item["key"] for item in known])
    fitness = {key: fitness_of(experiment, item) for key, item in evaluations.items()}
    return [{**item, "fitness": fitness.get(item["key"])} for item in known]


def figures(
    experiment: Experiment,
    runs: Sequence[Run],
    known: Iterable[Mapping[str, Any]],
    log: Iterable[LogEntry],
) -> dict[str, Any]:
    """Return the figures of an experiment that change while it runs."""
    baseline = max((item["fitness"] for item in known if item["fitness"] is not None), default=None)
    target = statistics.target_of(experiment, baseline)
    return {
        "evaluations": statistics.evaluation_figures(runs),
        "workers": statistics.worker_figures(experiment),
        # The same for all pages, and not free while the broker is away.
        "queue_length": cache.get_or_set("queue-length", queue_length, QUEUE_KEPT_S),
        "success": statistics.success(target, runs, log) if target and runs else None,
    }


def figures_part(
    experiment: Experiment, runs: Sequence[Run], log: Iterable[LogEntry]
) -> dict[str, Any]:
    """Return what the part of the page with :func:`figures` shows, when it is renewed."""
    return {
        "experiment": experiment,
        "is_over": ExperimentState(experiment.state).is_final,
        "is_part": True,
        **figures(experiment, runs, known_rules_of(experiment, None), log),
    }


def records(
    experiment: Experiment, runs: Sequence[Run], log: Sequence[LogEntry], *, limit: int
) -> dict[str, Any]:
    """Return failures and what people did, with a digest that tells whether they have changed."""
    counts = statistics.failure_counts(experiment, runs)
    numbers = {run.pk: number for number, run in enumerate(runs, start=1)}
    failures = [
        {
            "run": numbers[failure.run_id],
            "generation": failure.birth_generation,
            "rule": failure.rule,
            "reason": failure.get_outcome_display(),
            "when": failure.failed_at,
            "detail": failure.evaluation.detail if failure.evaluation else "",
        }
        for failure in (statistics.latest_failures(runs, limit=limit) if counts.total else [])
    ]
    return {
        "log": log,
        "failure_counts": [
            {"reason": outcome.label, "n": n} for outcome, n in counts.by_reason.items()
        ],
        "n_failures": counts.total,
        "n_retriable": counts.n_retriable,
        "failures": failures,
        "failures_limit": limit,
        "digest": records_digest(counts, log),
    }


def records_digest(counts: statistics.FailureCounts, log: Sequence[LogEntry]) -> str:
    """Return what tells whether failures or activity have changed."""
    return f"{counts.total}-{counts.n_retriable}-{log[0].pk if log else 0}"
