"""The list of experiments: what it finds, in which order, and what is done to several at once."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from evolution import listing
from evolution.enums import ExperimentState, Visibility
from evolution.models import Experiment
from evolution.plots import sparkline
from evolution.services import control
from evolution.views.experiments import RENEWED_S
from tests.evolution.histories import (
    add_generations,
    add_typical_history,
    finish,
    make_experiment,
    make_rule,
)

if TYPE_CHECKING:
    from django.http import HttpResponse

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_superuser("ann"))
    return client


@pytest.fixture
def cast(ann, django_user_model) -> dict[str, Experiment]:
    """Four experiments that differ in everything that can be looked for."""
    bob = django_user_model.objects.create_user("bob")
    carl = django_user_model.objects.create_user("carl")
    alpha = make_experiment(name="Alpha <b>", n_runs=1)
    add_typical_history(alpha.runs.get())
    beta = make_experiment(name="beta", n_runs=2)
    add_generations(beta.runs.last(), [("v", -3.0)])
    gamma = make_experiment(name="Gamma 100%", n_runs=1)
    delta = make_experiment(name="Delta", n_runs=1)
    alpha.tags, alpha.owner = ["pilot", "fig-5"], bob
    beta.tags, beta.owner = ["pilots"], carl
    gamma.learning_task_name = "reward-driven"
    for experiment in (alpha, beta, gamma):
        experiment.save()
    finish(gamma)
    finish(delta)
    control.archive_experiment(delta)
    return {"alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta}


def text_of(response: HttpResponse) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text)


def found(ann: Client, cast: dict[str, Experiment], **query: str) -> list[str]:
    """Return which experiments the list shows, in its order."""
    html = ann.get("/", query).content.decode()
    numbers = re.findall(r'<input type="checkbox" id="choose-(\d+)"', html)
    names = {str(experiment.pk): name for name, experiment in cast.items()}
    return [names[number] for number in numbers]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "gamma beta alpha"),
        ({"show": "all"}, "delta gamma beta alpha"),
        ({"show": "archived"}, "delta"),
        ({"state": "finished"}, "gamma"),
        ({"state": "paused"}, ""),
        ({"task": "reward-driven"}, "gamma"),
        ({"owner": "bob"}, "alpha"),
        ({"q": "ALPHA"}, "alpha"),
        ({"q": "ta"}, "beta"),
        ({"q": "pilot"}, "alpha"),
        ({"q": "#Fig-5"}, "alpha"),
        ({"q": "<b>"}, "alpha"),
        ({"q": "%"}, "gamma"),
        ({"q": "#"}, ""),
        ({"q": "  beta "}, "beta"),
        ({"q": "beta", "state": "running", "owner": "carl"}, "beta"),
        ({"q": "beta", "owner": "bob"}, ""),
        ({"sort": "oldest"}, "alpha beta gamma"),
        ({"sort": "name", "show": "all", "q": "a"}, "alpha delta gamma beta"),
        ({"sort": "fitness"}, "beta alpha gamma"),
        # What there is no such thing of is not looked for.
        ({"state": "x", "task": "tea", "owner": "zoe", "sort": "x", "show": "x"},
         "gamma beta alpha"),
    ],
)  # fmt: skip
def test_the_list_finds_what_was_asked_for(ann, cast, query, expected):
    if query.get("sort") == "name":  # databases differ in where they put capitals
        assert sorted(found(ann, cast, **query)) == sorted(expected.split())
    else:
        assert found(ann, cast, **query) == expected.split()


def test_an_experiment_is_found_by_its_number(ann, cast):
    number = cast["beta"].pk
    assert "beta" in found(ann, cast, q=f"#{number}")
    assert found(ann, cast, q="9" * 30) == []


def test_the_form_keeps_what_was_asked_for_and_says_when_nothing_fits(ann, cast):
    html = ann.get("/", {"q": '"><script>', "sort": "fitness"}).content.decode()
    assert 'value="&quot;&gt;&lt;script&gt;"' in html
    assert '<option value="fitness" selected>best fitness</option>' in html
    assert "No experiment fits." in html
    assert "?q=%22%3E%3Cscript%3E&amp;sort=fitness" not in html  # nothing runs in an empty table
    running = ann.get("/", {"q": "beta"}).content.decode()
    assert 'hx-get="/?q=beta&amp;page=1&amp;renew=1"' in running


def test_tables_that_renew_themselves_are_written_once_for_all_who_may_read_the_same(
    ann, cast, django_user_model
):
    bob, carl, dora = (
        django_user_model.objects.get_or_create(username=name)[0]
        for name in ("bob", "carl", "dora")
    )
    Experiment.objects.filter(name="beta").update(visibility=Visibility.PRIVATE)  # carl's

    def renewed(user) -> str:
        client = Client()
        client.force_login(user)
        query = {"sort": "oldest", "page": "1", "renew": "1"}
        return client.get("/", query, headers={"HX-Request": "true"}).content.decode()

    of_bob = renewed(bob)
    assert "Alpha" in of_bob
    assert ">beta<" not in of_bob
    # Whoever may read the same gets what was written for others a moment ago.
    Experiment.objects.filter(name__startswith="Alpha").update(name="Other name")
    assert renewed(dora) == of_bob
    # Neither the owner of what is private nor an operator is answered with it.
    of_carl, of_ann = renewed(carl), renewed(django_user_model.objects.get(username="ann"))
    for text in (of_carl, of_ann):
        assert "Other name" in text
        assert ">beta<" in text
    # A page that is opened or searched shows what is there now.
    assert "Other name" in ann.get("/").content.decode()
    assert "Other name" in ann.get("/?page=1", headers={"HX-Request": "true"}).content.decode()


def test_a_renewed_table_is_not_kept_for_long(ann, cast, monkeypatch):
    query = {"page": "1", "renew": "1"}
    headers = {"HX-Request": "true"}
    assert "Other name" not in ann.get("/", query, headers=headers).content.decode()
    Experiment.objects.filter(name__startswith="Alpha").update(name="Other name")
    assert "Other name" not in ann.get("/", query, headers=headers).content.decode()
    later = time.time() + RENEWED_S
    monkeypatch.setattr(time, "time", lambda: later)
    assert "Other name" in ann.get("/", query, headers=headers).content.decode()


def test_a_list_of_nothing_but_archived_ones_leads_there(ann):
    finish(make_experiment(name="Only one"))
    control.archive_experiment(Experiment.objects.get())
    text = text_of(ann.get("/"))
    assert "All experiments are in the archive." in text
    assert "Only one" not in text
    assert "Only one" in text_of(ann.get("/?show=archived"))


def test_rows_show_tags_owner_and_a_curve_of_the_best_run(ann, cast):
    html = ann.get("/", {"q": "alpha"}).content.decode()
    assert "Alpha &lt;b&gt;" in html
    assert "· bob" in html
    assert 'href="?q=fig-5">fig-5</a>' in html
    assert 'aria-label="Best run: fitness from −812.5 to −11.5"' in html
    assert html.count("<polyline") == 1


def test_a_learning_task_that_is_gone_does_not_break_the_list(ann, cast):
    Experiment.objects.filter(pk=cast["beta"].pk).update(learning_task_name="of-a-plug-in")
    assert "of-a-plug-in" in text_of(ann.get("/"))


def test_the_curve_holds_every_step():
    assert sparkline([], 10) == ""
    points = [
        tuple(map(float, pair.split(",")))
        for pair in sparkline([(0, -100.0), (5, -10.0), (8, -1.0)], 10).split()
    ]
    assert points == [(0, 22), (50, 22), (50, 12), (80, 12), (80, 2), (100, 2)]
    # Without a logarithm where a value is no error.
    linear = sparkline([(0, -1.0), (5, 0.0), (10, 3.0)], 10).split()
    assert linear == ["0.0,22.0", "50.0,22.0", "50.0,17.0", "100.0,17.0", "100.0,2.0", "100.0,2.0"]
    assert sparkline([(0, 5.0)], 0) == "0.0,12.0 100.0,12.0"


def test_the_list_takes_the_same_few_queries_for_many_experiments(
    ann, cast, django_assert_max_num_queries
):
    make_rule("u")
    for number in range(20):
        other = make_experiment(name=f"Number {number}", n_runs=4)
        add_typical_history(other.runs.first(), n_each=1)
    with django_assert_max_num_queries(12):
        html = ann.get("/", {"sort": "activity", "show": "all"}).content.decode()
    assert html.count("<polyline") == 21


def test_steps_are_those_of_the_runs_asked_for(cast, django_assert_num_queries):
    run = cast["alpha"].runs.get()
    steps = [(0, -812.5), (5, -120.25), (10, -44.125), (15, -11.5)]
    assert listing.champion_steps({run.pk: -11.5}) == {run.pk: steps}
    with django_assert_num_queries(0):
        assert listing.champion_steps({run.pk: -11.5}) == {run.pk: steps}
    # The fitness of a list may be older than the steps: they are not those of that champion.
    for _ in range(2):
        with django_assert_num_queries(1):
            assert listing.champion_steps({run.pk: -44.125}) == {run.pk: steps}


# --- several at once ---------------------------------------------------------------------------


def do(ann: Client, action: str, *experiments: Experiment, **more: str) -> HttpResponse:
    numbers = [str(experiment.pk) for experiment in experiments]
    return ann.post("/experiments/bulk/", {"action": action, "experiment": numbers, **more})


def states() -> dict[str, str]:
    return dict(Experiment.objects.values_list("name", "state"))


def test_bulk_needs_a_post_and_an_account(ann, cast, client):
    assert ann.get("/experiments/bulk/").status_code == 405
    stranger = Client()
    response = do(stranger, "pause", cast["alpha"])
    assert response.url.startswith("/sign-in/")
    assert states()["Alpha <b>"] == "running"


def test_what_can_be_done_is_done_and_the_rest_is_told(ann, cast):
    response = do(ann, "pause", *cast.values(), query="q=a&sort=name")
    assert (response.status_code, response.url) == (302, "/?q=a&sort=name")
    assert states() == {
        "Alpha <b>": "paused",
        "beta": "paused",
        "Gamma 100%": "finished",
        "Delta": "finished",
    }
    text = text_of(ann.get(response.url))
    assert "2 experiments were paused." in text
    assert "“Gamma 100%” cannot be paused: it is finished." in text
    assert "“Delta” cannot be paused: it is finished." in text
    do(ann, "resume", cast["alpha"])
    assert "“Alpha &lt;b&gt;” was resumed." in text_of(ann.get("/"))
    assert cast["alpha"].log.first().user.username == "ann"


def test_archive_and_back(ann, cast):
    do(ann, "archive", cast["gamma"], cast["beta"])
    text = text_of(ann.get("/?show=archived"))
    assert "“Gamma 100%” was archived." in text
    assert "“beta” cannot be archived: it is running." in text
    do(ann, "unarchive", cast["gamma"], cast["delta"])
    assert set(Experiment.objects.not_archived()) == set(cast.values())


def test_what_cannot_be_undone_is_asked_for_twice(ann, cast):
    asked = do(ann, "stop", cast["alpha"], cast["gamma"], query="sort=name")
    assert asked.status_code == 200
    html = asked.content.decode()
    assert "Stop 2 experiments?" in html
    assert "Alpha &lt;b&gt;" in html
    assert states()["Alpha <b>"] == "running"
    done = do(ann, "stop", cast["alpha"], cast["gamma"], query="sort=name", confirmation="yes")
    assert done.url == "/?sort=name"
    assert states()["Alpha <b>"] == "stopped"
    assert "cannot be stopped: it is finished." in text_of(ann.get("/"))


def test_deletion_wants_a_typed_word_and_leaves_what_runs(ann, cast):
    chosen = (cast["beta"], cast["gamma"], cast["delta"])
    assert "Delete 3 experiments?" in text_of(do(ann, "delete", *chosen))
    for typed in ("", "yes", "Delete"):
        response = do(ann, "delete", *chosen, confirmation=typed)
        assert response.status_code == 422
        assert "Nothing was deleted." in text_of(response)
    assert Experiment.objects.count() == 4
    do(ann, "delete", *chosen, confirmation=" delete ")
    assert set(Experiment.objects.all()) == {cast["alpha"], cast["beta"]}
    text = text_of(ann.get("/"))
    assert "2 experiments were deleted." in text
    assert "“beta” cannot be deleted: it is running." in text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"action": "pause"}, "No experiment was chosen."),
        ({"action": "pause", "experiment": ["x", "-1", "9" * 40]}, "This was not understood."),
        ({"action": "pause", "experiment": ["4711"]}, "No experiment was chosen."),
        ({"action": "explode", "experiment": ["1"]}, "This was not understood."),
        ({}, "This was not understood."),
    ],
)
def test_what_makes_no_sense_changes_nothing(ann, cast, data, message):
    before = list(Experiment.objects.values())
    response = ann.post("/experiments/bulk/", {**data, "query": "//evil.example\r\nX: y"})
    assert response.status_code == 302
    assert response.url.startswith("/")
    assert not response.url.startswith("//")
    assert message in text_of(ann.get("/"))
    assert list(Experiment.objects.values()) == before


def test_an_experiment_that_was_deleted_meanwhile_is_left_out(ann, cast):
    gone = cast["gamma"].pk
    control.delete_experiment(cast["gamma"])
    response = ann.post(
        "/experiments/bulk/",
        {"action": "pause", "experiment": [str(gone), str(cast["alpha"].pk)]},
    )
    assert response.status_code == 302
    assert Experiment.objects.get(pk=cast["alpha"].pk).state == ExperimentState.PAUSED
