"""The page for operators: who may see it, what it shows, and what it does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evolution.enums import EvaluationState, ExperimentState
from evolution.models import Demand, Evaluation, EvaluationContext, Worker, WorkerHost
from evolution.services.evaluations import engine_version
from tests.evolution.histories import make_experiment, make_rule

pytestmark = pytest.mark.django_db

PAGE = "/operation/"
ADDRESSES = [PAGE, "/operation/state/"]
ORDERS = ["/operation/drain/", "/operation/resume/", "/operation/restart/"]


@pytest.fixture
def operator(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("op", is_superuser=True))
    return client


@pytest.fixture
def site():
    experiment = make_experiment(name="Under way")
    Worker.objects.create(
        name="node1:101:101", host="node1", is_busy=True, experiment=experiment,
        engine_version=engine_version(),
    )  # fmt: skip
    Worker.objects.create(name="node1:102:102", host="node1", engine_version="e2l 0, nest 3.9")
    Worker.objects.create(
        name="node2:7:7", host="node2", heard_at=timezone.now() - timedelta(minutes=1)
    )
    return experiment


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_page_is_for_operators_only(address, django_user_model):
    assert Client().get(address).status_code == 302
    for rights, status in (
        ({}, 403),
        ({"is_staff": True}, 403),
        ({"is_superuser": True}, 200),
        ({"is_superuser": True, "is_active": False}, 302),
    ):
        other = Client()
        other.force_login(django_user_model.objects.create_user(f"u{rights}", **rights))
        assert other.get(address).status_code == status, rights


@pytest.mark.parametrize("address", ORDERS)
def test_only_operators_give_orders(address, site, client, django_user_model):
    client.force_login(django_user_model.objects.create_user("ann"))
    assert client.post(address, {"host": "node1"}).status_code == 403
    assert not WorkerHost.objects.exists()


def test_only_operators_see_the_way_to_it(client, django_user_model):
    user = django_user_model.objects.create_user("ann")
    client.force_login(user)
    assert PAGE not in client.get("/").content.decode()
    user.is_superuser = True
    user.save()
    assert f'href="{PAGE}"' in client.get("/").content.decode()


def test_workers_are_shown_with_what_they_do(operator, site):
    html = " ".join(operator.get(PAGE).content.decode().split())
    assert '<dd data-figure="workers">2</dd>' in html
    assert '<dd data-figure="busy">1</dd>' in html
    assert 'node1 <span class="badge" data-state="at work">at work</span>' in html
    assert 'node2 <span class="badge" data-state="silent">silent</span>' in html
    assert f'<a href="{site.get_absolute_url()}">Under way</a>' in html
    assert html.count("another one") == 2  # one of them is unknown
    assert "e2l 0, nest 3.9" in html
    assert html.count(">101<") == 1


def test_what_is_stuck_is_shown(operator, site):
    context = EvaluationContext.objects.create(
        digest="d", learning_task_name="error-driven", task_parameters={}, seed=1, engine_version=""
    )
    evaluation = Evaluation.objects.create(
        context=context,
        rule=make_rule("u*s"),
        state=EvaluationState.CLAIMED,
        claimed_by="0123 lost:1",
        lease_expires_at=timezone.now() - timedelta(minutes=3),
    )
    run = site.runs.first()
    Demand.objects.create(experiment=site, run=run, evaluation=evaluation, n_trials=1)
    site.runs.filter(pk=run.pk).update(last_progress_at=timezone.now() - timedelta(hours=2))
    failed = make_experiment(name="Broken")
    failed.runs.filter(index=0).update(
        state=ExperimentState.FAILED, detail="<b>no space</b>", finished_at=timezone.now()
    )
    html = " ".join(operator.get("/operation/state/").content.decode().split())
    assert '<dd data-figure="stale">1</dd>' in html
    assert "held by <code>0123 lost:1</code>" in html
    assert "over since 3 min ago" in html
    assert f"{site.name}, run 1</a></span>" in html
    assert "since 2 h ago" in html
    assert "Broken, run 1</a>: &lt;b&gt;no space&lt;/b&gt;" in html


def test_the_page_asks_little_of_the_database(operator, site, django_assert_max_num_queries):
    for number in range(30):
        Worker.objects.create(
            name=f"n{number}:1:1", host=f"n{number}", is_busy=True, experiment=site
        )
    with django_assert_max_num_queries(12):
        operator.get(PAGE)


def test_a_host_is_drained_and_resumed_once(operator, site):
    response = operator.post("/operation/drain/", {"host": "node1"}, follow=True)
    html = response.content.decode()
    assert "The workers of node1 finish what they do and take no more." in html
    assert 'data-state="draining"' in html
    order = WorkerHost.objects.get(name="node1")
    assert (order.is_drained, order.changed_by.username) == (True, "op")
    response = operator.post("/operation/drain/", {"host": "node1"})
    assert response.status_code == 409
    assert "node1 is drained already" in response.content.decode()
    Worker.objects.update(is_busy=False)
    assert 'data-state="drained"' in operator.get(PAGE).content.decode()
    operator.post("/operation/resume/", {"host": "node1"})
    assert not WorkerHost.objects.get(name="node1").is_drained


def test_a_host_is_restarted(operator, site):
    assert operator.post("/operation/restart/", {"host": "node1"}).status_code == 302
    assert WorkerHost.objects.get(name="node1").n_restarts == 1
    # Nobody is there who could be restarted.
    assert operator.post("/operation/restart/", {"host": "node2"}).status_code == 409


@pytest.mark.parametrize("address", ORDERS)
@pytest.mark.parametrize("host", ["nowhere", "", "x" * 300])
def test_a_host_that_does_not_exist_is_a_conflict(operator, site, address, host):
    assert operator.post(address, {"host": host}).status_code == 409
    assert operator.get(address).status_code == 405


def test_a_drained_host_without_workers_can_be_resumed(operator):
    WorkerHost.objects.create(name="gone", is_drained=True)
    html = operator.get(PAGE).content.decode()
    assert reverse("evolution:resume-host") in html
    assert reverse("evolution:restart-host") not in html
    operator.post("/operation/resume/", {"host": "gone"})
    assert "gone" not in operator.get("/operation/state/").content.decode()
