"""The live connections of pages: to an experiment, and to a simulation on demand."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from channels.consumer import get_handler_name
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error

from evolution import access, hub, selectors
from evolution.events import probe_group_name
from evolution.models import Experiment, Probe
from evolution.services import sharing
from evolution.together import Together
from evolution.views.live_parts import Parts, known_message, read_parts, states_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evolution.serializers import (
        ExperimentMessage,
        GenerationMessage,
        KnownMessage,
        PartsMessage,
    )

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Rows in one message: a long history comes in pages.
PAGE_SIZE = 1000
#: Close code for a client that does not follow the protocol.
BAD_MESSAGE = 4400
#: Close code for somebody who may not read the experiment any more.
NOT_ALLOWED = 4403
#: Close code where something has failed here: the page connects again.
FAILED = 1011
#: Time after which it is asked again whether somebody may read, in s.
RECHECK_S = 30.0
#: How long is good for all pages of a process what was read about an experiment, in s: where it
#: stands, and the parts of the page.
MESSAGE_S = 2.0
PARTS_S = 4.0
_MAX_GENERATION = 2**31


class Recent(Generic[T]):
    """What was read about experiments just now, for all connections of this process.

    Hundreds of open pages of one experiment ask for the same.

    Parameters
    ----------
    read : callable
        Reads from the database what there is about an experiment.
    seconds : float
        How long it is good for.
    """

    def __init__(self, read: Callable[[Experiment], T], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._known: dict[int, tuple[float, T]] = {}
        self._reading: Together[int, T] = Together(self._read_all)

    async def get(self, experiment_id: int) -> T:
        """Return what is recent; read it where nothing is."""
        read_at, value = self._known.get(experiment_id, (-math.inf, None))
        is_recent = time.monotonic() - read_at < self._seconds
        return value if is_recent else await self.get_anew(experiment_id)

    async def get_anew(self, experiment_id: int) -> T:
        """Return what the database says now.

        Raises
        ------
        LookupError
            If there is no such experiment, or it alone cannot be read.
        """
        found = await self._reading.ask(experiment_id)
        if found is None:
            raise LookupError(f"Of experiment {experiment_id} there is nothing to be told.")
        return found

    def _read_all(self, experiment_ids: Sequence[int]) -> dict[int, T]:
        now = time.monotonic()
        found = {}
        for pk, experiment in Experiment.objects.in_bulk(experiment_ids).items():
            try:
                found[pk] = self._read(experiment)
            except Error:
                raise
            except Exception:
                # The pages of others are none the worse.
                logger.exception("Experiment %d cannot be read", pk)
        kept = {pk: known for pk, known in self._known.items() if now - known[0] < self._seconds}
        self._known = {**kept, **{pk: (now, value) for pk, value in found.items()}}
        return found


def experiment_message(experiment: Experiment) -> ExperimentMessage:
    """Return where an experiment that has just been read stands."""
    return selectors.experiment_message(experiment, selectors.runs_of(experiment))


messages: Recent[ExperimentMessage] = Recent(experiment_message, MESSAGE_S)
parts: Recent[Parts] = Recent(read_parts, PARTS_S)
known: Recent[KnownMessage] = Recent(known_message, MESSAGE_S)


def _admit(questions: Sequence[tuple[str | None, int]]) -> dict[tuple[str | None, int], bool]:
    """Say which sessions, by their keys, are of somebody who may read an experiment now."""
    keys, experiment_ids = (set(item) for item in zip(*questions, strict=True))
    readers = sharing.readers_of(keys)
    found = Experiment.objects.only("visibility", "owner_id").in_bulk(experiment_ids)
    return {
        (key, pk): pk in found and access.may_read(readers[key], found[pk]) for key, pk in questions
    }


def _missing(
    questions: Sequence[tuple[int, frozenset[tuple[int, int]]]],
) -> dict[tuple[int, frozenset[tuple[int, int]]], list[GenerationMessage]]:
    """Read the generations of experiments that pages with some cursors do not have yet."""
    return {
        (pk, cursors): selectors.generation_messages(
            experiment_id=pk, cursors=dict(cursors), limit=PAGE_SIZE
        )
        for pk, cursors in questions
    }


admissions: Together[tuple[str | None, int], bool] = Together(_admit)
missing: Together[tuple[int, frozenset[tuple[int, int]]], list[GenerationMessage]] = Together(
    _missing
)


class ExperimentConsumer(AsyncWebsocketConsumer):
    """Sends the generations that a page does not have yet, and each new one as it comes.

    The page says ``{"type": "hello", "cursors": {run: last generation}}`` when it connects and
    from time to time. It is answered with what the database has beyond the cursors
    (``generations``), where the experiment stands (``experiment``), the parts of the page that the
    server writes, if they have changed (``parts``), and ``caught-up``. A page whose champion has
    changed adds ``"known": true`` and is also told how that one relates to the rules of the
    literature (``known``), which takes algebra. The consumer follows the experiment before it
    reads, so that nothing can fall between the reading and the first news; news that leave a gap
    are answered from the database as well.

    The first hello, and the one after a change of state, is answered from the database as it is
    then, the others as it was up to two seconds ago: what is newer comes as news anyway. Parts are
    up to four seconds old, but never from before a change of state of which the page is told.
    """

    # None of its own: the hub listens for all connections.
    channel_layer_alias = ""

    experiment_id: int
    allowed_at: float
    #: Last generation that the page has, by run; None before the first hello and after the end.
    cursors: dict[int, int] | None = None
    is_to_read = True
    parts_sent: PartsMessage | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the connection; whatever ends it, it follows nothing any more."""
        # Hellos and news are answered one after the other.
        self._turn = asyncio.Lock()
        async with AsyncExitStack() as self._until_the_end:
            await super().__call__(scope, receive, send)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle a message.

        Channels asks a thread to close old database connections before each, which costs more
        than most answers. Here whatever asks the database does so itself.
        """
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        """Let in those who may read the experiment."""
        self.experiment_id = self.scope["url_route"]["kwargs"]["pk"]
        if not await self._may_read():
            await self.close()
            return
        follower = await self._until_the_end.enter_async_context(hub.following(self.experiment_id))
        task = asyncio.create_task(self._follow(follower))
        self._until_the_end.callback(task.cancel)
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer a hello; close the connection on anything else."""
        hello = parse_hello(text_data)
        async with self._turn:
            if hello is None:
                await self._end(BAD_MESSAGE)
            elif await self._may_still_read():
                await self._answer(hello)

    async def _answer(self, hello: Hello) -> None:
        self.cursors = hello.cursors
        experiment = await self._catch_up()
        await self._send_parts(experiment)
        if hello.wants_known:
            await self._send("known", await known.get(self.experiment_id))
        await self._send("caught-up", None)

    async def _catch_up(self) -> ExperimentMessage:
        """Send the generations that the page misses, and where the experiment stands."""
        # Read before the rows: when this says "finished", the rows read after it are complete.
        is_to_read, self.is_to_read = self.is_to_read, False
        read = messages.get_anew if is_to_read else messages.get
        experiment = await read(self.experiment_id)
        if is_to_read or self._is_behind(experiment):
            await self._send_missing()
        await self._send("experiment", experiment)
        return experiment

    def _is_behind(self, experiment: ExperimentMessage) -> bool:
        return any(
            run["generation"] > self.cursors.get(run["run"], -1) for run in experiment["runs"]
        )

    async def _send_parts(self, experiment: ExperimentMessage) -> None:
        found = await parts.get(self.experiment_id)
        if found.states != states_in(experiment):
            # A page that is told of the end does not ask again.
            found = await parts.get_anew(self.experiment_id)
        if found.message != self.parts_sent:
            self.parts_sent = found.message
            await self._send("parts", found.message)

    async def _follow(self, follower: hub.Follower) -> None:
        """Pass on news as they come."""
        try:
            while True:
                news = await follower.next()
                async with self._turn:
                    # The first hello will be answered from the database.
                    if self.cursors is not None:
                        await self._pass_on(news)
        except OSError:
            # So servers say that the client is gone, of which the connection hears by itself.
            pass
        except Exception:
            logger.exception("A page of experiment %d cannot be told news", self.experiment_id)
            await self._end(FAILED)

    async def _pass_on(self, news: hub.News) -> None:
        """Pass on generations once, in order and without gaps, and each state."""
        if not isinstance(news, hub.Generations):
            self.is_to_read = True
        if not await self._may_still_read():
            return
        if news is None:
            await self._catch_up()
        elif isinstance(news, hub.State):
            await self._send_text(news.text)
        elif news.continues(self.cursors):
            self.cursors.update(news.after)
            await self._send_text(news.text)
        else:
            await self._send_new(news.rows)

    async def _send_new(self, rows: Sequence[GenerationMessage]) -> None:
        """Send those that the page does not have; ask the database if others are missing."""
        reached = dict(self.cursors)
        new = []
        for row in rows:
            last = reached.get(row["run"], -1)
            if row["generation"] > last + 1:
                await self._send_missing()
                return
            if row["generation"] > last:
                reached[row["run"]] = row["generation"]
                new.append(row)
        if new:
            await self._send_generations(new)

    async def _may_still_read(self) -> bool:
        """Close the connection of somebody who was signed out, or whose link was revoked."""
        if time.monotonic() - self.allowed_at < RECHECK_S or await self._may_read():
            return True
        await self._end(NOT_ALLOWED)
        return False

    async def _end(self, code: int) -> None:
        """Close the connection: no news are sent after that."""
        self.cursors = None
        await self.close(code)

    async def _send_missing(self) -> None:
        while rows := await missing.ask((self.experiment_id, frozenset(self.cursors.items()))):
            await self._send_generations(rows)
            if len(rows) < PAGE_SIZE:
                return

    async def _send_generations(self, rows: Sequence[GenerationMessage]) -> None:
        for row in rows:
            self.cursors[row["run"]] = row["generation"]
        await self._send("generations", rows)

    async def _send(self, kind: str, data: Any) -> None:
        await self._send_text(hub.encode(kind, data))

    async def _send_text(self, text: str) -> None:
        await self.base_send({"type": "websocket.send", "text": text})

    async def _may_read(self) -> bool:
        asked_at = time.monotonic()
        may_read = await admissions.ask((self.scope["session"].session_key, self.experiment_id))
        self.allowed_at = asked_at
        return bool(may_read)


