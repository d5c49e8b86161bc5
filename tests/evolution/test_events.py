"""Announcements arrive through a real broker, and a broker that is missing hurts nobody."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import get_channel_layer

from evolution import events

if TYPE_CHECKING:
    from evolution.serializers import GenerationMessage

MESSAGE: GenerationMessage = {
    "run": 1,
    "generation": 7,
    "fitness": -1.5,
    "is_improvement": False,
    "n_evaluations": 4,
    "n_cached": 1,
}


def layer(url: str) -> dict[str, Any]:
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [url], "prefix": "test"},
        }
    }


@pytest.fixture(autouse=True)
def _own_sender() -> Any:
    events._sender.cache_clear()
    yield
    events._sender.cache_clear()


@pytest.mark.integration
def test_a_page_hears_of_generations_at_once(valkey: str, settings: Any) -> None:
    settings.CHANNEL_LAYERS = layer(valkey)

    async def listen() -> tuple[list[dict[str, Any]], list[float]]:
        channel_layer = get_channel_layer()
        channel = await channel_layer.new_channel()
        await channel_layer.group_add(events.group_name(3), channel)
        received, delays = [], []
        for generation in range(20):
            start = time.perf_counter()
            await asyncio.to_thread(
                events.announce_generations, 3, [MESSAGE | {"generation": generation}]
            )
            received.append(await asyncio.wait_for(channel_layer.receive(channel), 5))
            delays.append(time.perf_counter() - start)
            await asyncio.to_thread(events.announce_generations, 4, [MESSAGE])
        return received, delays

    received, delays = asyncio.run(listen())
    assert received == [
        {"type": "experiment.generations", "data": [MESSAGE | {"generation": generation}]}
        for generation in range(20)
    ]
    assert sorted(delays)[10] < 0.1


@pytest.mark.integration
def test_a_forked_process_announces_as_well(valkey: str, settings: Any) -> None:
    settings.CHANNEL_LAYERS = layer(valkey)
    events.announce_generations(3, [MESSAGE])

    async def listen() -> dict[str, Any]:
        channel_layer = get_channel_layer()
        channel = await channel_layer.new_channel()
        await channel_layer.group_add(events.group_name(3), channel)
        has_arrived, say_so = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(say_so)
            events.announce_generations(3, [MESSAGE | {"generation": 99}])
            # A thread sends it, which must not end before.
            os.read(has_arrived, 1)
            os._exit(0)
        try:
            return await asyncio.wait_for(channel_layer.receive(channel), 5)
        finally:
            os.close(say_so)
            os.waitpid(child, 0)
            os.close(has_arrived)

    assert [row["generation"] for row in asyncio.run(listen())["data"]] == [99]


def test_a_missing_broker_is_logged_and_costs_little(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHANNEL_LAYERS = layer("redis://127.0.0.1:1/0")
    events.announce_generations(3, [MESSAGE])
    start = time.perf_counter()
    for _ in range(50):
        events.announce_generations(3, [MESSAGE])
    assert time.perf_counter() - start < 1.0
    time.sleep(0.2)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Open pages are not told" in caplog.text
