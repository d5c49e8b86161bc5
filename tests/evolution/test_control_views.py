"""What people do to experiments on their pages: it works, or they are told why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse

from evolution.enums import Action, EvaluationState, ExperimentState, Outcome
from evolution.models import Demand, Evaluation, Experiment, Individual, LogEntry, Rule, Worker
from evolution.services import control, evaluations
from tests.evolution.histories import add_typical_history, finish, make_experiment, make_rule
from tests.evolution.html_forms import form_data

if TYPE_CHECKING:
    from django.http import HttpResponse

pytestmark = pytest.mark.django_db

#: Route by action, and the states that allow it.
LIVE = {"running", "paused"}
FINAL = {"finished", "stopped", "failed", "published", "imported"}
ACTIONS = {
    "launch": ("launch-experiment", {"created"}),
    "pause": ("pause-experiment", {"running"}),
    "resume": ("resume-experiment", {"paused", "failed"}),
    "stop": ("stop-experiment", LIVE),
    "extend": ("extend-experiment", {*LIVE, "finished"}),
    "archive": ("archive-experiment", {"created", "paused", *FINAL}),
    "delete": ("delete-experiment", {"created", *FINAL}),
}
POST_ONLY = [
    "launch-experiment",
    "pause-experiment",
    "resume-experiment",
    "stop-experiment",
    "archive-experiment",
    "unarchive-experiment",
    "retry-failures",
]
FORMS = ["extend-experiment", "delete-experiment", "experiment-labels"]
PARTS = [
    "experiment-actions",
    "experiment-figures",
    "experiment-records",
    "experiment-band",
]
NAME = "A <b>bold</b> test"


@pytest.fixture
def ann(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_superuser("ann"))
    return client


@pytest.fixture
def experiment() -> Experiment:
    experiment = make_experiment(name=NAME)
    add_typical_history(experiment.runs.get(index=0))
    return experiment


def address(name: str, experiment: Experiment | int) -> str:
    return reverse(f"evolution:{name}", args=[getattr(experiment, "pk", experiment)])


def text_of(response: HttpResponse) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text)


def set_state(experiment: Experiment, state: str) -> None:
    finish(experiment, ExperimentState(state))
    if state not in FINAL:
        Experiment.objects.update(finished_at=None)
        experiment.runs.update(finished_at=None)
    experiment.refresh_from_db()


def data_for(action: str, experiment: Experiment) -> dict[str, str]:
    """Return what the page's own form sends."""
    if action == "delete":
        return {"confirmation": str(experiment.pk)}
    if action == "extend":
        n_generations = experiment.evolution_parameters["n_generations"]
        return {
            "n_generations": str(n_generations),
            "n_runs": str(experiment.n_runs + 1),
            "seen_generations": str(n_generations),
            "seen_runs": str(experiment.n_runs),
        }
    return {}


# --- the ladder that every route stands on -----------------------------------------------------


@pytest.mark.parametrize("name", [*POST_ONLY, *FORMS, *PARTS])
def test_strangers_are_sent_to_the_sign_in(client, experiment, name):
    before = Experiment.objects.values().get()
    for response in (client.get(address(name, experiment)), client.post(address(name, experiment))):
        assert response.status_code == 302
        assert response.url.startswith("/sign-in/?next=/")
    assert Experiment.objects.values().get() == before


@pytest.mark.parametrize("name", [*POST_ONLY, *FORMS, *PARTS])
def test_wrong_methods_are_refused(ann, experiment, name):
    path = address(name, experiment)
    wrong = {ann.put: 405, ann.delete: 405}
    if name in POST_ONLY:
        wrong[ann.get] = 405
    if name in PARTS:
        wrong[ann.post] = 405
    assert [call(path).status_code for call in wrong] == list(wrong.values())


@pytest.mark.parametrize("name", [*POST_ONLY, *FORMS, *PARTS])
def test_unknown_experiments_are_not_found(ann, name):
    for pk in (4711, 2**63 - 1):
        path = address(name, pk)
        response = ann.post(path) if name in POST_ONLY else ann.get(path)
        assert response.status_code == 404
        assert f"There is no experiment {pk}." in text_of(response)


