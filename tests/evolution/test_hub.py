"""One membership for all pages of a process: what it must not lose, and whom it must not delay."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import redis
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from evolution import consumers, events, hub, selectors
from evolution.enums import ExperimentState
from evolution.events import group_name
from evolution.hub import Generations
from evolution.models import Run
from tests.evolution.histories import add_generations, add_typical_history, finish, make_experiment
from tests.evolution.live_pages import Page, message, rows_of, say_hello
from tests.servers import Broker, open_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evolution.models import Experiment

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


def use(settings: Any, url: str) -> str:
    """Let the channel layer use a broker; returns what its channels' names begin with."""
    # What pages of other tests have left behind does not count.
    prefix = f"test{uuid.uuid4().hex}"
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [url], "prefix": prefix},
        }
    }
    events._sender.cache_clear()
    return prefix


@pytest.fixture
def prefix(settings, valkey) -> Iterator[str]:
    yield use(settings, valkey)
    events._sender.cache_clear()


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(consumers, "messages", consumers.Recent(consumers.experiment_message, 60.0))
    monkeypatch.setattr(consumers, "parts", consumers.Recent(consumers.read_parts, 60.0))


@pytest.fixture
def experiment() -> Experiment:
    """Two runs, each of 20 generations."""
    experiment = make_experiment(n_runs=2)
    for run in experiment.runs.all():
        add_typical_history(run)
    return experiment


@pytest.fixture
def runs(experiment) -> list[Run]:
    return list(experiment.runs.order_by("index"))


@pytest.fixture
def cookie(client, django_user_model) -> str:
    client.force_login(django_user_model.objects.create_user("ann"))
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


async def open_page(experiment: Experiment, cookie: str, kind: type[Page] = Page) -> Page:
    """Open a page that has everything."""
    page = kind(experiment.pk, cookie)
    assert await page.connect()
    await say_hello(
        page, {str(pk): 19 async for pk in experiment.runs.values_list("pk", flat=True)}
    )
    return page


async def announce(experiment: Experiment, *rows: tuple[Run, int]) -> None:
    data = [row for run, generation in rows for row in message(run.pk, generation)["data"]]
    event = {"type": "experiment.generations", "data": data}
    await get_channel_layer().group_send(group_name(experiment.pk), event)


async def receive_rows(page: Page, n: int) -> list[tuple[int, int]]:
    """Return the next generations, at least so many."""
    rows: list[tuple[int, int]] = []
    while len(rows) < n:
        rows += rows_of([await page.receive_json()])
    return rows


@sync_to_async
def write(run: Run, n: int = 1) -> None:
    add_generations(run, [(None, -11.5)] * n)


# --- membership -----------------------------------------------------------------------------------


async def wait_for_channels(url: str, prefix: str, n_groups: int, n_others: int) -> None:
    """Wait until the broker knows so many subscriptions."""
    with redis.Redis.from_url(url) as client:
        for _ in range(500):
            names = [name.decode() for name in client.pubsub_channels(f"{prefix}*")]
            groups = [name for name in names if "__group__" in name]
            if (len(groups), len(names) - len(groups)) == (n_groups, n_others):
                return
            await asyncio.sleep(0.02)
    raise AssertionError(names)


@pytest.mark.asyncio
async def test_pages_of_an_experiment_share_a_membership_that_ends_with_the_last(
    experiment, cookie, valkey, prefix
):
    other = await sync_to_async(make_experiment)()
    first, second = Page(experiment.pk, cookie), Page(experiment.pk, cookie)
    third = Page(other.pk, cookie)
    for page in (first, second, third):
        assert await page.connect()
    await wait_for_channels(valkey, prefix, 2, 2)
    await first.disconnect()
    await third.disconnect()
    await wait_for_channels(valkey, prefix, 1, 1)
    await say_hello(second, {str(run.pk): 19 async for run in experiment.runs.all()})
    run = await experiment.runs.afirst()
    await announce(experiment, (run, 20))
    assert await receive_rows(second, 1) == [(run.pk, 20)]
    await second.disconnect()
    await wait_for_channels(valkey, prefix, 0, 0)
    assert hub._feeds[asyncio.get_running_loop()] == {}
    assert not any("_follow" in repr(task.get_coro()) for task in asyncio.all_tasks())


