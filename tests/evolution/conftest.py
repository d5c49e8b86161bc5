"""Experiments on a small learning task, computed in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from evolution.cgp.parameters import EvolutionParameters
from evolution.services import experiments, work
from evolution.services.couriers import InlineCourier
from simulations import learning_tasks
from tests.evolution import regression_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evolution.models import Experiment

IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.fixture(autouse=True)
def _regression(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(
        learning_tasks._REGISTRY,
        regression_task.NAME,
        f"{regression_task.__name__}:RegressionTask",
    )
    yield
    learning_tasks.get_learning_task.cache_clear()


@pytest.fixture(autouse=True)
def _no_broker(settings: Any) -> None:
    settings.CHANNEL_LAYERS = IN_MEMORY


@pytest.fixture
def make_experiment() -> Callable[..., Experiment]:
    """Create an experiment on the regression task; keywords change any parameter."""

    def make(*, seed: int = 10, n_runs: int = 1, **changes: Any) -> Experiment:
        learning_task = learning_tasks.get_learning_task(regression_task.NAME)
        preset = learning_task.presets["demo"]
        task_names = set(learning_task.parameters_type.model_fields)
        task_changes = {name: changes.pop(name) for name in task_names & changes.keys()}
        experiment, is_new = experiments.create_experiment(
            owner=None,
            name="Rediscovery",
            learning_task=learning_task,
            preset="demo",
            task_parameters=preset.task_parameters.with_changes(task_changes),
            evolution_parameters=EvolutionParameters.from_mapping(
                {"n_generations": 12, "mutation_rate": 0.1, **changes}
            ),
            seed=seed,
            n_runs=n_runs,
        )
        assert is_new
        return experiment

    return make


@pytest.fixture
def courier() -> InlineCourier:
    return InlineCourier()


def work_until_idle(
    courier: InlineCourier, *, worker: str = "test", n_workers: int = 1, slice_s: float = 2.0
) -> None:
    """Work on all runs that want attention, in this process."""
    while (run_id := courier.next()) is not None:
        work.work_on_run(
            run_id, worker=worker, courier=courier, n_workers=n_workers, slice_s=slice_s
        )


def history(experiment: Experiment) -> list[Any]:
    """Return everything that must not depend on workers, batches and faults."""
    return [
        {
            "seed": run.seed,
            "state": (run.state, run.stop_reason, run.n_generations_done),
            "engine": run.engine_state,
            "champions": list(
                run.generations.order_by("index").values_list(
                    "index", "champion__index", "champion_fitness", "is_improvement"
                )
            ),
            "individuals": list(
                run.individuals.order_by("index").values_list(
                    "index",
                    "parent_index",
                    "birth_generation",
                    "genome",
                    "rule__expressions",
                    "fitness",
                    "is_inherited",
                )
            ),
        }
        for run in experiment.runs.order_by("index")
    ]
