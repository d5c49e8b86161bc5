"""The live connection: who may use it, and that no page ever misses a generation."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import Client

from evolution import consumers, events, selectors
from evolution.consumers import parse_hello
from evolution.enums import ExperimentState, ProbeKind, ProbeState, Role, Visibility
from evolution.events import group_name
from evolution.models import Experiment, Probe
from evolution.services import accounts, notes, probes, sharing
from evolution.services.control import stop_experiment
from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from tests.evolution.histories import add_generations, add_typical_history, finish, make_experiment
from tests.evolution.live_pages import Page, message, rows_of, say_hello
from tests.evolution.regression_task import NAME

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _channel_layer(settings, valkey):
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [valkey]},
        }
    }


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    """Experiments of one test have the numbers of those of another one."""
    for name, read in (
        ("messages", consumers.experiment_message),
        ("parts", consumers.read_parts),
        ("known", consumers.known_message),
    ):
        monkeypatch.setattr(consumers, name, consumers.Recent(read, 60.0))


@pytest.fixture
def experiment() -> Experiment:
    experiment = make_experiment(n_runs=2)
    add_typical_history(experiment.runs.get(index=0))
    return experiment


@pytest.fixture
def cookie(client, django_user_model) -> str:
    client.force_login(django_user_model.objects.create_user("ann"))
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


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
        {"origin": "http://["},
        {"origin": "\xff"},
        {"host": "["},
        {"cookie": 'e2l_session="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\000"'},
    ],
    ids=str,
)
async def test_strangers_and_foreign_pages_are_refused(experiment, cookie, headers):
    page = Page(experiment.pk, **{"cookie": cookie, **headers})
    assert not await page.connect()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "pk"),
    [("experiments", 4711), ("experiments", 2**63), ("simulations", 10**30), ("flights", 1)],
)
async def test_what_is_not_there_is_refused(cookie, kind, pk):
    page = Page(pk, cookie, kind=kind)
    assert not await page.connect()
    await page.disconnect()


@pytest.mark.asyncio
async def test_a_page_opened_late_gets_the_complete_history(experiment, cookie):
    page = Page(experiment.pk, cookie)
    assert await page.connect()
    answers = await say_hello(page)
    run = await experiment.runs.aget(index=0)
    assert rows_of(answers) == [(run.pk, generation) for generation in range(20)]
    types = [answer["type"] for answer in answers]
    assert types == ["generations", "experiment", "parts", "caught-up"]
    state = answers[1]["data"]
    assert (state["state"], state["n_generations"]) == ("running", 100)
    with_rule = [row["generation"] for row in answers[0]["data"] if "rule" in row]
    assert with_rule == [0, 5, 10, 15]
    assert answers[0]["data"][15]["rule"]["text"] == ["(v - u)*s"]
    await page.disconnect()


@pytest.mark.asyncio
async def test_the_parts_that_the_server_writes_come_when_they_change(
    experiment, client, cookie, monkeypatch
):
    path = experiment.get_absolute_url()
    shown = (await sync_to_async(client.get)(path)).content.decode()
    page = Page(experiment.pk, cookie)
    await page.connect()
    (parts,) = [item["data"] for item in await say_hello(page) if item["type"] == "parts"]
    runs = experiment.runs.order_by("index")
    asked = [n async for n in runs.values_list("n_evaluations", flat=True)]
    assert f'data-figure="asked">{sum(asked)}<' in parts["figures"]
    assert f'data-digest="{parts["records"]}"' in shown
    # As a page gets them that asks for them itself.
    asked_for = await sync_to_async(client.get)(f"{path}figures/")
    assert parts["figures"] == asked_for.content.decode()

    monkeypatch.setattr(consumers, "parts", consumers.Recent(consumers.read_parts, 0.0))
    assert "parts" not in [item["type"] for item in await say_hello(page)]
    await experiment.runs.filter(index=0).aupdate(n_evaluations=999)
    (changed,) = [item["data"] for item in await say_hello(page) if item["type"] == "parts"]
    assert f'data-figure="asked">{999 + asked[1]}<' in changed["figures"]
    assert changed["records"] == parts["records"]
    await sync_to_async(stop_experiment)(experiment)
    (stopped,) = [item["data"] for item in await say_hello(page) if item["type"] == "parts"]
    assert stopped["records"] != parts["records"]
    await page.disconnect()


@pytest.mark.asyncio
async def test_pages_share_what_was_read_but_for_the_first_hello_and_after_a_change(
    experiment, client, cookie
):
    run = await experiment.runs.aget(index=0)
    first, second = Page(experiment.pk, cookie), Page(experiment.pk, cookie)
    await first.connect()
    await say_hello(first, {str(run.pk): 19})
    await sync_to_async(add_generations)(run, [(None, -11.5)])  # 20, and nobody says so
    # What was read just now is good enough for a page that says again that it is there,
    assert rows_of(await say_hello(first, {str(run.pk): 19})) == []
    # not for one that is new; from then on all know it.
    await second.connect()
    assert rows_of(await say_hello(second, {str(run.pk): 19})) == [(run.pk, 20)]
    assert rows_of(await say_hello(first, {str(run.pk): 19})) == [(run.pk, 20)]
    await sync_to_async(add_generations)(run, [(None, -11.5)])  # 21
    await experiment.runs.filter(index=0).aupdate(n_evaluations=999)
    await sync_to_async(finish)(experiment, ExperimentState.STOPPED)
    announced = await sync_to_async(selectors.experiment_message)(experiment)
    await sync_to_async(events.announce_state)(experiment.pk, announced)
    assert (await first.receive_json())["data"]["state"] == "stopped"
    # A page that was told of the end makes sure that it has everything.
    answers = await say_hello(first, {str(run.pk): 20})
    assert rows_of(answers) == [(run.pk, 21)]
    assert [a["data"]["state"] for a in answers if a["type"] == "experiment"] == ["stopped"]
    # Nor do the figures stay those of before: it will not ask again.
    (parts,) = [answer["data"] for answer in answers if answer["type"] == "parts"]
    asked_for = await sync_to_async(client.get)(f"{experiment.get_absolute_url()}figures/")
    assert parts["figures"] == asked_for.content.decode()
    await first.disconnect()
    await second.disconnect()


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
    assert answer == {"type": "generations", "data": message(run.pk, 20, -0.5)["data"]}

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
    await sync_to_async(events.announce_generations)(experiment.pk, message(run.pk, 20)["data"])
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


@pytest.mark.asyncio
async def test_a_page_with_a_new_champion_hears_whether_it_is_a_known_rule(experiment, cookie):
    run = await sync_to_async(experiment.runs.get)(index=1)
    same = "The best rule is this one, up to a positive factor."
    for text, fitness, is_known in (("v*s", -1.5, False), ("2*s*v - 2*s*u", -1.25, True)):
        await sync_to_async(add_generations)(run, [(text, fitness)])
        champion = await sync_to_async(selectors.champion)(experiment)
        page = Page(experiment.pk, cookie)
        assert await page.connect()
        assert "known" not in {answer["type"] for answer in await say_hello(page)}
        consumers.known._known.clear()
        await page.send_json({"type": "hello", "cursors": {}, "known": True})
        answer = await page.receive_json()
        while answer["type"] != "known":
            answer = await page.receive_json()
        assert answer["data"]["rule"] == champion.rule_id
        assert (same in answer["data"]["html"]) == is_known
        assert (await page.receive_json())["type"] == "caught-up"
        await page.disconnect()


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
    hello = parse_hello(json.dumps({"type": "hello", "cursors": cursors}))
    assert hello == (None if expected is None else (expected, False))


@pytest.mark.parametrize(("said", "expected"), [(True, True), (False, False), (1, False)])
def test_parse_hello_takes_whether_the_champion_is_new(said, expected):
    hello = parse_hello(json.dumps({"type": "hello", "cursors": {}, "known": said}))
    assert hello == ({}, expected)


def test_parse_hello_refuses_binary_messages():
    assert parse_hello(None) is None


# --- simulations on demand ----------------------------------------------------------------------


@pytest.fixture
def probe() -> Probe:
    task = get_learning_task(NAME)
    rule = PlasticityRule.parse(task.signature, ["v*s"]).canonical()
    question = probes.Question(
        digest="held out",
        kind=ProbeKind.HELD_OUT,
        learning_task_name=NAME,
        preset="demo",
        task_parameters=task.presets["demo"]
        .task_parameters.with_changes({"n_trials": 3})
        .to_mapping(),
        seed=1,
        n_steps=3,
        estimated_s=0.1,
        figure={"rules": [{"name": "own", "expressions": ["v*s"]}]},
    )
    return probes.ask(question, notes.add_to_catalogue(rule), owner=None)


@pytest.mark.asyncio
async def test_a_simulation_is_followed_without_asking(probe, cookie):
    page = Page(probe.pk, cookie, kind="simulations")
    assert await page.connect()
    # What has changed between the page and its connection is not missed.
    assert await page.receive_json() == {"type": "changed"}
    assert await page.receive_nothing(timeout=0.1)
    await sync_to_async(probes.run_probe)(probe.pk, worker="a")
    # Begun, each trial, and the result.
    for _ in range(1 + probe.n_steps + 1):
        assert await page.receive_json() == {"type": "changed"}
    assert await page.receive_nothing(timeout=0.1)
    await page.disconnect()


@pytest.mark.asyncio
async def test_the_end_of_a_simulation_that_was_given_up_is_told(probe, cookie):
    page = Page(probe.pk, cookie, kind="simulations")
    await page.connect()
    await page.receive_json()
    await Probe.objects.filter(pk=probe.pk).aupdate(attempts=probes.MAX_ATTEMPTS)
    await sync_to_async(probes.send_again)()
    assert await page.receive_json() == {"type": "changed"}
    await probe.arefresh_from_db()
    assert probe.state == ProbeState.FAILED
    await page.disconnect()


@pytest.mark.asyncio
@pytest.mark.parametrize("headers", [{"cookie": ""}, {"origin": "http://evil.example.org"}])
async def test_strangers_do_not_follow_simulations(probe, cookie, headers):
    page = Page(probe.pk, **{"cookie": cookie, **headers}, kind="simulations")
    assert not await page.connect()


@pytest.mark.asyncio
async def test_a_page_has_nothing_to_say_to_a_simulation(probe, cookie):
    assert not await Page(4711, cookie, kind="simulations").connect()
    page = Page(probe.pk, cookie, kind="simulations")
    await page.connect()
    await page.receive_json()
    await page.send_json({"type": "hello"})
    closed = await page.receive_output(timeout=5)
    assert closed == {"type": "websocket.close", "code": consumers.BAD_MESSAGE}


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
@pytest.mark.parametrize("reason", ["hidden", "revoked", "signed out", "expired", "deactivated"])
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
    elif reason == "expired":
        await Session.objects.aupdate(expire_date=private.created_at)
    else:
        await get_user_model().objects.filter(username="owner").aupdate(is_active=False)
    run = await private.runs.afirst()
    await get_channel_layer().group_send(group_name(private.pk), message(run.pk, 99))
    output = await page.receive_output(timeout=5)
    assert (output["type"], output["code"]) == ("websocket.close", consumers.NOT_ALLOWED)
