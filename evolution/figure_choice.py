"""Which experiment, run and rule a figure of the paper is about, as the database has them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet

from evolution import selectors
from evolution.enums import ExperimentState
from evolution.models import Experiment, Generation, Individual, Run

if TYPE_CHECKING:
    from nest_build.rules import PlasticityRule
    from simulations.figures.base import PaperFigure

#: Experiments between which a page lets people choose, the latest first.
N_OFFERED = 30


@dataclass(frozen=True)
class RunHistory:
    """The champion's fitness of a run.

    Attributes
    ----------
    steps : list of (int, float or None)
        Generation and fitness where it changed, in order; None for what is not finite.
    texts : dict of int to str
        Rule of the champion by generation of an improvement.
    """

    number: int
    steps: list[tuple[int, float | None]]
    last_generation: int
    texts: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FigureChoice:
    """What is shown: None where the installation has no experiment, and for the paper's rule."""

    figure: PaperFigure
    experiment: Experiment | None = None
    published: Experiment | None = None
    rule: PlasticityRule | None = None
    run_number: int | None = None

    @property
    def shown_rule(self) -> PlasticityRule:
        """The rule of the simulation that is shown."""
        return self.rule or self.figure.rule(self.figure.shown_rule.expressions)

    @property
    def is_comparable(self) -> bool:
        """Whether fitness values of the experiment and of the paper mean the same."""
        return self.experiment is None or has_papers_parameters(self.figure, self.experiment)


def offered_experiments(
    figure: PaperFigure, readable: QuerySet[Experiment] | None = None
) -> QuerySet[Experiment]:
    """Return experiments of the figure's learning task, the latest first.

    ``readable`` are the experiments that the reader may see; None for all.
    """
    return (
        _among(readable)
        .filter(learning_task_name=figure.learning_task_name)
        .exclude(state__in=[ExperimentState.PUBLISHED, ExperimentState.CREATED])
        .newest_first()
    )


def default_experiment(
    figure: PaperFigure, readable: QuerySet[Experiment] | None = None
) -> Experiment | None:
    """Return the latest experiment with the authors' parameters, None if there is none."""
    latest = offered_experiments(figure, readable).filter(preset=figure.preset.name)[:N_OFFERED]
    return next((own for own in latest if has_papers_parameters(figure, own)), None)


def has_papers_parameters(figure: PaperFigure, experiment: Experiment) -> bool:
    """Return whether the fitness values of an experiment are those of the same trials."""
    preset = figure.preset
    return (
        experiment.task_parameters == preset.task_parameters.to_mapping()
        and experiment.seed == preset.seed
    )


def _among(readable: QuerySet[Experiment] | None) -> QuerySet[Experiment]:
    return (Experiment.objects.all() if readable is None else readable).not_archived()


def published_experiment(
    figure: PaperFigure, readable: QuerySet[Experiment] | None = None
) -> Experiment | None:
    """Return the authors' own runs where they have been imported."""
    return (
        _among(readable)
        .filter(learning_task_name=figure.learning_task_name, state=ExperimentState.PUBLISHED)
        .newest_first()
        .first()
    )


def held_out_rules(choice: FigureChoice) -> list[dict[str, Any]]:
    """Return the rules that are tried with held-out seeds, each once, with names for people.

    They are those of the paper, the one that was chosen, and the champion of each run.
    """
    named: dict[tuple[str, ...], list[str]] = {}
    for rule in choice.figure.rules:
        named[choice.figure.rule(rule.expressions).texts] = [rule.name]
    if choice.rule is not None:
        named.setdefault(choice.rule.texts, ["chosen rule"])
    runs: dict[tuple[str, ...], list[int]] = defaultdict(list)
    if choice.experiment is not None:
        champions = Run.objects.filter(
            experiment=choice.experiment, champion__rule__isnull=False
        ).order_by("index")
        for index, expressions in champions.values_list("index", "champion__rule__expressions"):
            runs[tuple(expressions)].append(index + 1)
    for texts, numbers in runs.items():
        words = f"run{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        named.setdefault(texts, []).append(words)
    return [
        {"name": " · ".join(names), "expressions": list(texts)} for texts, names in named.items()
    ]


def histories(experiment: Experiment) -> list[RunHistory]:
    """Return the history of each run, in two or three statements.

    Of published runs all generations are read, because the record of some has gaps.
    """
    runs = selectors.runs_of(experiment)
    improvements = Generation.objects.filter(run__in=runs, is_improvement=True).order_by("index")
    steps: dict[int, list[tuple[int, float | None]]] = defaultdict(list)
    texts: dict[int, dict[int, str]] = defaultdict(dict)
    for run_id, index, fitness, expressions in improvements.values_list(
        "run_id", "index", "champion_fitness", "champion__rule__expressions"
    ):
        steps[run_id].append((index, fitness))
        if expressions:
            texts[run_id][index] = " ; ".join(expressions)
    if experiment.state == ExperimentState.PUBLISHED:
        steps = _all_changes(runs)
    return [
        RunHistory(run.number, steps[run.pk], selectors.last_generation(run), texts[run.pk])
        for run in runs
    ]


def _all_changes(runs: list[Run]) -> dict[int, list[tuple[int, float | None]]]:
    """Return where the fitness changes; champions cannot become worse, so a drop is no record.

    In some runs of the authors records end in zeros, which they leave out of their figure as well.
    """
    values: dict[int, list[tuple[int, float | None]]] = defaultdict(list)
    rows = Generation.objects.filter(run__in=runs).order_by("run", "index")
    best: dict[int, float] = defaultdict(lambda: -math.inf)
    for run_id, index, fitness in rows.values_list("run_id", "index", "champion_fitness"):
        known = fitness if fitness is not None and fitness >= best[run_id] else None
        best[run_id] = max(best[run_id], -math.inf if known is None else known)
        values[run_id].append((index, known))
    return defaultdict(
        list,
        {
            run_id: [own[0], *(now for before, now in pairwise(own) if now[1] != before[1])]
            for run_id, own in values.items()
        },
    )


def champion_texts(experiment: Experiment) -> list[str]:
    """Return the rules of the champions of all runs, for a list of suggestions."""
    champions = Individual.objects.filter(
        pk__in=Run.objects.filter(experiment=experiment).values("champion_id")
    )
    found = champions.values_list("rule__expressions", flat=True)
    return sorted({" ; ".join(expressions) for expressions in found if expressions})
