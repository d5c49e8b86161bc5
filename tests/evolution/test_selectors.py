from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evolution import listing, selectors
from evolution.enums import ExperimentState
from evolution.models import Experiment, Run
from evolution.services import control
from evolution.services.couriers import SilentCourier
from evolution.views import presentation
from tests.evolution.conftest import launch, work_for_a_moment, work_until_idle
from tests.evolution.histories import add_generations

if TYPE_CHECKING:
    from collections.abc import Callable

    from evolution.serializers import GenerationMessage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def finished(make_experiment: Callable[..., Experiment]) -> Experiment:
    experiment = make_experiment(n_runs=3, n_generations=15)
    launch(experiment)
    work_until_idle()
    experiment.refresh_from_db()
    return experiment


def all_messages(experiment: Experiment) -> list[GenerationMessage]:
    return selectors.generation_messages(experiment_id=experiment.pk, cursors={}, limit=1000)


def test_messages_hold_the_whole_history(finished: Experiment) -> None:
    messages = all_messages(finished)
    expected = []
    for run in finished.runs.order_by("index"):
        rule_id = None
        for generation in run.generations.order_by("index").select_related("champion__rule"):
            message = {
                "run": run.pk,
                "generation": generation.index,
                "fitness": generation.champion_fitness,
                "is_improvement": generation.is_improvement,
                "n_evaluations": generation.n_evaluations,
                "n_cached": generation.n_cached,
            }
            rule = generation.champion.rule
            if rule.pk != rule_id:
                rule_id = rule.pk
                message["rule"] = {
                    "id": rule.pk,
                    "text": rule.expressions,
                    "mathml": rule.mathml,
                    "complexity": rule.complexity,
                }
            expected.append(message)
    assert messages == expected
    assert sum("rule" in message for message in messages) > 3


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_a_reader_that_asks_again_and_again_gets_every_message_once(
    finished: Experiment, limit: int
) -> None:
    cursors: dict[int, int] = {}
    received = []
    while messages := selectors.generation_messages(
        experiment_id=finished.pk, cursors=cursors, limit=limit
    ):
        assert len(messages) <= limit
        received += messages
        cursors |= {message["run"]: message["generation"] for message in messages}
    assert received == all_messages(finished)


def test_messages_of_other_experiments_and_unknown_runs_are_left_out(
    finished: Experiment,
) -> None:
    assert selectors.generation_messages(experiment_id=-1, cursors={}, limit=10) == []
    everything = all_messages(finished)
    assert (
        selectors.generation_messages(experiment_id=finished.pk, cursors={10**9: 3}, limit=1000)
        == everything
    )


def test_catching_up_takes_few_statements(finished: Experiment) -> None:
    with CaptureQueriesContext(connection) as queries:
        all_messages(finished)
    assert len(queries) == 3


def test_a_finished_experiment_says_so(finished: Experiment) -> None:
    message = selectors.experiment_message(finished)
    assert message["state"] == "finished"
    assert message["n_generations"] == 15
    assert message["remaining_s"] is None
    assert message["elapsed_s"] == (finished.finished_at - finished.started_at).total_seconds()
    assert message["runs"] == [
        {
            "run": run.pk,
            "seed": run.seed,
            "state": "finished",
            "stop_reason": "generations",
            "generation": 15,
            "fitness": run.champion_fitness,
            "improved_at": run.improved_at_generation,
        }
        for run in finished.runs.order_by("index")
    ]


def test_the_estimate_follows_the_measured_pace(
    make_experiment: Callable[..., Experiment],
) -> None:
    experiment = make_experiment(n_runs=2, n_generations=100)
    message = selectors.experiment_message(experiment)
    assert (message["elapsed_s"], message["remaining_s"]) == (None, None)
    assert [run["generation"] for run in message["runs"]] == [-1, -1]

    launch(experiment)
    assert selectors.experiment_message(experiment)["remaining_s"] is None
    for _ in range(4):
        work_for_a_moment()
    # As if the generations so far had taken 50 s.
    Experiment.objects.update(started_at=timezone.now() - timedelta(seconds=50))
    message = selectors.experiment_message(experiment)
    done = sum(run["generation"] + 1 for run in message["runs"])
    missing = sum(100 - run["generation"] for run in message["runs"])
    assert done > 0
    assert message["remaining_s"] == pytest.approx(50 / done * missing, rel=0.05)


