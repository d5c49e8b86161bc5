"""The live connection: who may use it, and that no page ever misses a generation."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import Client

from e2l_site.routing import websocket_application
from evolution import consumers, events, selectors
from evolution.consumers import parse_hello
from evolution.enums import ExperimentState, Role, Visibility
from evolution.events import group_name
from evolution.models import Experiment
from evolution.services import accounts, sharing
from tests.evolution.histories import add_generations, add_typical_history, finish, make_experiment

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _channel_layer(settings, valkey):
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [valkey]},
        }
    }


@pytest.fixture
def experiment() -> Experiment:
    experiment = make_experiment(n_runs=2)
    add_typical_history(experiment.runs.get(index=0))
    return experiment


@pytest.fixture
def cookie(client, django_user_model) -> str:
    client.force_login(django_user_model.objects.create_user("ann"))
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


class Page(ApplicationCommunicator):
    """A WebSocket to the real application, as a browser opens it.

    Channels has such a helper, which imports the server daphne; we serve with another one.
    """

    def __init__(self, experiment_id: int, cookie: str, **headers: str) -> None:
        values = {"host": "localhost:8000", "origin": "http://localhost:8000", "cookie": cookie}
        values.update(headers)
        scope = {
            "type": "websocket",
            "path": f"/ws/experiments/{experiment_id}/",
            "query_string": b"",
            "headers": [(key.encode(), value.encode()) for key, value in values.items() if value],
            "subprotocols": [],
        }
        super().__init__(websocket_application, scope)

    async def connect(self) -> bool:
        """Return whether the connection was accepted."""
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(timeout=5))["type"] == "websocket.accept"

    async def send_json(self, message: dict) -> None:
        await self.send_input({"type": "websocket.receive", "text": json.dumps(message)})

    async def receive_json(self) -> dict:
        output = await self.receive_output(timeout=5)
        assert output["type"] == "websocket.send"
        return json.loads(output["text"])

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(timeout=5)


async def say_hello(page: Page, cursors: dict | None = None) -> list[dict]:
    """Say hello and return all answers up to "caught-up"."""
    await page.send_json({"type": "hello", "cursors": cursors or {}})
    answers = []
    while not answers or answers[-1]["type"] != "caught-up":
        answers.append(await page.receive_json())
    return answers


def rows_of(answers: list[dict]) -> list[tuple[int, int]]:
    return [
        (row["run"], row["generation"])
        for answer in answers
        if answer["type"] == "generations"
        for row in answer["data"]
    ]


def message(run_id: int, generation: int, fitness: float = -1.0) -> dict:
    row = {
        "run": run_id,
        "generation": generation,
        "fitness": fitness,
        "is_improvement": False,
        "n_evaluations": 4,
        "n_cached": 0,
    }
    return {"type": "experiment.generation", "data": row}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [
        {"cookie": ""},
        {"cookie": "e2l_session=forged"},
        {"origin": "http://evil.example.org"},
        {"origin": "http://localhost:9999"},
        {"origin": "http://evil.example.org", "host": "evil.example.org"},
        {"origin": ""},
        {"origin": "null"},
    ],
    ids=str,
)
async def test_strangers_and_foreign_pages_are_refused(experiment, cookie, headers):
    page = Page(experiment.pk, **{"cookie": cookie, **headers})
    assert not await page.connect()


@pytest.mark.asyncio
async def test_an_unknown_experiment_is_refused(cookie):
    assert not await Page(4711, cookie).connect()


@pytest.mark.asyncio
async def test_a_page_opened_late_gets_the_complete_history(experiment, cookie):
    page = Page(experiment.pk, cookie)
    assert await page.connect()
    answers = await say_hello(page)
    run = await experiment.runs.aget(index=0)
    assert rows_of(answers) == [(run.pk, generation) for generation in range(20)]
    assert [answer["type"] for answer in answers] == ["generations", "experiment", "caught-up"]
    state = answers[-2]["data"]
    assert (state["state"], state["n_generations"]) == ("running", 100)
    with_rule = [row["generation"] for row in answers[0]["data"] if "rule" in row]
    assert with_rule == [0, 5, 10, 15]
    assert answers[0]["data"][15]["rule"]["text"] == ["(v - u)*s"]
    await page.disconnect()


@pytest.mark.asyncio
async def test_a_long_history_comes_in_pages(experiment, cookie, monkeypatch):
    monkeypatch.setattr(consumers, "PAGE_SIZE", 7)
    page = Page(experiment.pk, cookie)
    await page.connect()
    answers = await say_hello(page)
    assert [len(a["data"]) for a in answers if a["type"] == "generations"] == [7, 7, 6]
    assert [generation for _, generation in rows_of(answers)] == list(range(20))
    await page.disconnect()


@pytest.mark.asyncio
async def test_a_page_that_reconnects_gets_only_what_it_misses(experiment, cookie):
    run = await experiment.runs.aget(index=0)
    page = Page(experiment.pk, cookie)
    await page.connect()
    answers = await say_hello(page, {str(run.pk): 17})
    assert rows_of(answers) == [(run.pk, 18), (run.pk, 19)]
    await page.disconnect()


@pytest.mark.asyncio
async def test_events_are_forwarded_once_and_gaps_filled_from_the_database(experiment, cookie):
    run = await experiment.runs.aget(index=0)
    page = Page(experiment.pk, cookie)
    await page.connect()
    await say_hello(page, {str(run.pk): 19})
    layer = get_channel_layer()

    await layer.group_send(group_name(experiment.pk), message(run.pk, 19))  # known: dropped
    await layer.group_send(group_name(experiment.pk), message(run.pk, 20, -0.5))
    answer = await page.receive_json()
    assert answer == {"type": "generations", "data": [message(run.pk, 20, -0.5)["data"]]}

    await sync_to_async(add_generations)(run, [(None, -11.5)] * 4)  # 20 to 23
    await layer.group_send(group_name(experiment.pk), message(run.pk, 23))
    answer = await page.receive_json()
    assert rows_of([answer]) == [(run.pk, 21), (run.pk, 22), (run.pk, 23)]
    assert await page.receive_nothing(timeout=0.1)
    await page.disconnect()


@pytest.mark.asyncio
async def test_events_of_other_experiments_and_before_the_hello_are_not_sent(experiment, cookie):
    other = await sync_to_async(make_experiment)()
    run = await experiment.runs.aget(index=0)
    page = Page(experiment.pk, cookie)
    await page.connect()
    layer = get_channel_layer()
    await layer.group_send(group_name(experiment.pk), message(run.pk, 20))
    assert await page.receive_nothing(timeout=0.1)
    await say_hello(page, {str(run.pk): 19})
    foreign_run = await other.runs.aget(index=0)
    await layer.group_send(group_name(other.pk), message(foreign_run.pk, 0))
    assert await page.receive_nothing(timeout=0.1)
    await page.disconnect()


@pytest.mark.asyncio
async def test_what_workers_announce_arrives(experiment, cookie):
    run = await experiment.runs.aget(index=0)
    page = Page(experiment.pk, cookie)
    await page.connect()
    await say_hello(page, {str(run.pk): 19})
    await sync_to_async(finish)(experiment, ExperimentState.STOPPED)
    announced = await sync_to_async(selectors.experiment_message)(experiment)
    await sync_to_async(events.announce_generation)(experiment.pk, message(run.pk, 20)["data"])
    await sync_to_async(events.announce_state)(experiment.pk, announced)
    assert rows_of([await page.receive_json()]) == [(run.pk, 20)]
    answer = await page.receive_json()
    assert (answer["type"], answer["data"]["state"]) == ("experiment", "stopped")
    await page.disconnect()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"type": "hello"}', '{"type": "drop"}', "[" * 10_000]
)
async def test_anything_but_a_hello_closes_the_connection(experiment, cookie, text):
    page = Page(experiment.pk, cookie)
    await page.connect()
    await page.send_input({"type": "websocket.receive", "text": text})
    closed = await page.receive_output(timeout=5)
    assert closed == {"type": "websocket.close", "code": consumers.BAD_MESSAGE}


@pytest.mark.parametrize(
    ("cursors", "expected"),
    [
        ({}, {}),
        ({"3": 5, "4": -1}, {3: 5, 4: -1}),
        ({"3": "5"}, None),
        ({"3": 1.5}, None),
        ({"3": True}, None),
        ({"3": -2}, None),
        ({"3": 2**40}, None),
        ({"x": 1}, None),
        ([1], None),
    ],
)
def test_parse_hello_takes_cursors_by_run_and_nothing_else(cursors, expected):
    assert parse_hello(json.dumps({"type": "hello", "cursors": cursors})) == expected


def test_parse_hello_refuses_binary_messages():
    assert parse_hello(None) is None


# --- permissions --------------------------------------------------------------------------------


@pytest.fixture
def private(experiment, django_user_model) -> Experiment:
    experiment.owner = django_user_model.objects.create_user("owner")
    experiment.visibility = Visibility.PRIVATE
    experiment.save()
    return experiment


def cookie_of(client: Client) -> str:
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


@sync_to_async
def cookies(experiment: Experiment) -> dict[str, str]:
    """Return the cookies of everybody who may come to a private experiment, or not."""
    clients = {
        name: Client() for name in ("nobody", "guest", "viewer", "member", "owner", "operator")
    }
    for name, role in (("viewer", "viewer"), ("member", "member"), ("operator", "operator")):
        clients[name].force_login(accounts.create_account(name, Role(role), by=None))
    clients["owner"].force_login(experiment.owner)
    _, secret = sharing.create_link(experiment, by=None)
    clients["guest"].get(f"/shared/{secret}/")
    return {name: cookie_of(client) for name, client in clients.items()}


@pytest.mark.asyncio
@pytest.mark.parametrize("is_public", [False, True])
@pytest.mark.parametrize("visibility", list(Visibility))
async def test_only_readers_of_an_experiment_get_in(private, settings, visibility, is_public):
    settings.E2L_PUBLIC = is_public
    await Experiment.objects.filter(pk=private.pk).aupdate(visibility=visibility)
    found = {}
    for name, cookie in (await cookies(private)).items():
        page = Page(private.pk, cookie)
        found[name] = await page.connect()
        await page.disconnect()
    is_shared = visibility == Visibility.LABORATORY
    assert found == {
        "nobody": is_shared and is_public,
        "guest": True,
        "viewer": is_shared,
        "member": is_shared,
        "owner": True,
        "operator": True,
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", ["hidden", "revoked", "signed out", "deactivated"])
async def test_an_open_connection_ends_when_its_reader_may_not_read_any_more(
    private, monkeypatch, reason
):
    monkeypatch.setattr(consumers, "RECHECK_S", 0.0)
    person = {"hidden": "member", "revoked": "guest"}.get(reason, "owner")
    if reason == "hidden":
        await Experiment.objects.filter(pk=private.pk).aupdate(visibility=Visibility.LABORATORY)
    page = Page(private.pk, (await cookies(private))[person])
    assert await page.connect()
    await say_hello(page)
    if reason == "hidden":
        await Experiment.objects.filter(pk=private.pk).aupdate(visibility=Visibility.PRIVATE)
    elif reason == "revoked":
        await private.share_links.aupdate(revoked_at=private.created_at)
    elif reason == "signed out":
        await Session.objects.all().adelete()
    else:
        await get_user_model().objects.filter(username="owner").aupdate(is_active=False)
    run = await private.runs.afirst()
    await get_channel_layer().group_send(group_name(private.pk), message(run.pk, 99))
    output = await page.receive_output(timeout=5)
    assert (output["type"], output["code"]) == ("websocket.close", consumers.NOT_ALLOWED)
