"""What operators see and order through the API, on rows that the test writes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from evolution.models import Evaluation, EvaluationContext, Run, Worker, WorkerHost
from evolution.models.evaluation import Demand
from tests.evolution.histories import make_experiment, make_rule


@pytest.fixture
def experiment(db):
    found = make_experiment(name="Under way")
    Worker.objects.create(name="node1:1:1", host="node1", is_busy=True, experiment=found)
    Worker.objects.create(name="node1:2:2", host="node1", engine_version="other")
    Worker.objects.create(
        name="node2:7:7", host="node2", heard_at=timezone.now() - timedelta(minutes=1)
    )
    return found


def test_the_state_of_the_site_is_told(operator, experiment):
    body = operator("GET", "operation/").json()
    hosts = {host["name"]: host for host in body["hosts"]}
    assert (hosts["node1"]["state"], hosts["node1"]["n_alive"]) == ("at work", 2)
    assert (hosts["node2"]["state"], hosts["node2"]["n_alive"]) == ("silent", 0)
    states = {worker["name"]: worker["state"] for worker in hosts["node1"]["workers"]}
    assert states == {"node1:1:1": "busy", "node1:2:2": "idle"}
    assert hosts["node1"]["workers"][0]["experiment"] == experiment.pk
    assert {"Python", "Django", "Database"} <= body["versions"].keys()
    assert body["stale"] == body["failed_runs"] == []


def test_what_is_stuck_is_named(operator, experiment):
    rule, run = make_rule("v*s"), experiment.runs.order_by("index").first()
    context = EvaluationContext.objects.create(
        digest="c", learning_task_name="error-driven", task_parameters={}, seed=1
    )
    evaluation = Evaluation.objects.create(
        context=context, rule=rule, state="claimed", claimed_by="node2:7:7",
        lease_expires_at=timezone.now() - timedelta(hours=1), complexity=3,
    )  # fmt: skip
    Demand.objects.create(evaluation=evaluation, run=run, experiment=experiment, n_trials=1)
    long_ago = timezone.now() - timedelta(days=1)
    Run.objects.filter(pk=run.pk).update(last_progress_at=long_ago)
    body = operator("GET", "operation/").json()
    (lease,) = body["stale"]
    assert (lease["experiment"], lease["claimed_by"]) == (experiment.pk, "node2:7:7")
    assert lease["rule"]["expressions"] == ["v*s"]
    assert body["work"]["n_stale"] == 1
    assert (body["quiet_runs"][0]["experiment"], body["quiet_runs"][0]["run"]) == (experiment.pk, 1)


def test_a_host_is_drained_resumed_and_restarted(operator, experiment):
    order = {"host": "node1"}
    drained = operator("POST", "operation/drain/", order).json()
    assert (drained["state"], drained["is_drained"], drained["changed_by"]) == (
        "draining", True, "olga"
    )  # fmt: skip
    assert WorkerHost.objects.get(name="node1").is_drained
    assert operator("POST", "operation/drain/", order).status_code == 409
    assert operator("POST", "operation/resume/", order).json()["state"] == "at work"
    assert operator("POST", "operation/restart/", order).status_code == 200
    assert WorkerHost.objects.get(name="node1").n_restarts == 1


@pytest.mark.parametrize(("host", "status"), [("node9", 409), ("", 422), ("x" * 101, 422)], ids=str)
def test_orders_to_nobody_are_refused(operator, experiment, host, status):
    assert operator("POST", "operation/drain/", {"host": host}).status_code == status
    assert not WorkerHost.objects.exists()


def test_a_drained_host_without_workers_is_resumed(operator, experiment):
    operator("POST", "operation/drain/", {"host": "node2"})
    Worker.objects.filter(host="node2").delete()
    resumed = operator("POST", "operation/resume/", {"host": "node2"}).json()
    assert (resumed["name"], resumed["state"], resumed["workers"]) == ("node2", "no workers", [])
