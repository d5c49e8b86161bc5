"""The crowd asks for what the real pages ask for."""

from __future__ import annotations

import pytest

from evolution.enums import ExperimentState
from tests.evolution.histories import add_typical_history, finish, make_experiment
from tests.load.pages import champion_rows, parse

pytestmark = pytest.mark.django_db


@pytest.fixture
def experiment():
    experiment = make_experiment(n_runs=2)
    for run in experiment.runs.all():
        add_typical_history(run)
    return experiment


def opened(client, path: str):
    return parse(path, client.get(path).content.decode())


def test_a_live_page_asks_for_its_plot_and_part_and_connects(admin_client, experiment) -> None:
    path = experiment.get_absolute_url()
    page = opened(admin_client, path)
    names = [name for name, _ in page.at_once]
    assert sorted(names) == ["part /experiments/validation/", "plot of all runs"]
    for _, address in page.at_once:
        assert admin_client.get(address).status_code == 200, address
    assert page.socket == f"/ws/experiments/{experiment.pk}/"
    assert page.cursors == {run.pk: run.n_generations_done for run in experiment.runs.all()}
    assert page.best == max(run.champion_fitness for run in experiment.runs.all())
    assert page.refreshed
    for address in page.refreshed:
        assert admin_client.get(address).status_code in {200, 204}, address


def test_a_page_of_what_is_over_does_not_connect(admin_client, experiment) -> None:
    finish(experiment, ExperimentState.FINISHED)
    assert opened(admin_client, experiment.get_absolute_url()).socket is None


def test_a_list_renews_itself_while_something_runs(admin_client, experiment) -> None:
    ((seconds, name, address),) = opened(admin_client, "/").again
    assert (name, admin_client.get(address).status_code) == ("part /", 200)
    assert seconds == 5.0
    finish(experiment, ExperimentState.FINISHED)
    assert opened(admin_client, "/").again == []


def test_a_page_of_a_rule_asks_for_its_plots(admin_client, experiment) -> None:
    rule = experiment.runs.first().champion.rule
    page = opened(admin_client, rule.get_absolute_url())
    plots = [address for name, address in page.at_once if name.startswith("plot")]
    assert plots
    for address in plots:
        assert admin_client.get(address).headers["Content-Type"] == "application/json"


def test_only_a_fitter_champion_is_news(admin_client, experiment) -> None:
    page = opened(admin_client, experiment.get_absolute_url())
    rows = [
        {"fitness": page.best, "rule": {"id": 1}},
        {"fitness": page.best + 1, "rule": {"id": 2}},
        {"fitness": page.best + 2},
        {"fitness": None, "rule": {"id": 3}},
        {"fitness": page.best + 0.5, "rule": {"id": 4}},
    ]
    assert [row["rule"]["id"] for row in champion_rows(page, rows)] == [2]