@pytest.mark.asyncio
async def test_a_connection_that_fails_leaves_as_well(experiment, cookie, valkey, prefix):
    page = Page(experiment.pk, cookie)
    assert await page.connect()
    await wait_for_channels(valkey, prefix, 1, 1)
    await page.send_input({"type": "websocket.unknown"})
    with pytest.raises(AttributeError):
        await page.wait(timeout=5)
    await wait_for_channels(valkey, prefix, 0, 0)


@pytest.mark.asyncio
async def test_who_follows_hears_all_however_many_come_and_go_meanwhile(valkey, prefix):
    is_over = False

    async def come_and_go(chance: random.Random) -> None:
        while not is_over:
            async with hub.following(7):
                await asyncio.sleep(chance.choice([0.0, 0.0, 0.001, 0.01]))
            await asyncio.sleep(chance.choice([0.0, 0.001, 0.02]))

    others = [asyncio.create_task(come_and_go(random.Random(seed))) for seed in range(3)]
    for generation in range(30):
        async with hub.following(7) as follower:
            await get_channel_layer().group_send(group_name(7), message(1, generation))
            async with asyncio.timeout(5):
                # What came before may still be on its way.
                while (await follower.next()).after[1] < generation:
                    pass
        await asyncio.sleep(0.01 * (generation % 2))
    is_over = True
    await asyncio.gather(*others)
    await wait_for_channels(valkey, prefix, 0, 0)


# --- each generation once, in order, without gaps -------------------------------------------------


@pytest.mark.asyncio
async def test_the_first_goes_at_once_and_what_follows_goes_together(
    experiment, runs, cookie, prefix, monkeypatch
):
    monkeypatch.setattr(hub, "WINDOW_S", 0.5)
    page = await open_page(experiment, cookie)
    started = time.monotonic()
    expected = []
    for generation in range(20, 30):
        for run in runs:
            expected.append((run.pk, generation))
            await announce(experiment, (run, generation))
    first = await page.receive_json()
    assert time.monotonic() - started < 0.4
    assert rows_of([first]) == expected[:1]
    assert rows_of([await page.receive_json()]) == expected[1:]
    assert 0.5 <= time.monotonic() - started < 0.9
    # After a quiet time, at once again.
    await asyncio.sleep(0.6)
    started = time.monotonic()
    await announce(experiment, (runs[0], 30), (runs[0], 31))
    assert rows_of([await page.receive_json()]) == [(runs[0].pk, 30), (runs[0].pk, 31)]
    assert time.monotonic() - started < 0.4
    await page.disconnect()


@pytest.mark.asyncio
async def test_a_change_of_state_comes_after_the_generations_before_it(
    experiment, runs, cookie, prefix, monkeypatch
):
    monkeypatch.setattr(hub, "WINDOW_S", 60.0)
    page = await open_page(experiment, cookie)
    for generation in (20, 21, 22):
        await announce(experiment, (runs[0], generation))
    await sync_to_async(finish)(experiment, ExperimentState.STOPPED)
    state = await sync_to_async(selectors.experiment_message)(experiment)
    await get_channel_layer().group_send(
        group_name(experiment.pk), {"type": "experiment.state", "data": state}
    )
    answers = [await page.receive_json() for _ in range(3)]
    assert rows_of(answers[:1]) == [(runs[0].pk, 20)]
    assert rows_of(answers[1:2]) == [(runs[0].pk, 21), (runs[0].pk, 22)]
    assert answers[2] == {"type": "experiment", "data": state}
    await page.disconnect()


