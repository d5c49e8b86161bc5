"""What the experiment page shows, made from what the database holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evolution import selectors
from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import ExperimentState, StopReason
from evolution.plots import N_RUN_COLORS, ChampionCurve
from evolution.templatetags.evolution_format import fitness as format_fitness
from simulations.learning_tasks import get_learning_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evolution.models import Evaluation, Experiment, Individual
    from evolution.serializers import ExperimentMessage


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

    @property
    def label(self) -> str:
        """Name for people."""
        return f"Run {self.number}"

    @property
    def color(self) -> int:
        """Number of the run's colour in the style sheet."""
        return (self.number - 1) % N_RUN_COLORS


def run_rows(experiment: Experiment, message: ExperimentMessage) -> dict[int, RunRow]:
    """Return the runs by id, in their order."""
    details = dict(experiment.runs.exclude(detail="").values_list("pk", "detail"))
    return {
        run["run"]: RunRow(
            pk=run["run"],
            number=number,
            seed=run["seed"],
            state=run["state"],
            reason=StopReason(run["stop_reason"]).label if run["stop_reason"] else "",
            detail=details.get(run["run"], ""),
            generation=run["generation"],
            fitness=run["fitness"],
        )
        for number, run in enumerate(message["runs"], start=1)
    }


def cursors(message: ExperimentMessage) -> dict[int, int]:
    """Return the last generation of each run that the page shows."""
    return {run["run"]: run["generation"] for run in message["runs"]}


def champion_curves(experiment: Experiment, runs: Mapping[int, RunRow]) -> list[ChampionCurve]:
    """Return the champions' fitness of each run."""
    steps: dict[int, list[tuple[int, float, str]]] = {pk: [] for pk in runs}
    for generation in selectors.improvements(experiment).order_by("run", "index"):
        steps[generation.run_id].append(
            (generation.index, generation.champion_fitness, str(generation.champion.rule))
        )
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


def summary(message: ExperimentMessage, runs: Mapping[int, RunRow]) -> str:
    """Say in words what the plot shows."""
    with_fitness = [run for run in runs.values() if run.fitness is not None]
    if not with_fitness:
        return "No run has a fitness yet."
    best = max(with_fitness, key=lambda run: run.fitness)
    worst = min(with_fitness, key=lambda run: run.fitness)
    text = f"{best.label} has the best fitness, {format_fitness(best.fitness)}"
    if len(with_fitness) > 1:
        text += f"; the champions of the other runs lie down to {format_fitness(worst.fitness)}"
    furthest = max(run.generation for run in runs.values())
    return f"{text}, after up to {furthest} of {message['n_generations']} generations."


def error_label(fitness_label: str) -> str | None:
    """Return "error (mV)" for "minus the error (mV)", None where fitness is no minus an error.

    Errors fall by orders of magnitude, so people look at them on a logarithmic axis.
    """
    error = fitness_label.removeprefix("minus the ")
    return None if error == fitness_label else error


def progress(message: ExperimentMessage) -> float:
    """Return the share of the experiment that is done, from 0 to 1; finished runs count in full."""
    shares = [
        1.0
        if run["state"] == ExperimentState.FINISHED
        else max(0, run["generation"]) / message["n_generations"]
        for run in message["runs"]
    ]
    return min(1.0, sum(shares) / len(shares)) if shares else 0.0


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


def fitness_of(experiment: Experiment, evaluation: Evaluation) -> float | None:
    """Return the fitness of an evaluated rule in an experiment's trials, None if it has none."""
    n_trials = experiment.task_parameters["n_trials"]
    if evaluation.n_trials_done < n_trials:
        return None
    return evaluation.fitness(n_trials, experiment.learning_task.aggregate)


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
            "key": known.canonical().key,
            "is_same": rule is not None and rule.is_positive_multiple_of(known),
        }
        for baseline in learning_task.baselines
        for known in [PlasticityRule.parse(signature, baseline.expressions)]
    ]
