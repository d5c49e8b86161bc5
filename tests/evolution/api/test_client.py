"""The client against a real server."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.db import connection

from e2l_site.locations import PROJECT_ROOT
from evolution import client
from evolution.enums import ExperimentState
from evolution.models import Experiment, Probe
from evolution.services import probes
from tests.docs.pages import PAGES, code_blocks
from tests.evolution.api.cast import account, experiment_of, token_of
from tests.evolution.conftest import work_until_idle
from tests.evolution.histories import TYPICAL
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mia() -> User:
    return account("mia")


@pytest.fixture
def lab(live_server, mia) -> Iterator[client.Client]:
    with client.connect(live_server.url, token_of(mia)) as connected:
        yield connected


def test_an_experiment_is_launched_awaited_and_read(lab, make_experiment):
    name = make_experiment().learning_task_name
    setup = {"seed": 4, "n_runs": 2, "evolution_parameters": {"n_generations": 5}}
    launched = lab.launch(name, name="From a notebook", **setup)
    assert (launched.state, launched.n_generations) == ("running", 5)
    result: list[client.Experiment] = []

    def follow() -> None:
        result.append(lab.wait(launched, progress=False, poll_s=0.05, timeout_s=60))

    waiting = threading.Thread(target=follow)
    waiting.start()
    work_until_idle()
    waiting.join(60)
    (over,) = result
    assert over.is_over
    record = Experiment.objects.get(pk=over.id)
    frame = lab.history(over)
    expected = [
        (run.number, generation.index, generation.champion_fitness)
        for run in record.runs.order_by("index")
        for generation in run.generations.order_by("index")
    ]
    shown = list(zip(frame["run"], frame["generation"], frame["fitness"], strict=True))
    assert shown == expected
    assert len(shown) == 12
    champions = lab.champions(over)
    assert list(champions["fitness"]) == sorted(champions["fitness"], reverse=True)
    assert champions["fitness"][0] == over.best_fitness


def test_histories_longer_than_a_page_are_complete(lab, mia, monkeypatch):
    monkeypatch.setattr(client.connection, "PAGE", 5)
    experiment = experiment_of(mia, ExperimentState.FINISHED)
    experiment.runs.filter(index=1).update(champion_fitness=None)
    frame = lab.history(experiment.pk)
    assert list(frame["generation"]) == [*range(12), *range(12)]
    improvements = lab.history(experiment.pk, improvements=True)
    assert list(improvements["fitness"]) == [fitness for _, fitness in TYPICAL] * 2
    assert lab.champions(experiment.pk)["fitness"][1] == -math.inf


def test_a_simulation_is_awaited(lab):
    asked = lab.simulate("error-driven", "(v - u)*s", wait=False)
    assert not asked.is_over

    def answer() -> None:
        Probe.objects.update(state="finished", result={"value": -2.0, "panels": []})
        connection.close()

    timer = threading.Timer(0.3, answer)
    timer.start()
    done = lab.simulate("error-driven", "(v - u)*s", progress=False, poll_s=0.05, timeout_s=60)
    timer.join()
    assert (done.id, done.value, str(done.rule)) == (asked.id, -2.0, "(v - u)*s")
    assert "def plasticity_rule(v, u, s)" in lab.exports(done.rule)["numpy"]
    (found,) = lab.rules("error-driven", q="v*s - u*s")
    assert found["rule"]["id"] == done.rule.id


def test_a_validation_is_awaited(lab):
    rule = lab.keep(NAME, "v*s")
    asked = lab.validate(rule, NAME, n_trials=4, wait=False)
    assert (asked.state, asked.progress, asked.fitness) == ("open", 0.0, None)
    with pytest.raises(TimeoutError, match="held-out trials of v"):
        lab.validate(rule, NAME, n_trials=4, progress=False, poll_s=0.01, timeout_s=0.05)
    result: list[client.Validation] = []

    def follow() -> None:
        result.append(lab.validate(rule.id, NAME, n_trials=4, progress=False, timeout_s=60))

    waiting = threading.Thread(target=follow)
    waiting.start()
    work_until_idle()
    waiting.join(60)
    (over,) = result
    assert (over.id, over.state, over.progress) == (asked.id, "finished", 1.0)
    assert over.fitness == pytest.approx(np.mean(over.held_out["trials"]))
    assert [known["name"] for known in over.held_out["baselines"]] == ["product"]


def test_the_example_of_the_page_runs(live_server, mia, capsys):
    """The one of use_the_api.md, with a learning task that takes no time."""
    (block,) = code_blocks(PAGES["docs/how_to/use_the_api.md"], "python")
    block = block.replace("http://127.0.0.1:8000", live_server.url).replace("error-driven", NAME)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(exec, block, {"token": token_of(mia)})
        while not wait([done], timeout=0.05).done:
            work_until_idle()
            for probe in Probe.objects.open():
                probes.run_probe(probe.pk, worker="test")
        done.result()
    printed = capsys.readouterr().out
    assert "def plasticity_rule(v, u, s)" in printed
    # The rule is the one of the literature, which is right in every trial.
    assert "product {'value': 0.0, 'low': 0.0, 'high': 0.0" in printed
    assert Experiment.objects.get().state == ExperimentState.FINISHED


def test_control_says_what_is_not_possible(lab, mia):
    experiment = lab.experiment(experiment_of(mia, ExperimentState.PAUSED).pk)
    assert "resume" in experiment.actions
    assert lab.control(experiment, "stop").state == "stopped"
    with pytest.raises(client.ApiError, match="it is stopped") as refused:
        lab.control(experiment, "pause")
    assert refused.value.status == 409
    copy = lab.clone(experiment, launch=False, name="Copy")
    assert {found.name for found in lab.experiments()} == {"A test", "Copy"}
    lab.delete(copy)
    assert [found.name for found in lab.experiments()] == ["A test"]


def test_mistakes_are_named(lab, live_server):
    with pytest.raises(client.ApiError, match="/evolution_parameters/mutation_rate: ") as refused:
        lab.launch("error-driven", evolution_parameters={"mutation_rate": 7})
    assert refused.value.errors[0]["pointer"] == "/evolution_parameters/mutation_rate"
    with pytest.raises(client.ApiError, match="This token is not valid"):
        client.connect(live_server.url, "e2l_wrong")


def test_waiting_has_an_end(lab, mia):
    paused = experiment_of(mia, ExperimentState.PAUSED)
    with pytest.raises(TimeoutError, match=r"not over after 0\.1 s"):
        lab.wait(paused.pk, progress=False, poll_s=0.05, timeout_s=0.1)


def test_a_launch_whose_answer_was_lost_happens_once(lab, live_server, mia, monkeypatch):
    import httpx

    sent = httpx.Client.request
    n_lost = 0

    def lose_first(self, method, *args, **options):
        nonlocal n_lost
        response = sent(self, method, *args, **options)
        if method == "POST" and not n_lost:
            n_lost += 1
            raise httpx.ReadError("The connection broke.")
        return response

    monkeypatch.setattr(httpx.Client, "request", lose_first)
    launched = lab.launch("error-driven", launch=False)
    assert n_lost == 1
    assert Experiment.objects.get().pk == launched.id


def test_the_client_needs_neither_django_nor_the_optional_packages():
    program = (
        "import sys; sys.modules['pandas'] = None\n"
        "import evolution.client as c\n"
        "assert not {'django', 'rest_framework', 'httpx', 'nest'} & sys.modules.keys()\n"
        "try: c.library('pandas')\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "This needs the package pandas: pip install pandas\n"