@pytest.mark.asyncio
async def test_pages_that_know_some_of_the_rows_get_the_others(experiment, runs, cookie, prefix):
    has_all_but_two = await open_page(experiment, cookie)
    has_one_more = Page(experiment.pk, cookie)
    await has_one_more.connect()
    await say_hello(has_one_more, {str(runs[0].pk): 20, str(runs[1].pk): 19})
    await announce(experiment, (runs[0], 20), (runs[1], 20), (runs[0], 21))
    rows = [(runs[0].pk, 20), (runs[1].pk, 20), (runs[0].pk, 21)]
    assert await receive_rows(has_all_but_two, 3) == rows
    assert await receive_rows(has_one_more, 2) == rows[1:]
    await has_all_but_two.disconnect()
    await has_one_more.disconnect()


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(3))
async def test_every_page_gets_every_generation_once_and_in_order(
    experiment, runs, cookie, prefix, monkeypatch, seed
):
    monkeypatch.setattr(hub, "WINDOW_S", 0.02)
    chance = random.Random(seed)
    pages = [await open_page(experiment, cookie) for _ in range(4)]
    reached = dict.fromkeys(runs, 19)
    for _ in range(40):
        run = chance.choice(runs)
        new = chance.choice([1, 1, 1, 2, 3])
        await write(run, new)
        rows = [(run, reached[run] + 1 + i) for i in range(new)]
        reached[run] += new
        if chance.random() < 0.8:  # lost otherwise
            await announce(experiment, *rows)
        if chance.random() < 0.2:
            await announce(experiment, *rows)
        if chance.random() < 0.3:
            late = {str(run.pk): chance.randrange(15, 20) for run in runs}
            await pages[-1].send_json({"type": "hello", "cursors": late})
        await asyncio.sleep(chance.choice([0.0, 0.01, 0.03]))
    for run in runs:
        await write(run)
        reached[run] += 1
        await announce(experiment, (run, reached[run]))
    for page in pages[:-1]:
        rows = await receive_rows(page, sum(reached.values()) - 2 * 19)
        for run in runs:
            assert [generation for pk, generation in rows if pk == run.pk] == list(
                range(20, reached[run] + 1)
            )
        assert await page.receive_nothing(timeout=0.05)
    # A page that says again and again that it has less gets it again, but never with a gap.
    seen = {run.pk: 19 for run in runs}
    while seen != {run.pk: last for run, last in reached.items()}:
        for pk, generation in rows_of([await pages[-1].receive_json()]):
            assert generation <= seen[pk] + 1
            seen[pk] = max(seen[pk], generation)
    for page in pages:
        await page.disconnect()


@pytest.mark.parametrize(
    ("generations", "cursors", "continues"),
    [
        ([(1, 5)], {1: 4}, True),
        ([(1, 5)], {1: 5}, False),
        ([(1, 5)], {1: 3}, False),
        ([(1, 0)], {}, True),
        ([(1, 5), (2, 3), (1, 6)], {1: 4, 2: 2, 3: 9}, True),
        ([(1, 5), (2, 3), (1, 6)], {1: 4, 2: 1}, False),
        ([(1, 5), (1, 7)], {1: 4}, False),
        ([(1, 5), (1, 5)], {1: 4}, False),
    ],
)
def test_generations_know_whose_next_they_are(generations, cursors, continues):
    rows = [row for run, index in generations for row in message(run, index)["data"]]
    assert Generations.of(rows).continues(cursors) == continues


# --- pages that are slow or broken ----------------------------------------------------------------


class Socket(asyncio.Queue):
    """What an application sends to: takes so much, and can break."""

    error: Exception | None = None

    async def put(self, item: dict[str, Any]) -> None:
        if self.error is not None and item["type"] == "websocket.send":
            raise self.error
        await super().put(item)


