"""News of experiments for the open pages of a process: heard once, encoded once.

Each experiment that a page of this event loop shows has one membership of its group of the channel
layer. What is heard there goes to the pages as it goes over the wire, so that a hundred pages of
one experiment cost little more than one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from evolution.events import group_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from evolution.serializers import GenerationMessage

logger = logging.getLogger(__name__)

#: Generations that come sooner than this after others wait and leave together, in s.
WINDOW_S = 0.15
#: News that may wait for a page that does not take them; beyond, it asks the database.
BACKLOG = 30
#: Pause after a failure of the reading, in s.
RESTART_S = 1.0


def encode(kind: str, data: Any) -> str:
    """Return a message to a page as it is sent."""
    return json.dumps({"type": kind, "data": data}, separators=(",", ":"))


@dataclass(frozen=True)
class Generations:
    """Generations that were announced, of one run or several, ascending.

    Attributes
    ----------
    rows : sequence of GenerationMessage
    text : str
        All of them as they are sent.
    before : mapping of int to int or None
        Last generation of each run that a page has which misses exactly these; None where they
        have a gap or a repetition themselves.
    after : mapping of int to int
        Last generation of each run that it has then.
    """

    rows: Sequence[GenerationMessage]
    text: str
    before: Mapping[int, int] | None
    after: Mapping[int, int]

    @classmethod
    def of(cls, rows: Sequence[GenerationMessage]) -> Generations:
        """Encode rows."""
        before: dict[int, int] = {}
        after: dict[int, int] = {}
        is_regular = True
        for row in rows:
            run, generation = row["run"], row["generation"]
            before.setdefault(run, generation - 1)
            is_regular &= after.get(run, before[run]) == generation - 1
            after[run] = generation
        return cls(rows, encode("generations", rows), before if is_regular else None, after)

    def continues(self, cursors: Mapping[int, int]) -> bool:
        """Return whether a page with these cursors misses exactly these generations."""
        return self.before is not None and all(
            cursors.get(run, -1) == last for run, last in self.before.items()
        )


@dataclass(frozen=True)
class State:
    """Where an experiment stands, as it is sent."""

    text: str


#: None: something was missed, only the database knows what.
News: TypeAlias = Generations | State | None


class Follower:
    """What one page has still to be told. Telling it takes no time, whatever the page does."""

    def __init__(self) -> None:
        self._news: asyncio.Queue[News] = asyncio.Queue(BACKLOG)

    def tell(self, news: News) -> None:
        """Add something; a page that has fallen too far behind has missed all instead."""
        if self._news.full():
            while not self._news.empty():
                self._news.get_nowait()
            news = None
        self._news.put_nowait(news)

    async def next(self) -> News:
        """Wait for the next."""
        return await self._news.get()


class _Feed:
    """The membership of one experiment's group, while there is somebody to be told."""

    def __init__(self, experiment_id: int) -> None:
        self.followers: set[Follower] = set()
        self._group = group_name(experiment_id)
        # Joining and leaving take time: those who come meanwhile wait until it is done.
        self._changing = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._waiting: list[GenerationMessage] = []
        self._window: asyncio.TimerHandle | None = None

    async def join(self) -> None:
        """Be a member of the group when this returns."""
        async with self._changing:
            if self._reading is None:
                layer = get_channel_layer()
                channel = await layer.new_channel()
                await layer.group_add(self._group, channel)
                self._reading = asyncio.create_task(self._read(layer, channel))

    async def leave(self) -> None:
        """Leave the group unless there are followers."""
        async with self._changing:
            if self._reading is None or self.followers:
                return
            reading, self._reading = self._reading, None
            reading.cancel()
            # A broker that is away right now has nobody in the group anyway.
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, layer: Any, channel: str) -> None:
        try:
            while True:
                try:
                    self._take(await layer.receive(channel))
                except Exception:
                    logger.exception("News of %s were lost", self._group)
                    await asyncio.sleep(RESTART_S)
                    self._tell(None)
        finally:
            await layer.group_discard(self._group, channel)

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "experiment.generations":
            self._waiting += event["data"]
            if self._window is None:
                self._pass_on()
        elif event["type"] == "experiment.state":
            # What happened before it is told before it.
            if self._waiting:
                self._pass_on()
            self._tell(State(encode("experiment", event["data"])))
        else:
            raise ValueError(f"unknown news: {event['type']}")

    def _pass_on(self) -> None:
        """Tell what waits. What comes soon after it waits, too."""
        if self._window is not None:
            self._window.cancel()
            self._window = None
        if self._waiting:
            rows, self._waiting = self._waiting, []
            self._window = asyncio.get_running_loop().call_later(WINDOW_S, self._pass_on)
            self._tell(Generations.of(rows))

    def _tell(self, news: News) -> None:
        for follower in self.followers:
            follower.tell(news)


#: By event loop, to which tasks and channels belong.
_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, _Feed]] = WeakKeyDictionary()


@asynccontextmanager
async def following(experiment_id: int) -> AsyncIterator[Follower]:
    """Follow an experiment: what is announced from now on comes to the follower."""
    feeds = _feeds.setdefault(asyncio.get_running_loop(), {})
    feed = feeds.setdefault(experiment_id, _Feed(experiment_id))
    follower = Follower()
    feed.followers.add(follower)
    try:
        await feed.join()
        yield follower
    finally:
        feed.followers.remove(follower)
        await feed.leave()
        if not feed.followers and feeds.get(experiment_id) is feed:
            del feeds[experiment_id]
