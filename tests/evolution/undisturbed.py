"""What runs come to where nothing fails: the engine alone, without database, broker and workers.

``python -m tests.evolution.undisturbed`` computes what it reads as JSON, and writes the runs.
"""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from evolution.cgp.engine import Engine
from evolution.cgp.parameters import EvolutionParameters
from nest_build.rules import RuleSyntaxError
from simulations.evaluation import evaluate_rules
from tests.evolution.regression_task import RegressionParameters, RegressionTask

if TYPE_CHECKING:
    from nest_build.rules import PlasticityRule


@dataclass
class Undisturbed:
    """Of each run its history and champion, and all rules in the order of their evaluation."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)


def compute(
    parameters: RegressionParameters,
    evolution: EvolutionParameters,
    *,
    seed: int,
    n_runs: int,
    failing: frozenset[str] = frozenset(),
) -> Undisturbed:
    """Compute the runs of an experiment on the tests' learning task.

    Parameters
    ----------
    parameters : RegressionParameters
    evolution : EvolutionParameters
        Whose number of generations alone ends a run.
    seed : int
        Of the experiment and of its first run; those of the others follow.
    n_runs : int
    failing : frozenset of str
        Rules that have no fitness.
    """
    from evolution.services.evaluations import canonical_rule

    task = RegressionTask()
    found = Undisturbed()

    @cache
    def fitness(rule: PlasticityRule) -> float:
        found.rules.append(rule.texts[0])
        if rule.texts[0] in failing:
            return -math.inf
        (evaluation,) = evaluate_rules(task, [rule], parameters, seed=seed)
        value = evaluation.fitness(task.aggregate)
        return -math.inf if value is None else value

    def answer(texts: tuple[str, ...] | None) -> float:
        try:
            return -math.inf if texts is None else fitness(canonical_rule(task.signature, texts))
        except RuleSyntaxError:
            return -math.inf

    for index in range(n_runs):
        names = task.signature.input_names
        engine = Engine.start(evolution, input_names=names, n_branches=1, seed=seed + index)
        history: list[float | None] = []
        texts: dict[int, str] = {}
        while len(history) <= evolution.n_generations:
            request = engine.ask()
            for candidate in request.born:
                if candidate.texts is not None:
                    rule = canonical_rule(task.signature, tuple(candidate.texts))
                    texts[candidate.index] = rule.texts[0]
            selection = engine.tell({q.key: answer(q.texts) for q in request.questions})
            best = selection.champion_fitness
            history.append(best if math.isfinite(best) else None)
        found.runs.append({"history": history, "champion": texts[selection.champion_index]})
    return found


def main() -> None:
    import django

    question = json.load(sys.stdin)
    django.setup()
    found = compute(
        RegressionParameters(n_points=question["n_points"]),
        EvolutionParameters.from_mapping(question["evolution"]),
        seed=question["seed"],
        n_runs=question["n_runs"],
    )
    json.dump(found.runs, sys.stdout)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    main()