@pytest.mark.parametrize("name", [*POST_ONLY, *FORMS])
def test_forms_of_other_sites_are_refused(django_user_model, experiment, name):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(django_user_model.objects.create_superuser("ann"))
    before = Experiment.objects.values().get()
    response = strict.post(address(name, experiment), {"confirmation": str(experiment.pk)})
    assert response.status_code == 403
    assert Experiment.objects.values().get() == before


# --- states ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [str(state) for state in ExperimentState])
@pytest.mark.parametrize("action", ACTIONS)
def test_what_is_offered_is_what_is_possible(ann, experiment, action, state):
    set_state(experiment, state)
    route, states = ACTIONS[action]
    part = ann.get(address("experiment-actions", experiment)).content.decode()
    assert (address(route, experiment) in part) == (state in states)
    before = Experiment.objects.values().get()
    response = ann.post(address(route, experiment), data_for(action, experiment))
    if state in states:
        assert response.status_code == 302
        expected = "/" if action == "delete" else experiment.get_absolute_url()
        assert response.url == expected
        assert 'class="message message--success"' in ann.get(response.url).content.decode()
    else:
        assert response.status_code == 409
        assert f"it is {state}." in text_of(response)
        assert f'href="{experiment.get_absolute_url()}"' in response.content.decode()
        assert Experiment.objects.values().get() == before


def test_the_second_of_two_is_told_who_was_faster(ann, experiment, django_user_model):
    bob = django_user_model.objects.create_user("bob <i>")
    control.pause_experiment(Experiment.objects.get(), by=bob)
    response = ann.post(address("pause-experiment", experiment))
    assert response.status_code == 409
    assert "cannot be paused: it is paused. It was paused last, by bob &lt;i&gt;." in text_of(
        response
    )
    assert "A &lt;b&gt;bold&lt;/b&gt; test" in response.content.decode()


def test_who_did_what_is_on_the_page(ann, experiment):
    ann.post(address("pause-experiment", experiment))
    ann.post(address("resume-experiment", experiment))
    LogEntry.objects.create(experiment=experiment, action=Action.STOPPED)
    text = text_of(ann.get(address("experiment-records", experiment)))
    assert "Command line stopped just now ann resumed just now ann paused just now" in text


def test_archived_experiments_can_be_taken_out_again(ann, experiment):
    finish(experiment)
    ann.post(address("archive-experiment", experiment))
    html = ann.get(experiment.get_absolute_url()).content.decode()
    assert "in the archive" in html
    assert address("archive-experiment", experiment) not in html
    response = ann.post(address("archive-experiment", experiment))
    assert response.status_code == 409
    ann.post(address("unarchive-experiment", experiment))
    experiment.refresh_from_db()
    assert experiment.archived_at is None
    assert ann.post(address("unarchive-experiment", experiment)).status_code == 409


def test_a_paused_experiment_stays_connected_and_does_not_count_the_pause(ann, experiment):
    ann.post(address("pause-experiment", experiment))
    html = ann.get(experiment.get_absolute_url()).content.decode()
    assert "experiment-connection" in html
    assert '<span class="badge" data-field="state" data-state="paused">paused</span>' in html
    assert re.search(r'data-remaining=""', html)


# --- extension ---------------------------------------------------------------------------------


def test_the_extension_takes_the_numbers_of_the_form(ann, experiment):
    page = ann.get(address("extend-experiment", experiment)).content.decode()
    assert re.search(r'name="n_generations" value="200"', page)
    assert re.search(r'name="seen_runs" value="2"', page)
    data = {**data_for("extend", experiment), "n_generations": "150", "n_runs": "5"}
    assert ann.post(address("extend-experiment", experiment), data).status_code == 302
    experiment.refresh_from_db()
    assert experiment.evolution_parameters["n_generations"] == 150
    assert [run.state for run in experiment.runs.all()] == ["running"] * 5
    assert experiment.log.get().detail == "to 150 generations and 5 runs"


