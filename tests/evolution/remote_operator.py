"""An operator of a site under test, who outlives its faults: one JSON command a line.

``python -m tests.evolution.remote_operator`` answers each line of its input with a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import django

from tests.evolution import regression_task


def create(seed: int, n_runs: int, task: dict[str, Any], evolution: dict[str, Any]) -> int:
    """Create an experiment on the tests' learning task."""
    from evolution.cgp.parameters import EvolutionParameters
    from evolution.services import experiments
    from simulations.learning_tasks import get_learning_task

    learning_task = get_learning_task(regression_task.NAME)
    experiment, _ = experiments.create_experiment(
        owner=None,
        name="Rediscovery",
        learning_task=learning_task,
        preset="demo",
        task_parameters=learning_task.presets["demo"].task_parameters.with_changes(task),
        evolution_parameters=EvolutionParameters.from_mapping(evolution),
        seed=seed,
        n_runs=n_runs,
    )
    return experiment.pk


def launch(experiment: int, *, is_silent: bool = False) -> None:
    """Launch it; silently as if the sender had died before it could tell the workers."""
    from evolution.models import Experiment
    from evolution.services import experiments
    from evolution.services.couriers import SilentCourier

    experiments.launch_experiment(
        Experiment.objects.get(pk=experiment), courier=SilentCourier() if is_silent else None
    )


def stop(experiment: int) -> None:
    """Stop it."""
    from evolution.models import Experiment
    from evolution.services.control import stop_experiment

    stop_experiment(Experiment.objects.get(pk=experiment))


def wake(n_workers: int) -> float:
    """Ask for workers; return how long that took, in s."""
    from evolution.services.couriers import CeleryCourier

    started = time.monotonic()
    CeleryCourier().wake(n_workers)
    return time.monotonic() - started


def progress(experiment: int) -> dict[str, Any]:
    """Return the state, and the number of generations of each run."""
    from django.db.models import Count

    from evolution.models import Experiment

    record = Experiment.objects.get(pk=experiment)
    runs = record.runs.order_by("index").annotate(n=Count("generations"))
    return {
        "state": record.state,
        "details": [run.detail for run in runs],
        "generations": [run.n for run in runs],
    }


def evaluations(experiment: int) -> dict[str, Any]:
    """Return what is known of each rule in the experiment's context, by the rule's text."""
    from evolution.models import Evaluation, Experiment

    context = Experiment.objects.get(pk=experiment).context_id
    return {
        str(record.rule): {
            "trials": record.trials,
            "state": record.state,
            "attempts": record.attempts,
            "reason": record.reason,
            "detail": record.detail,
        }
        for record in Evaluation.objects.filter(context=context).select_related("rule")
    }


def runs(experiment: int) -> list[dict[str, Any]]:
    """Return the history of each run."""
    from evolution.models import Run

    return [
        {
            "history": list(
                run.generations.order_by("index").values_list("champion_fitness", flat=True)
            ),
            "champion": str(run.champion.rule),
            "n_individuals": run.individuals.count(),
        }
        for run in Run.objects.filter(experiment=experiment).order_by("index")
    ]


def n_generations(experiment: int) -> int:
    """Return how many generations each run is to have after the first population."""
    from evolution.models import Experiment

    return Experiment.objects.get(pk=experiment).evolution_parameters["n_generations"]


def written_at(run: int) -> dict[str, float]:
    """Return when each generation of a run was written, in s of the epoch."""
    from evolution.models import Generation

    known = Generation.objects.filter(run=run).values_list("index", "created_at")
    return {str(index): at.timestamp() for index, at in known}


def workers() -> list[dict[str, Any]]:
    """Return the workers that are known to be alive."""
    from evolution.models import Worker

    return list(Worker.objects.alive().values("name", "is_busy"))


def order(action: str, host: str) -> None:
    """Ask something of the workers of a host."""
    from evolution.services import orders

    getattr(orders, action)(host)


def host_state(host: str) -> str:
    """Return where a host stands."""
    from evolution import operation

    return next((known.state for known in operation.hosts() if known.name == host), "")


def backup(path: str) -> str:
    """Save the database; return what the command says."""
    from io import StringIO

    from django.core.management import call_command

    output = StringIO()
    call_command("backup", "--out", path, stdout=output)
    return output.getvalue()


def main() -> None:
    from django.db import Error, connection

    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"result": globals()[name](**arguments)}
        except Error as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        connection.close()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    django.setup()
    regression_task.register()
    main()
