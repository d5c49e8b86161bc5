"""The demo, from ten seeds: one run each by `manage.py evolve --inline` on an empty database, one
process on each of two cores. It succeeds where the champion is the delta rule `(v - u)*s` up to a
positive factor, or at least as fit as that rule in the same trials. Times include starting Python
and NEST."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from nest_build.rules import PlasticityRule
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import get_learning_task
from tests.bench import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "The demo rediscovers the delta rule"
SEEDS = range(1, 11)
BOUND_S = 120.0
#: Equivalent forms of a rule differ in the last digits of their fitness.
RELATIVE_TOLERANCE = 1e-9


def rows() -> Iterator[Row]:
    """Count the successes, and time the runs."""
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(_evolve, SEEDS))
    n_found = sum(
        _has_succeeded(seed, champion) for seed, (champion, _) in zip(SEEDS, outcomes, strict=True)
    )
    seconds = [seconds for _, seconds in outcomes]
    yield Row("seeds without success, of ten", len(SEEDS) - n_found, "", bound=1)
    yield Row("time of a run, median", statistics.median(seconds), "s", bound=BOUND_S)
    yield Row("time of a run, slowest", max(seconds), "s", bound=BOUND_S)


def _evolve(seed: int) -> tuple[dict[str, object], float]:
    with tempfile.TemporaryDirectory(prefix="e2l-bench-") as directory:
        environment = {**os.environ, "E2L_DATA_DIR": directory}
        _manage(environment, "migrate", "-v0")
        started = time.perf_counter()
        printed = _manage(
            environment,
            *("evolve", "error-driven", "--preset", "demo", "--runs", "1"),
            *("--seed", str(seed), "--inline", "--json"),
        )
        seconds = time.perf_counter() - started
    return json.loads(printed)["runs"][0]["champion"], seconds


def _manage(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def _has_succeeded(seed: int, champion: dict[str, object]) -> bool:
    task = get_learning_task("error-driven")
    delta_rule = PlasticityRule.parse(task.signature, task.baselines[0].expressions)
    found = PlasticityRule.parse(task.signature, champion["rule"])
    (evaluation,) = evaluate_rules(
        task, [delta_rule], task.presets["demo"].task_parameters, seed=seed
    )
    fitness = evaluation.fitness(task.aggregate)
    return found.is_positive_multiple_of(delta_rule) or (
        champion["fitness"] >= fitness - RELATIVE_TOLERANCE * abs(fitness)
    )
