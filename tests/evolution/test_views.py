"""The pages of experiments: each works, is closed to strangers, and refuses what does not fit."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import redis
from django.urls import reverse

from evolution.enums import ExperimentState
from evolution.models import Evaluation, Experiment
from evolution.services import evaluations
from evolution.views import presentation
from tests.evolution.histories import (
    TYPICAL,
    add_generations,
    add_typical_history,
    finish,
    make_experiment,
    make_rule,
)
from tests.evolution.html_forms import form_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpResponse
    from django.test import Client

pytestmark = pytest.mark.django_db

ROUTES_OF_AN_EXPERIMENT = {
    "experiment": "GET",
    "experiment-plot": "GET",
    "experiment-state": "GET",
    "experiment-history": "GET",
    "stop-experiment": "POST",
}
NEW_DEMO = "/experiments/new/?task=error-driven&preset=demo"
ROUTES = {"experiments": "GET", "new-experiment": "GET", "estimate": "POST"}


@pytest.fixture
def ann(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_superuser("ann"))
    return client


@pytest.fixture
def experiment() -> Experiment:
    experiment = make_experiment(name="A <b>bold</b> test")
    add_typical_history(experiment.runs.get(index=0))
    return experiment


def text_of(response: HttpResponse) -> str:
    """Return the text of a page without tags."""
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text)


def address(name: str, experiment: Experiment | None = None) -> str:
    return reverse(f"evolution:{name}", args=[experiment.pk] if experiment else [])


# --- the ladder that every route stands on -----------------------------------------------------


@pytest.mark.parametrize("name", [*ROUTES, *ROUTES_OF_AN_EXPERIMENT])
def test_strangers_are_sent_to_the_sign_in(client, experiment, name):
    path = address(name, experiment if name in ROUTES_OF_AN_EXPERIMENT else None)
    for response in (client.get(path), client.post(path)):
        assert response.status_code == 302
        assert response.url.startswith("/sign-in/?next=/")
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.RUNNING
    assert Experiment.objects.count() == 1


@pytest.mark.parametrize("name", [*ROUTES, *ROUTES_OF_AN_EXPERIMENT])
def test_wrong_methods_are_refused_and_change_nothing(ann, experiment, name):
    method = {**ROUTES, **ROUTES_OF_AN_EXPERIMENT}[name]
    path = address(name, experiment if name in ROUTES_OF_AN_EXPERIMENT else None)
    wrong = {"put": ann.put(path), "delete": ann.delete(path)}
    if method == "POST":
        wrong["get"] = ann.get(path)
    elif name != "new-experiment":
        wrong["post"] = ann.post(path)
    assert {key: response.status_code for key, response in wrong.items()} == dict.fromkeys(
        wrong, 405
    )
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.RUNNING


@pytest.mark.parametrize("name", ROUTES_OF_AN_EXPERIMENT)
def test_unknown_experiments_are_not_found(ann, name):
    for pk in (4711, 2**63 - 1):
        path = reverse(f"evolution:{name}", args=[pk])
        response = ann.post(path) if ROUTES_OF_AN_EXPERIMENT[name] == "POST" else ann.get(path)
        assert response.status_code == 404
        assert f"There is no experiment {pk}." in text_of(response)


# --- the list ----------------------------------------------------------------------------------


def test_the_list_is_empty_at_first_and_leads_to_the_demo(ann):
    html = ann.get("/").content.decode()
    assert "No experiments yet" in html
    assert 'href="/experiments/new/?task=error-driven&amp;preset=demo"' in html


def test_the_list_shows_state_progress_best_rule_and_fitness(ann, experiment):
    response = ann.get("/")
    text = text_of(response)
    assert "A &lt;b&gt;bold&lt;/b&gt; test" in text
    assert "Error-driven learning · demo" in text
    assert "running" in text
    assert "9 %" in text  # 19 of 2 * 100 generations
    assert "−11.5" in text
    assert "<math" in response.content.decode()


def test_the_list_renews_itself_only_while_something_runs(ann, experiment):
    assert 'hx-trigger="every' in ann.get("/").content.decode()
    part = ann.get("/", headers={"hx-request": "true"}).content.decode()
    assert part.lstrip().startswith("<section")
    finish(experiment)
    assert "hx-trigger" not in ann.get("/").content.decode()


def test_the_list_takes_the_same_few_queries_for_many_experiments(
    ann, experiment, django_assert_max_num_queries
):
    for number in range(30):
        other = make_experiment(name=f"Number {number}", n_runs=3)
        add_generations(other.runs.first(), [(("u", "v", "s")[number % 3], -1.0 - number)])
    with django_assert_max_num_queries(8):
        html = ann.get("/").content.decode()
    assert html.count("<math") == 25
    assert "Page 1 of 2" in html
    assert ann.get("/?page=2").content.decode().count("<math") == 6
    assert "Page 2 of 2" in ann.get("/?page=99").content.decode()
    assert "Page 1 of 2" in ann.get("/?page=x").content.decode()


# --- the form ----------------------------------------------------------------------------------


@pytest.fixture
def queue(valkey) -> Iterator[Callable[[], list[str]]]:
    """Return a function that lists what the messages in the broker ask workers for."""
    from e2l_site.celery import app

    former = app.conf.broker_url
    app.conf.broker_url = f"redis+socket://{urlsplit(valkey).path}?virtual_host=0"
    app.amqp.__dict__.pop("producer_pool", None)
    broker = redis.Redis.from_url(valkey)
    broker.flushdb()

    def read() -> list[str]:
        messages = [json.loads(text) for text in reversed(broker.lrange("celery", 0, -1))]
        return [message["headers"]["task"] for message in messages]

    yield read
    app.conf.broker_url = former
    app.amqp.__dict__.pop("producer_pool", None)


@pytest.fixture
def demo(ann) -> dict[str, str | list[str]]:
    return form_data(ann.get(NEW_DEMO).content.decode())


def test_the_form_offers_presets_units_help_bounds_and_an_estimate(ann):
    html = ann.get(NEW_DEMO).content.decode()
    assert 'href="?task=error-driven&amp;preset=paper"' in html
    assert '<span class="field__unit">Hz</span>' in html
    assert "Share of the genes that mutate." in html
    assert re.search(r'name="evolution-n_parents"[^>]* min="1"', html)
    assert re.search(r"about \d+ (s|min)", html)


def test_a_preset_fills_the_form(ann):
    from simulations.learning_tasks import get_learning_task

    for name, preset in get_learning_task("error-driven").presets.items():
        page = ann.get(f"/experiments/new/?task=error-driven&preset={name}")
        data = form_data(page.content.decode())
        assert data["task-n_trials"] == str(preset.task_parameters.n_trials)
        assert data["seed"] == str(preset.seed)


def test_unknown_learning_tasks_and_presets_are_not_found(ann):
    response = ann.get("/experiments/new/?task=tea")
    assert response.status_code == 404
    assert "There is no learning task" in text_of(response)
    response = ann.get("/experiments/new/?task=error-driven&preset=quick")
    assert response.status_code == 404
    assert "Choose one of: demo, paper." in text_of(response)


@pytest.mark.integration
def test_one_press_launches_the_demo(ann, demo, queue, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        response = ann.post(NEW_DEMO, demo)
    experiment = Experiment.objects.get()
    assert (response.status_code, response.url) == (302, experiment.get_absolute_url())
    assert experiment.state == ExperimentState.RUNNING
    assert experiment.owner.username == "ann"
    assert experiment.preset == "demo"
    # One, as long as no worker has said that it is there.
    assert queue() == ["evolution.work"]
    assert ann.get(response.url).status_code == 200


@pytest.mark.integration
def test_a_form_sent_twice_launches_once(ann, demo, queue, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        first = ann.post(NEW_DEMO, demo)
        second = ann.post(NEW_DEMO, demo)
    assert Experiment.objects.count() == 1
    assert second.url == first.url
    assert queue() == ["evolution.work"]
    assert "has been launched already" in text_of(ann.get(second.url))


@pytest.mark.integration
def test_values_that_do_not_fit_launch_nothing_and_keep_what_was_typed(ann, demo, queue):
    data = {**demo, "name": "My <i>own</i>", "evolution-n_generations": "0", "seed": "-1"}
    response = ann.post(NEW_DEMO, data)
    assert response.status_code == 422
    html = response.content.decode()
    assert "Must be greater than or equal to 1." in html
    assert "Ensure this value is greater than or equal to 0." in html
    assert 'value="My &lt;i&gt;own&lt;/i&gt;"' in html
    assert 'aria-invalid="true"' in html
    assert "Some values do not fit yet." in html
    assert not Experiment.objects.exists()
    assert queue() == []


def test_an_error_in_a_folded_part_is_shown(ann, demo):
    closed = ann.post(NEW_DEMO, {**demo, "seed": "x"}).content.decode()
    assert not re.search(r'<details class="advanced"\s+open', closed)
    data = {**demo, "task-dt_ms": "-1"}
    html = ann.post(NEW_DEMO, data).content.decode()
    assert re.search(r'<details class="advanced"\s+open', html)


def test_a_forged_token_gets_a_message(ann, demo):
    response = ann.post(NEW_DEMO, {**demo, "submission_token": "x"})
    assert response.status_code == 422
    assert not Experiment.objects.exists()


def test_the_estimate_follows_the_form(ann, demo):
    def estimate(**changes: str) -> str:
        data = {**demo, **{name.replace("__", "-"): value for name, value in changes.items()}}
        return text_of(ann.post("/experiments/estimate/?task=error-driven&preset=demo", data))

    assert re.search(r"about \d", estimate(evolution__n_generations="1000"))
    assert re.search(r"about \d+ d", estimate(evolution__n_generations="1000000", n_runs="100"))
    assert "Some values do not fit yet." in estimate(evolution__n_generations="0")
    assert "Some values do not fit yet." in estimate(n_runs="")
    assert not Experiment.objects.exists()


# --- the page of an experiment -----------------------------------------------------------------


def test_the_page_shows_champion_improvements_runs_and_parameters(ann, experiment):
    response = ann.get(experiment.get_absolute_url())
    html, text = response.content.decode(), text_of(response)
    assert "A <b>bold</b> test" not in html
    assert "A &lt;b&gt;bold&lt;/b&gt; test" in html
    run = experiment.runs.get(index=0)
    rows = re.findall(rf'<tr id="improvement-{run.pk}-(\d+)"', html)
    assert rows == ["15", "10", "5", "0"]
    assert ">(v - u)*s</code>" in html
    assert "Run 1, generation 15" in text
    assert "−11.5" in text
    assert "seed 1236" in text
    assert "membrane potential of the teacher (mV)" in text
    assert "mutation rate 0.045" in text
    assert f'data-cursors="{{&quot;{run.pk}&quot;: 19, ' in html


def test_the_page_says_when_the_best_rule_is_a_known_one(ann, experiment):
    same = "The best rule is this one, up to a positive factor."
    assert same in text_of(ann.get(experiment.get_absolute_url()))
    run = experiment.runs.get(index=1)
    add_generations(run, [("v*s", -1.5)])
    assert same not in text_of(ann.get(experiment.get_absolute_url()))
    add_generations(run, [("2*s*v - 2*s*u", -1.25)])
    assert same in text_of(ann.get(experiment.get_absolute_url()))


@pytest.mark.parametrize(
    ("trials", "reason", "shown"),
    [
        ([-3.0, -3.0, -3.0, -9.0], "", "· fitness −3"),
        ([-3.0, -2.0], "", None),
        ([-3.0], "crash", None),
    ],
)
def test_the_page_shows_the_fitness_of_known_rules(ann, experiment, trials, reason, shown):
    context = evaluations.get_or_create_context(
        experiment.learning_task, experiment.get_task_parameters(), experiment.seed
    )
    Experiment.objects.update(context=context)
    (known,) = presentation.known_rules(experiment.learning_task_name, None)
    rule = make_rule("(v - u)*s")
    assert rule.key == known["key"]
    Evaluation.objects.create(
        context=context, rule=rule, trials=trials, n_trials_done=len(trials), reason=reason
    )
    for path in (experiment.get_absolute_url(), address("experiment-figures", experiment)):
        text = text_of(ann.get(path))
        if path == experiment.get_absolute_url():
            assert ("· fitness" in text) == (shown is not None)
            assert shown is None or shown in text
        success = "0 of 2 runs have reached the fitness of the best rule of the literature"
        assert (success in text) == (shown is not None)


def test_the_page_of_an_experiment_without_history(ann):
    experiment = make_experiment()
    text = text_of(ann.get(experiment.get_absolute_url()))
    assert "No rule has a fitness yet." in text
    assert "No run has a fitness yet." in text


def test_the_page_shows_parameters_of_an_earlier_version(ann, experiment):
    experiment.task_parameters["tau_of_old_ms"] = 12.5
    experiment.save()
    text = text_of(ann.get(experiment.get_absolute_url()))
    assert "Of an earlier version tau_of_old_ms 12.5" in text


def test_the_page_of_an_ended_experiment_is_complete_and_opens_no_connection(ann, experiment):
    assert "experiment-connection" in ann.get(experiment.get_absolute_url()).content.decode()
    finish(experiment, ExperimentState.FAILED)
    experiment.runs.filter(index=1).update(detail="NEST gave up.", stop_reason="error")
    response = ann.get(experiment.get_absolute_url())
    assert "experiment-connection" not in response.content.decode()
    assert "Stop…" not in text_of(response)
    assert "NEST gave up." in text_of(response)


def test_the_page_takes_the_same_queries_for_many_runs(
    ann, experiment, django_assert_max_num_queries
):
    many = make_experiment(n_runs=40)
    for run in many.runs.all():
        add_typical_history(run, n_each=1)
    with django_assert_max_num_queries(12):
        html = ann.get(many.get_absolute_url()).content.decode()
    assert html.count("<tr data-run=") == 40


def test_the_plot_is_complete_and_small(ann, experiment):
    item = ann.get(address("experiment-plot", experiment) + "?scale=log").json()
    sources = {
        model["attributes"]["name"]: dict(model["attributes"]["data"]["entries"])
        for model in _models(item)
        if model["name"] == "ColumnDataSource"
    }
    runs = list(experiment.runs.order_by("index"))
    steps = sources["curves-0"]
    assert set(steps["run"]) == {runs[0].pk}
    assert steps["generation"] == [0, 5, 5, 10, 10, 15, 15, 19]
    assert steps["value"] == [-fitness for _, fitness in TYPICAL for _ in range(2)]
    assert sources["curves-1"]["generation"] == []


def _models(item: object) -> list[dict]:
    """Return every model definition inside a json_item."""
    found: list[dict] = []
    if isinstance(item, dict):
        if item.get("type") == "object" and "attributes" in item:
            found.append(item)
        for value in item.values():
            found += _models(value)
    elif isinstance(item, list):
        for value in item:
            found += _models(value)
    return found


def test_the_plot_refuses_unknown_scales(ann, experiment):
    response = ann.get(address("experiment-plot", experiment) + "?scale=cubic")
    assert response.status_code == 400
    assert response.json() == {"error": "There is no scale 'cubic' here."}


def test_the_state_is_json(ann, experiment):
    state = ann.get(address("experiment-state", experiment)).json()
    assert (state["state"], len(state["runs"]), state["n_generations"]) == ("running", 2, 100)


def test_the_history_is_csv_with_every_generation(ann, experiment):
    add_generations(experiment.runs.get(index=1), [("u", None), (None, -3.0)])
    response = ann.get(address("experiment-history", experiment))
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.getvalue().decode())))
    assert len(rows) == 22
    assert rows[16] == {
        "run": "1",
        "seed": "1235",
        "generation": "16",
        "champion_fitness (mV)": "-11.5",
        "is_improvement": "0",
        "n_evaluations": "4",
        "n_cached": "1",
        "rule_delta_w": "(v - u)*s",
    }
    assert [row["champion_fitness (mV)"] for row in rows[20:]] == ["-inf", "-3.0"]
    assert [float(row["champion_fitness (mV)"]) for row in rows[:20:5]] == [f for _, f in TYPICAL]


def test_stop_ends_a_running_experiment(ann, experiment):
    response = ann.post(address("stop-experiment", experiment))
    assert (response.status_code, response.url) == (302, experiment.get_absolute_url())
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.STOPPED
    assert "The experiment was stopped." in text_of(ann.get(response.url))


@pytest.mark.parametrize("state", [ExperimentState.FINISHED, ExperimentState.STOPPED])
def test_stop_of_an_ended_experiment_says_so_and_changes_nothing(ann, experiment, state):
    finish(experiment, state)
    before = Experiment.objects.values().get()
    response = ann.post(address("stop-experiment", experiment))
    assert response.status_code == 409
    assert f"cannot be stopped: it is {state}." in text_of(response)
    assert Experiment.objects.values().get() == before


def test_tokens_are_unique_per_page(ann):
    tokens = {form_data(ann.get(NEW_DEMO).content.decode())["submission_token"] for _ in range(2)}
    assert len(tokens) == 2
    assert all(uuid.UUID(token) for token in tokens)


def test_the_runs_of_a_finished_experiment_are_shown_as_they_are_now(ann, experiment) -> None:
    finish(experiment)
    address = experiment.get_absolute_url()
    before = ann.get(address).content.decode()
    assert ann.get(address).content.decode().count("data-run=") == before.count("data-run=")
    run = experiment.runs.get(index=0)
    run.champion_fitness = -0.12345
    run.save()
    shown = ann.get(address).content.decode()
    assert f'data-run="{run.pk}"' in shown
    assert 'data-fitness="-0.12345"' in shown
    assert 'data-fitness="-0.12345"' not in before
