"""Experiments on a small learning task, computed in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache

from evolution.cgp.parameters import EvolutionParameters
from evolution.services import experiments, work
from evolution.services.couriers import SilentCourier
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
def _nothing_remembered() -> None:
    # Numbers of records are given again after each test, which takes them back.
    cache.clear()


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


class CountingCourier:
    """A courier that wakes nobody and counts how many workers it was asked for."""

    def __init__(self) -> None:
        self.n_asked = 0

    def wake(self, n_workers: int) -> None:
        self.n_asked += n_workers


@pytest.fixture
def courier() -> CountingCourier:
    return CountingCourier()


def launch(experiment: Experiment) -> None:
    """Launch an experiment; no worker is told about it."""
    experiments.launch_experiment(experiment, courier=SilentCourier())


def work_until_idle(*, worker: str = "test", n_workers: int = 1, slice_s: float = 2.0) -> int:
    """Work on everything in this process until nothing is left; return the number of slices."""
    n_slices = 0
    while work.work(worker=worker, courier=SilentCourier(), n_workers=n_workers, slice_s=slice_s):
        n_slices += 1
    return n_slices


def work_for_a_moment(seconds: float = 0.05) -> None:
    """Work on everything in this process for one short slice."""
    work.work(worker="test", courier=SilentCourier(), n_workers=1, slice_s=seconds)


def history(experiment: Experiment) -> list[Any]:
    """Return everything that must not depend on workers, batches and faults."""
    return [
        {
            "seed": run.seed,
            "state": (run.state, run.stop_reason, run.n_generations_done),
            "engine": run.engine_state,
            "champions": list(
                run.generations.order_by("index").values_list(
                    "index", "champion__index", "champion_fitness", "is_improvement", "parents"
                )
            ),
            "individuals": list(
                run.individuals.order_by("index").values_list(
                    "index",
                    "parent_index",
                    "birth_generation",
                    "origin",
                    "genome",
                    "constants",
                    "mutated_genes",
                    "rule__expressions",
                    "fitness",
                    "outcome",
                    "is_neutral",
                )
            ),
        }
        for run in experiment.runs.order_by("index")
    ]
