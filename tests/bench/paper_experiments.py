"""Whole experiments with the paper's parameters, as `manage.py evolve --preset paper --wait` on two
workers (SQLite, the private Valkey), one after the other: the first seed of the error-driven
learning task, six seeds of it together, and one seed of each of the others. Times are those from
the launch to the end. The authors gave 12 hours on a node to the six or eight runs of a learning
task (jobs of eight threads each), and 24 hours on five nodes to the twenty correlation-driven runs.
Simulations saved are those of rules that had been asked for before, of all whose fitness had to be
known; pruned are those that could not survive after a few trials."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import Row
from tests.broker import private_broker
from tests.evolution.processes import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Whole experiments of the paper's size"
IS_LONG = True
HOUR_S = 3600.0

_FIGURES = """
import json
from django.db.models import Sum
from evolution.models import Evaluation, Experiment
experiment = Experiment.objects.order_by("-pk").first()
runs = list(experiment.runs.order_by("index"))
print(json.dumps({
    "seconds": (experiment.finished_at - experiment.started_at).total_seconds(),
    "run_seconds": [(run.finished_at - run.started_at).total_seconds() for run in runs],
    "generations": [run.n_generations_done for run in runs],
    "fitness": [run.champion_fitness for run in runs],
    "asked": sum(run.n_evaluations for run in runs),
    "cached": sum(run.n_cached for run in runs),
    "pruned": sum(run.n_pruned for run in runs),
}))
"""


def rows() -> Iterator[Row]:
    """Run the experiments; every one begins on an empty database."""
    figures = _experiment("error-driven", n_runs=1)
    yield _time("error-driven, 1 seed, 1000 generations", figures, 600, 12 * HOUR_S, "12 h, 6 runs")
    yield _share("of it, simulations saved", figures, "cached", 40)
    figures = _experiment("error-driven", n_runs=6)
    yield _time("error-driven, 6 seeds", figures, None, 12 * HOUR_S, "12 h, 6 runs")
    n_good = sum(fitness >= -15 for fitness in figures["fitness"])
    yield Row("of these, seeds that reach -15 or better (at least 4; published: 5)", n_good, "")
    yield _share("of these, simulations saved", figures, "cached", 40)
    figures = _experiment("reward-driven", n_runs=1)
    yield _time("reward-driven, 1 seed, 500 gen.", figures, 1200, 12 * HOUR_S, "12 h, 8 runs")
    yield Row("of it, fitness of the champion", figures["fitness"][0], "")
    figures = _experiment("correlation-driven", n_runs=1)
    what = f"correlation-driven, 1 seed, {figures['generations'][0]} of 2000 generations"
    yield _time(what, figures, 3600, 24 * HOUR_S, "24 h on 5 nodes, 20 runs")
    yield Row("of it, fitness of the champion (a run ends at 10)", figures["fitness"][0], "")
    yield _share("of it, simulations pruned", figures, "pruned", None)


def _time(
    what: str, figures: dict[str, Any], bound: float | None, budget_s: float, budget: str
) -> Row:
    return Row(
        what, figures["seconds"], "s", bound=bound, reference=budget_s,
        reference_name=f"authors' budget ({budget})",
    )  # fmt: skip


def _share(what: str, figures: dict[str, Any], of: str, at_least: int | None) -> Row:
    suffix = "" if at_least is None else f" (at least {at_least})"
    return Row(f"{what}{suffix}", 100 * figures[of] / figures["asked"], "%")


def _experiment(task: str, *, n_runs: int) -> dict[str, Any]:
    import json

    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e2l-bench-")))
        site = Site(directory, stack.enter_context(private_broker(directory)), None)
        site.check("migrate", "-v0")
        stack.enter_context(site.worker(2))
        stack.enter_context(site.sweeper())
        time.sleep(10)  # until the workers' children have loaded the simulator
        site.check(
            *("evolve", task, "--preset", "paper", "--runs", str(n_runs), "--wait"),
            timeout_s=6 * HOUR_S,
        )
        return json.loads(site.check("shell", "-v0", "-c", _FIGURES).splitlines()[-1])
