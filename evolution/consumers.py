"""The live connections of pages: to an experiment, and to a simulation on demand."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from evolution import access, selectors
from evolution.events import group_name, probe_group_name
from evolution.models import Experiment, Probe
from evolution.services import sharing

if TYPE_CHECKING:
    from evolution.serializers import ExperimentMessage, GenerationMessage

#: Rows in one message: a long history comes in pages.
PAGE_SIZE = 1000
#: Close code for a client that does not follow the protocol.
BAD_MESSAGE = 4400
#: Close code for somebody who may not read the experiment any more.
NOT_ALLOWED = 4403
#: Time after which it is asked again whether somebody may read, in s.
RECHECK_S = 30.0
_MAX_GENERATION = 2**31


class ExperimentConsumer(AsyncWebsocketConsumer):
    """Sends the generations that a page does not have yet, and each new one as it comes.

    The page says ``{"type": "hello", "cursors": {run: last generation}}`` when it connects and
    from time to time. It is answered with what the database has beyond the cursors
    (``generations``), where the experiment stands (``experiment``) and ``caught-up``. The consumer
    joins the group before it reads, so that nothing can fall between the reading and the first
    event; an event that leaves a gap is answered from the database as well.
    """

    experiment_id: int
    allowed_at: float
    cursors: dict[int, int] | None = None

    async def connect(self) -> None:
        """Let in those who may read the experiment."""
        self.experiment_id = self.scope["url_route"]["kwargs"]["pk"]
        if not await self._may_read():
            await self.close()
            return
        await self.channel_layer.group_add(group_name(self.experiment_id), self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        await self.channel_layer.group_discard(group_name(self.experiment_id), self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer a hello; close the connection on anything else."""
        cursors = parse_hello(text_data)
        if cursors is None:
            await self.close(BAD_MESSAGE)
            return
        if not await self._may_still_read():
            return
        self.cursors = cursors
        # Read before the rows: when this says "finished", the rows read after it are complete.
        experiment = await self._experiment_message()
        await self._send_missing()
        await self._send("experiment", experiment)
        await self._send("caught-up", None)

    async def experiment_generation(self, event: dict[str, Any]) -> None:
        """Forward a generation, once, in order and without gaps."""
        if self.cursors is None:  # the hello will be answered from the database
            return
        if not await self._may_still_read():
            return
        row: GenerationMessage = event["data"]
        last = self.cursors.get(row["run"], -1)
        if row["generation"] <= last:
            return
        if row["generation"] > last + 1:
            await self._send_missing()
        else:
            await self._send_generations([row])

    async def experiment_state(self, event: dict[str, Any]) -> None:
        """Forward where the experiment stands."""
        if self.cursors is not None and await self._may_still_read():
            await self._send("experiment", event["data"])

    async def _may_still_read(self) -> bool:
        """Close the connection of somebody who was signed out, or whose link was revoked."""
        if time.monotonic() - self.allowed_at < RECHECK_S or await self._may_read():
            return True
        await self.close(NOT_ALLOWED)
        return False

    async def _send_missing(self) -> None:
        while rows := await self._read_missing():
            await self._send_generations(rows)
            if len(rows) < PAGE_SIZE:
                return

    async def _send_generations(self, rows: list[GenerationMessage]) -> None:
        for row in rows:
            self.cursors[row["run"]] = row["generation"]
        await self._send("generations", rows)

    async def _send(self, kind: str, data: Any) -> None:
        await self.send(json.dumps({"type": kind, "data": data}, separators=(",", ":")))

    @database_sync_to_async
    def _may_read(self) -> bool:
        self.allowed_at = time.monotonic()
        visible = access.visible_experiments(sharing.reader_of(self.scope["session"]))
        return visible.filter(pk=self.experiment_id).exists()

    @database_sync_to_async
    def _read_missing(self) -> list[GenerationMessage]:
        return selectors.generation_messages(
            experiment_id=self.experiment_id, cursors=self.cursors, limit=PAGE_SIZE
        )

    @database_sync_to_async
    def _experiment_message(self) -> ExperimentMessage:
        return selectors.experiment_message(Experiment.objects.get(pk=self.experiment_id))


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


def parse_hello(text: str | None) -> dict[int, int] | None:
    """Return the cursors of a hello, None where the message is anything else."""
    try:
        message = json.loads(text or "")
        if message["type"] != "hello":
            return None
        cursors = {int(run): generation for run, generation in message["cursors"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if all(type(last) is int and -1 <= last < _MAX_GENERATION for last in cursors.values()):
        return cursors
    return None