def test_an_extension_of_a_stale_page_is_a_conflict(ann, experiment):
    stale = data_for("extend", experiment)
    assert ann.post(address("extend-experiment", experiment), stale).status_code == 302
    response = ann.post(address("extend-experiment", experiment), {**stale, "n_runs": "4"})
    assert response.status_code == 409
    assert "it has 100 generations and 3 runs now." in text_of(response)
    experiment.refresh_from_db()
    assert (experiment.n_runs, experiment.runs.count()) == (3, 3)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"n_generations": "x"}, "n_generations", "Enter a whole number."),
        ({"n_runs": "101"}, "n_runs", "Ensure this value is less than or equal to 100."),
        ({"n_runs": "1"}, "n_runs", "An extension cannot be shorter"),
        ({"n_generations": "99"}, "n_generations", "An extension cannot be shorter"),
        ({"n_runs": "2"}, None, "Nothing is added"),
        ({"seen_runs": "<"}, None, "The form was not sent as this site makes it."),
    ],
)
def test_extensions_that_do_not_fit_are_told_at_the_field(ann, experiment, changes, field, message):
    data = {**data_for("extend", experiment), **changes}
    response = ann.post(address("extend-experiment", experiment), data)
    assert response.status_code == 422
    html = response.content.decode()
    assert message in html
    if field:
        tag = re.search(rf'<input[^>]*name="{field}"[^>]*>', html).group()
        assert 'aria-invalid="true"' in tag
    experiment.refresh_from_db()
    assert (experiment.n_runs, experiment.evolution_parameters["n_generations"]) == (2, 100)


# --- copies ------------------------------------------------------------------------------------


def test_a_copy_starts_from_the_original_and_keeps_the_edits(ann, experiment):
    experiment.task_parameters["learning_rate"] = 1.25
    experiment.evolution_parameters["seed_rules"] = ["u*s", "v"]
    experiment.seed = 77
    experiment.save()
    path = f"/experiments/new/?from={experiment.pk}"
    html = ann.get(path).content.decode()
    data = form_data(html)
    assert data["task-learning_rate"] == "1.25"
    assert data["evolution-seed_rules"].split() == ["u*s", "v"]
    assert (data["seed"], data["n_runs"]) == ("77", "2")
    assert "A &lt;b&gt;bold&lt;/b&gt; test (copy)" in html
    assert "earlier version" not in html
    assert f'action="?from={experiment.pk}"' in html
    data["evolution-n_generations"] = "30"
    response = ann.post(path, {**data, "name": "Edited"})
    copy = Experiment.objects.get(name="Edited")
    assert response.url == copy.get_absolute_url()
    assert copy.task_parameters == experiment.task_parameters
    assert copy.evolution_parameters == {**experiment.evolution_parameters, "n_generations": 30}
    assert (copy.seed, copy.owner.username, copy.preset) == (77, "ann", "demo")
    assert copy.log.get().user.username == "ann"


def test_a_copy_of_an_earlier_version_says_what_does_not_fit(ann, experiment):
    experiment.task_parameters["tau_of_old_ms"] = "<12>"
    experiment.evolution_parameters["mutation_rate"] = 7
    del experiment.evolution_parameters["n_columns"]
    experiment.save()
    path = f"/experiments/new/?from={experiment.pk}"
    response = ann.get(path)
    assert response.status_code == 200
    text = text_of(response)
    assert "The parameter tau_of_old_ms (&lt;12&gt;) does not exist any more." in text
    assert "Mutation rate: Must be less than or equal to 1." in text
    assert "Columns is new since then, and has its default." in text
    refused = ann.post(path, form_data(response.content.decode()))
    assert refused.status_code == 422
    assert Experiment.objects.count() == 1


@pytest.mark.parametrize("text", ["4711", "x", "", "-1", "٣", "1" * 40])
def test_a_copy_of_nothing_is_not_found(ann, experiment, text):
    assert ann.get("/experiments/new/", {"from": text}).status_code == 404
    assert ann.post(f"/experiments/estimate/?from={text}").status_code == 404


# --- deletion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [NAME, "  A <b>bold</b>   test ", "{pk}", "#{pk}"])
def test_deletion_wants_the_name_or_the_number(ann, experiment, typed):
    finish(experiment)
    other = make_experiment(name="Other")
    path = address("delete-experiment", experiment)
    page = ann.get(path)
    assert "A &lt;b&gt;bold&lt;/b&gt; test , number" in text_of(page)
    response = ann.post(path, {"confirmation": typed.format(pk=experiment.pk)})
    assert (response.status_code, response.url) == (302, "/")
    assert list(Experiment.objects.all()) == [other]
    assert "“A &lt;b&gt;bold&lt;/b&gt; test” was deleted." in text_of(ann.get("/"))
    assert Rule.objects.exists()
    assert ann.post(path, {"confirmation": NAME}).status_code == 404