class ProbeConsumer(AsyncWebsocketConsumer):
    """Says ``{"type": "changed"}`` when a simulation on demand has come further.

    The page asks for its part again then, which asks again who may read. It is told once when it
    has connected, so that nothing can be missed between the part that it has and the first event.
    """

    probe_id: int

    async def connect(self) -> None:
        """Let in those who may read the rule that is simulated."""
        self.probe_id = self.scope["url_route"]["kwargs"]["pk"]
        if not await self._may_read():
            await self.close()
            return
        await self.channel_layer.group_add(probe_group_name(self.probe_id), self.channel_name)
        await self.accept()
        await self.probe_changed({})

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        await self.channel_layer.group_discard(probe_group_name(self.probe_id), self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Close the connection: the page has nothing to say."""
        await self.close(BAD_MESSAGE)

    async def probe_changed(self, event: dict[str, Any]) -> None:
        """Forward that there is something new."""
        await self.send(json.dumps({"type": "changed"}))

    @database_sync_to_async
    def _may_read(self) -> bool:
        reader = sharing.reader_of(self.scope["session"])
        readable = Probe.objects.filter(rule__in=access.visible_rules(reader))
        return readable.filter(pk=self.probe_id).exists()


class Hello(NamedTuple):
    """What a page says of itself: the last generation it has of each run, and what it wants."""

    cursors: dict[int, int]
    wants_known: bool = False


def parse_hello(text: str | None) -> Hello | None:
    """Return what a hello says, None where the message is anything else."""
    try:
        message = json.loads(text or "")
        if message["type"] != "hello":
            return None
        cursors = {int(run): generation for run, generation in message["cursors"].items()}
        wants_known = message.get("known", False) is True
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if all(type(last) is int and -1 <= last < _MAX_GENERATION for last in cursors.values()):
        return Hello(cursors, wants_known)
    return None