class NarrowPage(Page):
    """A page whose connection takes one message; the next waits until that one is read."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._output_queue = Socket(maxsize=1)


@pytest.mark.asyncio
async def test_a_page_that_does_not_read_delays_nobody_and_catches_up_from_the_database(
    experiment, runs, cookie, prefix, monkeypatch
):
    monkeypatch.setattr(hub, "WINDOW_S", 0.0)
    monkeypatch.setattr(hub, "BACKLOG", 4)
    deaf = await open_page(experiment, cookie, NarrowPage)
    page = await open_page(experiment, cookie)
    for generation in range(20, 50):
        await write(runs[0])
        await announce(experiment, (runs[0], generation))
        assert await receive_rows(page, 1) == [(runs[0].pk, generation)]
    answers = [await deaf.receive_json()]
    while rows_of(answers)[-1] != (runs[0].pk, 49):
        answers.append(await deaf.receive_json())
    assert rows_of(answers) == [(runs[0].pk, generation) for generation in range(20, 50)]
    # Two that were on their way, at most four that wait, and all others at once.
    assert len(answers) <= 2 + 4 + 1
    # Where the experiment stands may have changed meanwhile, too.
    assert (await deaf.receive_json())["type"] == "experiment"
    await announce(experiment, (runs[0], 50))
    assert await receive_rows(deaf, 1) == [(runs[0].pk, 50)]
    await deaf.disconnect()
    await page.disconnect()


@pytest.mark.asyncio
async def test_news_that_come_while_a_hello_is_answered_wait_for_their_turn(
    experiment, runs, cookie, prefix, monkeypatch
):
    monkeypatch.setattr(consumers, "PAGE_SIZE", 4)
    page = NarrowPage(experiment.pk, cookie)
    await page.connect()
    await write(runs[0], 10)
    await page.send_json({"type": "hello", "cursors": {str(run.pk): 19 for run in runs}})
    async with asyncio.timeout(5):
        while not page.output_queue.full():
            await asyncio.sleep(0.01)
    # It was read that the experiment runs, and is not yet said.
    await sync_to_async(finish)(experiment, ExperimentState.STOPPED)
    state = await sync_to_async(selectors.experiment_message)(experiment)
    await sync_to_async(events.announce_state)(experiment.pk, state)
    await asyncio.sleep(0.2)
    answers = [await page.receive_json()]
    while len([1 for answer in answers if answer["type"] == "experiment"]) < 2:
        answers.append(await page.receive_json())
    assert rows_of(answers) == [(runs[0].pk, generation) for generation in range(20, 30)]
    kinds = ["generations"] * 3 + ["experiment", "parts", "caught-up", "experiment"]
    assert [answer["type"] for answer in answers] == kinds
    assert answers[-1]["data"]["state"] == "stopped"
    await page.disconnect()


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [OSError("the client is gone"), RuntimeError("broken")], ids=str)
async def test_a_broken_connection_hurts_no_other(experiment, runs, cookie, prefix, caplog, error):
    broken = await open_page(experiment, cookie, NarrowPage)
    page = await open_page(experiment, cookie)
    broken.output_queue.error = error
    for generation in range(20, 25):
        await announce(experiment, (runs[0], generation))
    rows = await receive_rows(page, 5)
    assert rows == [(runs[0].pk, generation) for generation in range(20, 25)]
    if isinstance(error, OSError):
        assert await broken.receive_nothing()
        assert caplog.records == []
    else:
        closed = await broken.receive_output(timeout=5)
        assert closed == {"type": "websocket.close", "code": consumers.FAILED}
        assert "cannot be told news" in caplog.text
    await broken.disconnect()
    await page.disconnect()


@pytest.mark.asyncio
async def test_what_cannot_be_read_is_logged_and_made_good_from_the_database(
    experiment, runs, cookie, prefix, monkeypatch, caplog
):
    monkeypatch.setattr(hub, "RESTART_S", 0.01)
    page = await open_page(experiment, cookie)
    await write(runs[0])
    for broken in ({"type": "experiment.generations", "data": None}, {"type": "experiment.else"}):
        await get_channel_layer().group_send(group_name(experiment.pk), broken)
    assert await receive_rows(page, 1) == [(runs[0].pk, 20)]
    assert caplog.text.count(f"News of {group_name(experiment.pk)} were lost") == 2
    await announce(experiment, (runs[0], 21))
    assert await receive_rows(page, 1) == [(runs[0].pk, 21)]
    await page.disconnect()


# --- a broker that is restarted -------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_pages_go_on_after_a_restart_of_the_broker(experiment, cookie, runs, settings, way):
    other = await sync_to_async(make_experiment)()
    with open_directory("e2l-hub-") as directory:
        broker = Broker(directory)
        await asyncio.to_thread(broker.start)
        try:
            prefix = use(settings, broker.url)
            pages = [await open_page(experiment, cookie) for _ in range(2)]
            await write(runs[0])
            await announce(experiment, (runs[0], 20))
            for page in pages:
                assert await receive_rows(page, 1) == [(runs[0].pk, 20)]

            await asyncio.to_thread(getattr(broker, way))
            await write(runs[0])  # 21, of which nobody can hear
            # A page of an experiment that others follow needs no broker.
            assert await Page(experiment.pk, cookie).connect()
            with pytest.raises(redis.ConnectionError):
                await Page(other.pk, cookie).connect()
            await asyncio.to_thread(broker.start)
            await wait_for_channels(broker.url, prefix, 1, 1)

            await write(runs[0])
            await announce(experiment, (runs[0], 22))
            for page in pages:
                rows = await receive_rows(page, 1)
                assert rows == [(runs[0].pk, 21), (runs[0].pk, 22)]
            pages.append(Page(other.pk, cookie))
            assert await pages[-1].connect()
            for page in pages:
                await page.disconnect()
            await wait_for_channels(broker.url, prefix, 0, 0)
        finally:
            events._sender.cache_clear()
            await asyncio.to_thread(broker.stop)