@pytest.mark.parametrize("typed", ["", "a <b>bold</b> test", "0", "A"])
def test_deletion_without_the_name_deletes_nothing(ann, experiment, typed):
    finish(experiment)
    response = ann.post(address("delete-experiment", experiment), {"confirmation": typed})
    assert response.status_code == 422
    assert 'aria-invalid="true"' in response.content.decode()
    assert Experiment.objects.count() == 1


def test_the_deletion_of_what_runs_is_not_even_asked_for(ann, experiment):
    assert ann.get(address("delete-experiment", experiment)).status_code == 409


# --- tags and notes ----------------------------------------------------------------------------


def labels(ann: Client, experiment: Experiment, **changes: str) -> HttpResponse:
    data = form_data(ann.get(address("experiment-labels", experiment)).content.decode())
    return ann.post(address("experiment-labels", experiment), {**data, **changes})


def test_tags_are_normalised_and_notes_are_plain_text(ann, experiment):
    notes = "See <b>page</b> 41.\nAnd 42."
    response = labels(ann, experiment, tags="Pilot, #fig-5 pilot;Großes", notes=notes)
    assert response.status_code == 302
    experiment.refresh_from_db()
    assert experiment.tags == ["pilot", "fig-5", "grosses"]
    assert experiment.notes == notes
    assert Experiment.objects.filter(tags__contains=" fig-5 ").exists()
    assert not Experiment.objects.filter(tags__contains=" fig ").exists()
    html = ann.get(experiment.get_absolute_url()).content.decode()
    assert "See &lt;b&gt;page&lt;/b&gt; 41." in html
    assert ">fig-5</a>" in html


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tags": "<b>"}, "A tag is made of letters"),
        ({"tags": "x" * 31}, "A tag has at most 30 characters"),
        ({"tags": " ".join(map(str, range(13)))}, "An experiment has at most 12 tags."),
        ({"notes": "x" * 20_001}, "Ensure this value has at most 20000 characters"),
    ],
)
def test_labels_that_do_not_fit_keep_what_was_typed(ann, experiment, changes, message):
    response = labels(ann, experiment, **changes)
    assert response.status_code == 422
    assert message in response.content.decode()
    experiment.refresh_from_db()
    assert (experiment.tags, experiment.notes) == ([], "")


def test_notes_of_two_people_do_not_overwrite_each_other_unseen(ann, experiment):
    stale = form_data(ann.get(address("experiment-labels", experiment)).content.decode())
    labels(ann, experiment, notes="Of Bob")
    response = ann.post(address("experiment-labels", experiment), {**stale, "notes": "Of Ann"})
    assert response.status_code == 409
    html = response.content.decode()
    assert "Of Bob" in html
    assert "Of Ann" in html
    experiment.refresh_from_db()
    assert experiment.notes == "Of Bob"
    again = ann.post(address("experiment-labels", experiment), form_data(html))
    assert again.status_code == 302
    experiment.refresh_from_db()
    assert experiment.notes == "Of Ann"


# --- figures, failures -------------------------------------------------------------------------


def figure(html: str, name: str) -> str:
    (found,) = re.findall(rf'data-figure="{name}">(.*?)</', html)
    return re.sub(r"<[^>]+>", "", found).strip()


def test_the_figures_are_those_of_all_runs(ann, experiment):
    for run in experiment.runs.all():
        run.n_evaluations, run.n_cached, run.n_pruned = 1000, 400, 30
        run.simulated_s, run.saved_s = 60.0, 30.0
        run.save()
    Worker.objects.create(name="a:1", host="node1", is_busy=True, experiment=experiment)
    Worker.objects.create(name="b:1", host="node2", is_busy=True, experiment=make_experiment())
    Worker.objects.create(name="b:2", host="node2", experiment=experiment)
    for path in (experiment.get_absolute_url(), address("experiment-figures", experiment)):
        html = ann.get(path).content.decode()
        names = ("asked", "computed", "cached", "pruned", "used", "saved", "workers-here")
        assert [figure(html, name) for name in names] == [
            "2\u202f000",
            "1\u202f200",
            "800 (40 %)",
            "60",
            "2 min",
            "1 min (33 %)",
            "1",
        ]
        assert figure(html, "workers") == "3"
        assert "on node1" in html
        assert "on node2" not in html


