"""Every champion of the published runs, evaluated with the paper's parameters and seed, beside the
fitness that the authors published (`../shared/published`), in the canonical form in which
experiments simulate them. Those of the error-driven and of the correlation-driven runs are met
to the last digits. Three of the latter, those of the runs 2, 4 and 7, owe that to the arithmetic
of the paper's parameters, in which a product with a factor of zero is zero, as it was in the
authors' symbolic library: their weights pass through infinity and 0/0, which IEEE arithmetic
makes NaN. Those of the reward-driven runs are means over ten repetitions with another escape
noise and other connections; the published ten of `E*(R - 1)` have a standard error of 25. The
four other rules have 54 to 65 over sixty repetitions, with standard errors of 10: which of them
is fitter cannot be told, here as there. The rank correlation (Spearman's; the same rule from
several runs counts as a tie) says whether rules are ranked as in the paper. Nothing is measured
where the published results are not at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nest_build.rules import PlasticityRule
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import get_learning_task
from tests.bench import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Fitness of the published champions"
PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "published"
BRANCHES = {
    "error-driven": ("champion_rule",),
    "reward-driven": ("champion_rule",),
    "correlation-driven": ("champion_depress", "champion_facilitate"),
}
UNITS = {"error-driven": "mV", "reward-driven": "", "correlation-driven": ""}


def rows() -> Iterator[Row]:
    """Evaluate the champions of each learning task."""
    if not PUBLISHED.exists():
        return
    for name, branches in BRANCHES.items():
        text = (PUBLISHED / f"{name.replace('-', '_')}.json").read_text(encoding="utf-8")
        # Runs that were not successful have no champion in the published data.
        champions = [run for run in json.loads(text)["runs"] if branches[0] in run]
        task = get_learning_task(name)
        preset = task.presets["paper"]
        rules = [
            PlasticityRule.parse(task.signature, [run[branch] for branch in branches]).canonical()
            for run in champions
        ]
        evaluations = evaluate_rules(task, rules, preset.task_parameters, seed=preset.seed)
        fitness = [evaluation.fitness(task.aggregate) for evaluation in evaluations]
        published = [run["fitness_champion"][-1] for run in champions]
        for run, rule, ours, theirs in zip(champions, rules, fitness, published, strict=True):
            yield Row(
                f"{name}, run {run['run']}: `{'`, `'.join(rule.texts)}`",
                float("nan") if ours is None else ours,
                UNITS[name],
                reference=theirs,
                reference_name="published",
            )
        yield Row(f"{name}: rank correlation", rank_correlation(fitness, published), "")


def rank_correlation(one: list[float], other: list[float]) -> float:
    """Return Spearman's coefficient; equal values share the mean of their ranks."""
    ranks = [
        [np.mean([(b < a) + 0.5 * (b == a) for b in values]) for a in values]
        for values in (one, other)
    ]
    return float(np.corrcoef(*ranks)[0, 1])
