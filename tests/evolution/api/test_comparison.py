"""Comparisons through the API say what the page says, computed here from the histories."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evolution.enums import ExperimentState
from evolution.models import Run
from tests.evolution.api.cast import experiment_of
from tests.evolution.histories import TYPICAL


@pytest.fixture
def experiments(member):
    """Three experiments of two runs with the same history, whose ends are moved."""
    made = [
        experiment_of(member.user, ExperimentState.FINISHED, name=name) for name in ("a", "b", "c")
    ]
    for place, experiment in enumerate(made):
        for run in experiment.runs.order_by("index"):
            fitness = TYPICAL[-1][1] - place - 0.25 * run.index
            Run.objects.filter(pk=run.pk).update(champion_fitness=fitness)
    return made


def compare(member, experiments, more: str = "") -> dict:
    query = "&".join(f"experiment={experiment.pk}" for experiment in experiments)
    return member("GET", f"comparison/?{query}{more}").json()


def test_pairs_are_those_of_the_groups(member, experiments):
    body = compare(member, experiments)
    assert [(pair["first"], pair["second"]) for pair in body["pairs"]] == [
        ("A", "B"), ("A", "C"), ("B", "C")
    ]  # fmt: skip
    # Every run of the first is fitter than every run of the second.
    assert [pair["effect"] for pair in body["pairs"]] == [1.0, 1.0, 1.0]
    test = stats.kruskal(*(group["final_fitness"] for group in body["groups"]))
    assert body["difference"]["statistic"] == pytest.approx(test.statistic)
    assert compare(member, experiments[:2])["pairs"] == []


def test_times_count_until_the_target(member, experiments):
    target = TYPICAL[1][1]
    body = compare(member, experiments[:1], f"&target={target}&clock=generations")
    (group,) = body["groups"]
    # Each champion of the typical history stays for three generations.
    assert group["times"]["reached"] == [3.0, 3.0]
    assert (group["target"]["fitness"], group["target"]["is_baseline"]) == (target, False)
    assert np.median(group["times"]["reached"]) == group["times"]["median"]


def test_the_champion_is_the_fittest_and_shared_by_both_runs(member, experiments):
    (group,) = compare(member, experiments[1:2])["groups"]
    assert group["champion"]["rule"]["expressions"] == [TYPICAL[-1][0]]
    assert (group["champion"]["run"], group["n_same"]) == (1, 2)


@pytest.mark.parametrize(
    ("query", "name"),
    [("clock=sundial", "clock"), ("target=nan", "target"), ("scale=log", "scale")],
    ids=["clock", "target", "unknown"],
)
def test_measures_that_there_are_not_are_refused(member, query, name):
    refused = member("GET", f"comparison/?{query}")
    assert refused.status_code == 400
    assert [error["parameter"] for error in refused.json()["errors"]] == [name]
