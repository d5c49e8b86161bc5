"""What machines ask: is it alive, can it serve, how does everything fare."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from e2l_site import readiness
from evolution.enums import EvaluationState, ExperimentState, Outcome
from evolution.models import (
    Demand,
    Evaluation,
    EvaluationContext,
    Individual,
    Probe,
    Worker,
    WorkerHost,
)
from tests.evolution.histories import make_experiment, make_rule

#: A load balancer comes with an address of its own and without a session.
STRANGER = {"host": "10.1.2.3:8000"}


@pytest.fixture(autouse=True)
def forget_answers(monkeypatch):
    monkeypatch.setattr(readiness, "_answer", None)


@pytest.fixture
def with_broker(settings, valkey):
    # As the settings would have it with REDIS_URL.
    from e2l_site.celery import app

    before = app.conf.broker_url
    app.conf.broker_url = valkey.replace("unix://", "redis+socket://").replace(
        "?db=", "?virtual_host="
    )
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [valkey], "prefix": "e2l"},
        }
    }
    yield
    app.conf.broker_url = before


@pytest.fixture
def without_broker(monkeypatch):
    from e2l_site.celery import app

    before = app.conf.broker_url
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    yield
    app.conf.broker_url = before


def test_healthz_asks_no_database(client):
    """There is no mark for the database: a query would be an error."""
    response = client.get("/healthz", headers=STRANGER)
    assert (response.status_code, response.json()) == (200, {"status": "alive"})
    assert response.headers["Cache-Control"] == "no-store"


def test_a_head_request_is_answered_and_a_post_is_not(client):
    assert client.head("/healthz").status_code == 200
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_ready_with_all_its_parts(client, with_broker):
    response = client.get("/readyz", headers=STRANGER)
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


@pytest.mark.django_db
def test_not_ready_without_broker(client, without_broker):
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "reasons": ["The message broker does not answer."],
    }


@pytest.mark.django_db
def test_not_ready_without_a_migration(client, with_broker):
    MigrationRecorder(connection).record_unapplied("evolution", "0001_initial")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["The database lacks migrations."]


@pytest.mark.django_db
def test_not_ready_without_database_and_nothing_leaks(client, with_broker):
    def refuse(execute, sql, params, many, context):
        raise OperationalError("password of db.example.org is secret")

    with connection.execute_wrapper(refuse):
        response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["The database does not answer."]


@pytest.mark.django_db
def test_an_answer_serves_all_who_ask_within_a_second(
    client, with_broker, django_assert_num_queries
):
    client.get("/readyz")
    with django_assert_num_queries(0):
        assert client.get("/readyz").status_code == 200


# --- metrics ------------------------------------------------------------------------------------


def metrics_of(response) -> dict[tuple[str, ...], float]:
    """Read the answer with Prometheus' own parser; by name and values of labels."""
    assert response.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


@pytest.fixture
def busy_site(db, django_user_model):
    experiment = make_experiment(n_runs=2)
    paused = make_experiment(n_runs=1)
    paused.runs.update(state=ExperimentState.PAUSED)
    experiment.runs.update(n_generations_done=50, n_evaluations=40, n_cached=10, n_pruned=3)
    context = EvaluationContext.objects.create(
        digest="d", learning_task_name="error-driven", task_parameters={}, seed=1, engine_version=""
    )
    run = experiment.runs.first()
    minute = timezone.timedelta(minutes=1)
    for text, state, lease in (
        ("v", EvaluationState.PENDING, None),
        ("u", EvaluationState.PENDING, None),
        ("s", EvaluationState.CLAIMED, minute),
        ("u*s", EvaluationState.CLAIMED, -minute),
    ):
        evaluation = Evaluation.objects.create(
            context=context,
            rule=make_rule(text),
            state=state,
            lease_expires_at=lease and timezone.now() + lease,
        )
        Demand.objects.create(experiment=experiment, run=run, evaluation=evaluation, n_trials=1)
        # Two runs that wait for one evaluation are one simulation.
        other = experiment.runs.last()
        Demand.objects.create(experiment=experiment, run=other, evaluation=evaluation, n_trials=1)
    evaluation = Evaluation.objects.create(context=context, rule=make_rule("v + u"))
    Demand.objects.create(
        experiment=paused, run=paused.runs.first(), evaluation=evaluation, n_trials=1
    )
    for index, outcome in enumerate((Outcome.CRASH, Outcome.NOT_FINITE, Outcome.NOT_FINITE)):
        Individual.objects.create(
            run=run, index=index, birth_generation=0, genome=[[]], outcome=outcome
        )
    Worker.objects.create(name="a:1:1", host="a", is_busy=True)
    Worker.objects.create(name="a:2:2", host="a")
    Worker.objects.create(name="b:1:1", host="b")
    Worker.objects.create(
        name="b:2:2", host="b", heard_at=timezone.now() - timezone.timedelta(hours=1)
    )
    WorkerHost.objects.create(name="b", is_drained=True)
    Probe.objects.create(
        digest="p", kind="behaviour", rule=make_rule("v"), learning_task_name="error-driven",
        preset="demo", task_parameters={}, seed=1, n_steps=1, estimated_s=1.0,
    )  # fmt: skip
    return experiment