def test_a_broker_that_is_down_does_not_break_the_page(ann, experiment):
    from e2l_site.celery import app

    former, app.conf.broker_url = app.conf.broker_url, "redis://127.0.0.1:1/0"
    try:
        html = ann.get(experiment.get_absolute_url()).content.decode()
    finally:
        app.conf.broker_url = former
    assert figure(html, "queue") == "unknown"
    assert "The message broker does not answer." in html


@pytest.fixture
def crash(experiment) -> Evaluation:
    """Add a rule that crashed the simulator."""
    rule = make_rule("v/s")
    context = evaluations.get_or_create_context(
        experiment.learning_task, experiment.get_task_parameters(), experiment.seed
    )
    evaluation = Evaluation.objects.create(
        context=context,
        rule=rule,
        state=EvaluationState.DONE,
        reason=Outcome.CRASH,
        detail="Signal 11 in <b>NEST</b>",
    )
    run = experiment.runs.get(index=0)
    for index, outcome in ((900, Outcome.CRASH), (901, Outcome.NOT_FINITE)):
        Individual.objects.create(
            run=run,
            index=index,
            birth_generation=5,
            genome=[[]],
            rule=rule,
            evaluation=evaluation,
            outcome=outcome,
        )
    return evaluation


def test_failures_are_counted_by_reason_and_detailed_for_operators(
    ann, experiment, crash, django_user_model
):
    ann.force_login(django_user_model.objects.create_user("member"))
    for path in (experiment.get_absolute_url(), address("experiment-records", experiment)):
        response = ann.get(path)
        assert "1 crash of the simulator 1 not a finite number" in text_of(response)
        assert "v/s crash of the simulator Run 1, generation 5 just now" in text_of(response)
        assert "Signal 11" not in text_of(response)
    ann.force_login(django_user_model.objects.create_superuser("op"))
    html = ann.get(experiment.get_absolute_url()).content.decode()
    assert "Signal 11 in &lt;b&gt;NEST&lt;/b&gt;" in html


def test_failed_evaluations_can_be_repeated_once(ann, experiment, crash):
    html = ann.get(experiment.get_absolute_url()).content.decode()
    assert "Repeat 1 failed evaluation<" in html
    response = ann.post(address("retry-failures", experiment))
    assert response.status_code == 302
    crash.refresh_from_db()
    assert crash.reason == ""
    assert Demand.objects.get().evaluation == crash
    assert "Repeat 1" not in ann.get(experiment.get_absolute_url()).content.decode()
    again = ann.post(address("retry-failures", experiment))
    assert again.status_code == 409
    assert "No evaluation of the experiment" in text_of(again)


def test_the_records_are_sent_only_when_they_have_changed(ann, experiment):
    html = ann.get(experiment.get_absolute_url()).content.decode()
    (path,) = re.findall(r'hx-get="(/experiments/\d+/records/\?seen=[^"]+)"', html)
    assert ann.get(path).status_code == 204
    ann.post(address("pause-experiment", experiment))
    changed = ann.get(path)
    assert changed.status_code == 200
    assert "paused" in text_of(changed)


def test_a_page_is_connected_only_while_something_goes_on_and_asks_for_parts_when_told(
    ann, experiment
):
    def page() -> str:
        return ann.get(experiment.get_absolute_url()).content.decode()

    assert "js/experiment-connection" in page()
    ann.post(address("pause-experiment", experiment))
    assert "js/experiment-connection" in page()
    ann.post(address("stop-experiment", experiment))
    over = page()
    assert "js/experiment-connection" not in over
    triggers = re.findall(r'hx-trigger="([^"]*)"', over)
    assert set(triggers) == {"e2l:refresh", "load"}


@pytest.mark.parametrize("n_runs", [2, 60])
def test_the_page_and_its_parts_take_few_queries(
    ann, crash, experiment, n_runs, django_assert_max_num_queries
):
    for index in range(2, n_runs):
        experiment.runs.create(index=index, seed=index, state="running")
    LogEntry.objects.create(experiment=experiment, action=Action.PAUSED)
    experiment.evolution_parameters["target_fitness"] = -20.0
    experiment.context = crash.context
    experiment.save()
    for path in (
        experiment.get_absolute_url(),
        *(address(name, experiment) for name in (*PARTS, "experiment-plot")),
    ):
        with django_assert_max_num_queries(12):
            assert ann.get(path).status_code == 200
