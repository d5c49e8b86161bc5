"""Figures over runs, against NumPy and against counting by hand."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from evolution import statistics
from evolution.enums import Action, ExperimentState
from evolution.models import Generation, LogEntry, Run
from evolution.services.couriers import queue_length
from evolution.statistics import MAX_CHANGES, SteppedCurve, Target, quantile_band
from tests.evolution.histories import TYPICAL, add_typical_history, make_experiment

if TYPE_CHECKING:
    from evolution.models import Experiment


@st.composite
def curves(draw) -> SteppedCurve:
    indices = sorted(draw(st.sets(st.integers(0, 30), max_size=6)))
    fitness = sorted(draw(st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=6)))
    last = draw(st.integers(indices[-1] if indices else -1, 40))
    improvements = list(zip(indices, fitness, strict=False))
    return SteppedCurve(improvements, last, is_over=draw(st.booleans()))


def value_at(curve: SteppedCurve, generation: int) -> float:
    return max((f for g, f in curve.improvements if g <= generation), default=-math.inf)


@settings(deadline=None)
@given(st.lists(curves(), min_size=1, max_size=6))
def test_the_band_holds_the_quantiles_at_every_generation(runs):
    band = quantile_band(runs)
    running = [curve.last_generation for curve in runs if not curve.is_over]
    last = min(running) if running else max(curve.last_generation for curve in runs)
    assert band.last_generation == last
    for generation in range(last + 1):
        at = max(i for i, start in enumerate(band.generations) if start <= generation)
        values = [value_at(curve, generation) for curve in runs]
        found = [band.low[at], band.median[at], band.high[at]]
        if all(map(math.isfinite, values)):
            assert found == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]), abs=1e-9)
        else:
            assert found[0] == -math.inf or found[0] >= min(filter(math.isfinite, values))
            assert not any(map(math.isnan, found))


def test_a_long_history_gives_a_small_band():
    run = SteppedCurve([(g, float(g)) for g in range(5000)], 5000, is_over=True)
    band = quantile_band([run, run])
    assert len(band.generations) == MAX_CHANGES
    assert (band.generations[0], band.generations[-1]) == (0, 4999)


def test_no_runs_give_an_empty_band():
    assert quantile_band([]).generations == []
    assert quantile_band([SteppedCurve([], -1, is_over=False)]).generations == []


@pytest.fixture
def experiment(db) -> Experiment:
    """Four runs, of which two have come to -11.5 in generation 15 and three to -44.125 in 10."""
    experiment = make_experiment(n_runs=4)
    start = timezone.now() - timedelta(hours=2)
    for run, n_champions in zip(experiment.runs.order_by("index"), (4, 4, 3, 0), strict=True):
        add_typical_history(run)
        worst = [fitness for _, fitness in TYPICAL[:n_champions]]
        run.generations.exclude(champion_fitness__in=worst).delete()
        Run.objects.filter(pk=run.pk).update(started_at=start)
    for generation in Generation.objects.all():
        generation.created_at = start + timedelta(minutes=generation.index)
        generation.save()
    return experiment


def test_success_counts_runs_and_takes_medians(experiment):
    runs = list(experiment.runs.all())
    found = statistics.success(Target(-11.5, is_baseline=True), runs, [])
    assert (found.n_reached, found.n_runs, found.rate) == (2, 4, 0.5)
    assert (found.median_generation, found.median_s) == (15.0, 15 * 60.0)
    assert found.n_open == 2
    found = statistics.success(Target(-50.0, is_baseline=False), runs, [])
    assert (found.n_reached, found.median_generation) == (3, 10.0)
    found = statistics.success(Target(-1.0, is_baseline=False), runs, [])
    assert (found.n_reached, found.median_generation, found.median_s) == (0, None, None)


def test_an_equivalent_form_of_the_known_rule_is_a_success(experiment):
    target = Target(-11.5 * (1 - 1e-12), is_baseline=True)
    assert statistics.success(target, list(experiment.runs.all()), []).n_reached == 2


def entry(run: Run, action: Action, minute: float) -> LogEntry:
    return LogEntry(action=action, created_at=run.started_at + timedelta(minutes=minute))


def test_pauses_before_the_target_do_not_count(experiment):
    runs = list(experiment.runs.all())
    log = [
        entry(runs[0], Action.RESUMED, 20),
        entry(runs[0], Action.PAUSED, 18),
        entry(runs[0], Action.RESUMED, 9),
        entry(runs[0], Action.PAUSED, 5),
    ]
    found = statistics.success(Target(-11.5, is_baseline=True), runs, log)
    assert found.median_s == 11 * 60.0
    # How long an experiment had been at its end before it was extended is not known.
    found = statistics.success(
        Target(-11.5, is_baseline=True), runs, [entry(runs[0], Action.EXTENDED, 9)]
    )
    assert (found.n_reached, found.median_s) == (2, None)


def test_runs_that_ended_elsewhere_are_not_waited_for(experiment):
    experiment.runs.filter(index=3).update(state=ExperimentState.FINISHED)
    found = statistics.success(Target(-11.5, is_baseline=True), list(experiment.runs.all()), [])
    assert found.n_open == 1


def test_the_target_of_the_parameters_comes_first(experiment):
    assert statistics.target_of(experiment, None) is None
    assert statistics.target_of(experiment, -3.0) == Target(-3.0, is_baseline=True)
    experiment.evolution_parameters["target_fitness"] = -2.0
    assert statistics.target_of(experiment, -3.0) == Target(-2.0, is_baseline=False)


def test_shares_of_nothing_are_nothing(experiment):
    figures = statistics.evaluation_figures(experiment.runs.all())
    assert (figures.cached_share, figures.saved_share) == (0.0, 0.0)


def test_the_queue_is_counted_and_a_broker_that_is_down_is_no_error(valkey):
    import redis

    from e2l_site.celery import app

    former = app.conf.broker_url
    path = valkey.removeprefix("unix://").partition("?")[0]
    broker = redis.Redis.from_url(f"unix://{path}?db=3")
    broker.rpush("celery", "one", "two")
    try:
        app.conf.broker_url = f"redis+socket://{path}?virtual_host=3"
        assert queue_length() == 2
        app.conf.broker_url = f"redis+socket://{path}-is-not-there?virtual_host=3"
        assert queue_length() is None
        app.conf.broker_url = "redis://127.0.0.1:1/0"
        assert queue_length() is None
    finally:
        app.conf.broker_url = former
        broker.flushdb()