def test_metrics_are_what_the_database_holds(client, with_broker, busy_site):
    found = metrics_of(client.get("/metrics", headers=STRANGER))
    assert {name: value for name, value in found.items() if name[0] == "e2l_evaluations"} == {
        ("e2l_evaluations", "waiting"): 2,
        ("e2l_evaluations", "claimed"): 1,
        ("e2l_evaluations", "stale"): 1,
    }
    assert {name[1]: value for name, value in found.items() if name[0] == "e2l_workers"} == {
        "busy": 1,
        "idle": 1,
        "drained": 1,
    }
    assert found["e2l_runs", "running"] == 2
    assert found["e2l_runs", "paused"] == 1
    assert found["e2l_probes", "waiting"] == 1
    assert found["e2l_failures", "crash"] == 1
    assert found["e2l_failures", "not_finite"] == 2
    assert found["e2l_failures", "time_limit"] == 0
    assert found["e2l_generations_total",] == 100
    assert found["e2l_evaluations_asked_total",] == 80
    assert found["e2l_evaluations_cached_total",] == 20
    assert found["e2l_evaluations_pruned_total",] == 6
    assert found["e2l_queue_messages",] == 0
    assert 0 < found["e2l_event_seconds",] < 1
    assert found["e2l_up", "database"] == found["e2l_up", "broker"] == 1


def test_metrics_take_few_queries(client, with_broker, busy_site, django_assert_max_num_queries):
    with django_assert_max_num_queries(6):
        client.get("/metrics")


def test_metrics_without_broker_tell_the_rest(client, without_broker, busy_site):
    found = metrics_of(client.get("/metrics"))
    assert found["e2l_up", "broker"] == 0
    assert ("e2l_queue_messages",) not in found
    assert found["e2l_runs", "running"] == 2


@pytest.mark.django_db
def test_metrics_without_database_tell_the_rest(client, with_broker):
    def refuse(execute, sql, params, many, context):
        raise OperationalError("away")

    with connection.execute_wrapper(refuse):
        found = metrics_of(client.get("/metrics"))
    assert found["e2l_up", "database"] == 0
    assert found["e2l_queue_messages",] == 0
    assert ("e2l_runs", "running") not in found


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer ü"}]
)
def test_a_token_is_asked_of_everybody_once_there_is_one(client, settings, headers):
    settings.METRICS_TOKEN = "a-long-enough-token"
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert b"e2l_" not in response.content


@pytest.mark.django_db
def test_the_token_opens_from_elsewhere(settings, with_broker):
    settings.METRICS_TOKEN = "a-long-enough-token"
    elsewhere = Client(REMOTE_ADDR="10.0.0.7")
    headers = {"authorization": "Bearer a-long-enough-token"}
    assert elsewhere.get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("address", "forwarded", "proxy"),
    [
        ("10.0.0.7", {}, None),
        # A proxy on this machine that does not tell for whom it asks in a way that we trust.
        ("127.0.0.1", {"x-forwarded-for": "10.0.0.7"}, None),
        ("127.0.0.1", {}, ("HTTP_X_FORWARDED_PROTO", "https")),
    ],
    ids=["elsewhere", "forwarded", "behind a proxy"],
)
def test_without_a_token_only_this_machine_may_read_metrics(settings, address, forwarded, proxy):
    settings.SECURE_PROXY_SSL_HEADER = proxy
    response = Client(REMOTE_ADDR=address).get("/metrics", headers=forwarded)
    assert response.status_code == 401