def test_the_list_shows_state_progress_and_best_rule_in_one_statement(
    finished: Experiment, make_experiment: Callable[..., Experiment]
) -> None:
    fresh = make_experiment(n_runs=2)
    with CaptureQueriesContext(connection) as queries:
        rows = list(listing.experiments_for_list({}, Experiment.objects.all()))
    assert len(queries) == 1
    assert rows == [fresh, finished]
    best = max(finished.runs.all(), key=lambda run: run.champion_fitness)
    assert rows[1].best_fitness == best.champion_fitness
    assert rows[1].best_rule_id == best.champion.rule_id
    assert rows[1].best_generation == best.n_generations_done
    assert listing.progress(rows[1]) == 1.0
    assert (rows[0].best_fitness, rows[0].best_rule_id) == (None, None)
    assert listing.progress(rows[0]) == 0.0


def test_progress_is_the_same_on_the_list_and_on_the_page(
    make_experiment: Callable[..., Experiment],
) -> None:
    """A run that has met its target counts in full, one that was stopped as far as it came."""
    experiment = make_experiment(n_runs=3, n_generations=12)
    done = (
        (ExperimentState.FINISHED, 2),
        (ExperimentState.STOPPED, 3),
        (ExperimentState.RUNNING, 6),
    )
    for run, (state, n_generations) in zip(experiment.runs.order_by("index"), done, strict=True):
        add_generations(run, [("u", -9.0)] * (n_generations + 1))
        Run.objects.filter(pk=run.pk).update(state=state)
    expected = (1 + 3 / 12 + 6 / 12) / 3
    (row,) = listing.experiments_for_list({}, Experiment.objects.all())
    assert listing.progress(row) == pytest.approx(expected)
    message = selectors.experiment_message(experiment)
    assert presentation.progress(message) == pytest.approx(expected)


def test_champion_is_the_fittest_of_all_runs(finished: Experiment) -> None:
    best = max(finished.runs.all(), key=lambda run: run.champion_fitness)
    assert selectors.champion(finished) == best.champion
    Run.objects.update(champion_fitness=None)
    assert selectors.champion(finished) is None


def test_of_equally_fit_champions_the_earlier_find_counts(
    make_experiment: Callable[..., Experiment],
) -> None:
    experiment = make_experiment(n_runs=3)
    first, second, third = experiment.runs.order_by("index")
    for run, earlier in ((first, 4), (second, 2), (third, 2)):
        add_generations(run, [("u", -9.0)] * earlier + [("v", -5.0), ("u", -5.0)])
    best = selectors.champion(experiment)
    assert best.run == second
    assert selectors.best_run(experiment.runs.all()) == second
    row = listing.experiments_for_list({}, Experiment.objects.all()).get(pk=experiment.pk)
    assert row.best_rule_id == best.rule_id
    runs = presentation.run_rows(selectors.runs_of(experiment))
    message = selectors.experiment_message(experiment)
    assert presentation.summary(message, runs).startswith("Run 2 has the best fitness, −5;")


def test_pauses_do_not_count_as_elapsed_time(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(n_runs=2)
    launch(experiment)
    hour = timedelta(hours=1)

    def pass_by(time: timedelta) -> None:
        """Let everything so far have happened earlier."""
        Experiment.objects.update(
            started_at=F("started_at") - time, finished_at=F("finished_at") - time
        )
        Run.objects.update(paused_at=F("paused_at") - time)

    def elapsed_h() -> float:
        return selectors.experiment_message(experiment)["elapsed_s"] / 3600

    pass_by(hour)
    control.pause_experiment(experiment)
    pass_by(5 * hour)
    assert elapsed_h() == pytest.approx(1.0, abs=0.01)
    control.resume_experiment(experiment, courier=SilentCourier())
    pass_by(2 * hour)
    assert elapsed_h() == pytest.approx(3.0, abs=0.01)
    control.pause_experiment(experiment)
    pass_by(7 * hour)
    control.stop_experiment(experiment)
    pass_by(hour)
    assert elapsed_h() == pytest.approx(3.0, abs=0.01)


def test_an_extension_does_not_count_the_time_since_the_end(finished: Experiment) -> None:
    elapsed_s = selectors.experiment_message(finished)["elapsed_s"]
    day = timedelta(days=1)
    Experiment.objects.update(started_at=F("started_at") - day, finished_at=F("finished_at") - day)
    finished.refresh_from_db()
    control.extend_experiment(finished, n_runs=4, courier=SilentCourier())
    now_s = selectors.experiment_message(finished)["elapsed_s"]
    assert elapsed_s <= now_s < elapsed_s + 60


def test_improvements_are_those_of_the_history(finished: Experiment) -> None:
    with CaptureQueriesContext(connection) as queries:
        rows = [
            (row.run_id, row.index, row.champion_fitness, row.champion.rule.pk)
            for row in selectors.improvements(finished)
        ]
    assert len(queries) == 1
    assert sorted((run, generation) for run, generation, _, _ in rows) == [
        (message["run"], message["generation"])
        for message in all_messages(finished)
        if message["is_improvement"]
    ]
