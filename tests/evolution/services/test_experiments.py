from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import ExperimentState
from evolution.errors import InvalidExperiment, StateConflict
from evolution.models import Experiment
from evolution.models.experiment import MAX_SEED
from evolution.services import experiments
from simulations.learning_tasks import get_learning_task
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from tests.evolution.conftest import CountingCourier

pytestmark = pytest.mark.django_db(transaction=True)


def create(**changes: Any) -> tuple[Experiment, bool]:
    learning_task = get_learning_task(NAME)
    values = {
        "owner": None,
        "name": "An experiment",
        "learning_task": learning_task,
        "preset": "demo",
        "task_parameters": learning_task.presets["demo"].task_parameters,
        "evolution_parameters": EvolutionParameters(),
        "seed": 5,
        "n_runs": 3,
    }
    return experiments.create_experiment(**(values | changes))


def test_creation_stores_parameters_seeds_owner_and_provenance() -> None:
    owner = get_user_model().objects.create_user("alice")
    experiment, is_new = create(owner=owner)
    assert is_new
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.CREATED
    assert experiment.owner == owner
    assert experiment.get_evolution_parameters() == EvolutionParameters()
    assert (
        experiment.get_task_parameters() == get_learning_task(NAME).presets["demo"].task_parameters
    )
    assert list(experiment.runs.values_list("index", "seed", "state")) == [
        (0, 5, "created"),
        (1, 6, "created"),
        (2, 7, "created"),
    ]
    assert set(experiment.provenance) >= {"e2l", "nest-simulator", "hal-cgp", "python", "host"}


def test_the_same_submission_token_gives_the_first_experiment_again() -> None:
    token = uuid.uuid4()
    first, _ = create(submission_token=token)
    second, is_new = create(submission_token=token, name="Another name")
    assert (second, is_new) == (first, False)
    assert Experiment.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_runs": 0}, "N runs"),
        ({"n_runs": 101}, "N runs"),
        ({"seed": MAX_SEED + 1}, "Seed"),
        ({"seed": -1}, "Seed"),
        ({"name": ""}, "Name"),
        ({"name": "x" * 201}, "Name"),
    ],
)
def test_values_out_of_bounds_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidExperiment, match=message):
        create(**changes)
    assert not Experiment.objects.exists()


def test_an_experiment_is_launched_once(courier: CountingCourier) -> None:
    experiment, _ = create()
    experiments.launch_experiment(experiment, courier=courier)
    assert experiment.state == ExperimentState.RUNNING
    assert experiment.started_at is not None
    assert courier.n_asked == experiment.n_runs
    with pytest.raises(StateConflict, match="cannot be launched: it is running"):
        experiments.launch_experiment(experiment, courier=courier)
    assert courier.n_asked == experiment.n_runs


def test_launch_takes_few_statements_whatever_the_number_of_runs(courier: CountingCourier) -> None:
    counts = []
    for n_runs in (1, 20):
        experiment, _ = create(n_runs=n_runs)
        with CaptureQueriesContext(connection) as queries:
            experiments.launch_experiment(experiment, courier=courier)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 12


def test_estimate_grows_with_generations_and_shrinks_with_workers() -> None:
    learning_task = get_learning_task(NAME)
    parameters = learning_task.presets["demo"].task_parameters.with_changes({"delay_ms": 100.0})

    def estimate(n_generations: int, n_runs: int, n_workers: int) -> float:
        return experiments.estimate_duration(
            learning_task,
            parameters,
            EvolutionParameters(n_generations=n_generations),
            n_runs=n_runs,
            n_workers=n_workers,
        )

    # Three trials of 0.1 s for one new rule, and the overhead, a hundred times.
    assert estimate(99, 1, 1) == pytest.approx(100 * 0.32, rel=0.01)
    assert estimate(199, 1, 1) == pytest.approx(2 * estimate(99, 1, 1))
    assert estimate(99, 2, 1) == pytest.approx(2 * estimate(99, 2, 2))
    assert estimate(99, 1, 2) == pytest.approx(estimate(99, 1, 1))
