"""Everybody who uses a site, in one process: ``python -m tests.load.crowd PLAN``.

A *viewer* is somebody with two tabs. One shows an experiment that runs: it holds a WebSocket and
asks again for its parts at the pace that the page's HTML says, as htmx and the page's scripts do.
In the other one he opens a page now and then, whose parts and plots are asked for as well. A
*program* asks the API with a token. Files that browsers keep (scripts, styles) are not asked for.

PLAN is a file with what :mod:`tests.load.guests` returns and a :class:`Pace`. Each line of the
input, a JSON object with changes to the plan, ends a phase: the crowd answers with a line of JSON
about it. The end of the input ends the crowd.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import resource
import sys
import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.load.http import Answer, Client, Lost
from tests.load.pages import Page, champion_rows
from tests.load.pages import parse as parse_page

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

_HELLO_S = 5.0
_ANSWER_S = 10.0
_RECONNECT_S = (0.25, 5.0)
_HTMX = {"HX-Request": "true"}
_OVER = frozenset({"finished", "stopped", "failed"})
#: Kinds of requests.
PAGE, PART, API = "page", "part", "api"


@dataclass(frozen=True)
class Pace:
    """How often people and programs do something.

    Attributes
    ----------
    arrival_s : float
        Time in which all of them arrive, one after the other.
    page_s, api_s : tuple of float
        Least and longest time between two pages of a person, between two requests of a program.
    """

    arrival_s: float
    page_s: tuple[float, float]
    api_s: tuple[float, float]


@dataclass
class Tally:
    """What has happened since the last phase."""

    started: float = field(default_factory=time.monotonic)
    processor_s: float = field(default_factory=time.process_time)
    seconds: dict[tuple[str, str], array[float]] = field(
        default_factory=lambda: defaultdict(lambda: array("d"))
    )
    errors: Counter[str] = field(default_factory=Counter)
    events: list[tuple[int, int, float]] = field(default_factory=list)
    n_events: int = 0
    n_gaps: int = 0
    n_reconnects: int = 0

    def report(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        elapsed_s = time.monotonic() - self.started
        kinds: dict[str, dict[str, Any]] = {}
        for kind in (PAGE, PART, API):
            of_kind = {
                name: x for (other, name), x in sorted(self.seconds.items()) if other == kind
            }
            kinds[kind] = _figures(itertools.chain(*of_kind.values()))
            kinds[kind]["by_name"] = {name: _figures(seconds) for name, seconds in of_kind.items()}
        return {
            "elapsed_s": elapsed_s,
            "kinds": kinds,
            "errors": dict(self.errors),
            "events": self.events,
            "n_events": self.n_events,
            "n_gaps": self.n_gaps,
            "n_reconnects": self.n_reconnects,
            "processor_share": (time.process_time() - self.processor_s) / elapsed_s,
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def _figures(seconds: Iterable[float]) -> dict[str, float]:
    values = np.array(list(seconds))
    if not len(values):
        return {"n": 0}
    p50, p95, p99 = 1e3 * np.percentile(values, [50, 95, 99])
    return {
        "n": len(values), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": 1e3 * values.max(),
    }  # fmt: skip


class Crowd:
    """All viewers and programs.

    Parameters
    ----------
    plan : dict
        See :mod:`tests.load.guests`.
    """

    def __init__(self, plan: dict[str, Any], pace: Pace) -> None:
        self.plan, self.pace = plan, pace
        self.tally = Tally()
        self.has_arrived = 0
        self.viewers = [
            Viewer(self, number, session) for number, session in enumerate(plan["sessions"])
        ]
        self.programs = [
            Program(self, number, token) for number, token in enumerate(plan["tokens"])
        ]

    async def run(self) -> None:
        """Serve the input until it ends."""
        everybody = [*self.viewers, *self.programs]
        tasks = [asyncio.create_task(self._arrive(i, who)) for i, who in enumerate(everybody)]
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self.plan.update(json.loads(line))
            broken = [task.exception() for task in tasks if task.done() and not task.cancelled()]
            if broken:
                raise broken[0] or RuntimeError("somebody has left")
            sys.stdout.write(json.dumps(self._report()) + "\n")
            sys.stdout.flush()
        for task in tasks:
            task.cancel()

    async def _arrive(self, number: int, who: Viewer | Program) -> None:
        n_all = len(self.viewers) + len(self.programs)
        # In another order than that of the list, in which kinds follow one another.
        place = number * 7919 % n_all if n_all % 7919 else number
        await asyncio.sleep(self.pace.arrival_s * place / n_all)
        self.has_arrived += 1
        await who.run()

    def _report(self) -> dict[str, Any]:
        tally, self.tally = self.tally, Tally()
        live = Counter(viewer.experiment for viewer in self.viewers if viewer.is_live)
        cursors: dict[int, list[int]] = defaultdict(list)
        for viewer in self.viewers:
            for run, generation in viewer.cursors.items():
                cursors[run].append(generation)
        return {
            **tally.report(),
            "n_arrived": self.has_arrived,
            "n_live": sum(live.values()),
            "cursors": {run: [min(seen), max(seen)] for run, seen in cursors.items()},
        }

    async def get(self, client: Client, kind: str, name: str, path: str) -> Answer | None:
        """Ask for something, and note how long it took; None if it did not work."""
        started = time.monotonic()
        try:
            answer = await client.get(path, _HTMX if name.startswith("part ") else None)
        except Lost as error:
            self.tally.errors[f"{kind}, {name}: {error}"] += 1
            return None
        self.tally.seconds[kind, name].append(time.monotonic() - started)
        if answer.status not in {200, 204}:
            self.tally.errors[f"{kind}, {name}: {answer.status}"] += 1
            return None
        return answer


class Viewer:
    """Somebody who watches an experiment and looks at other pages meanwhile."""

    def __init__(self, crowd: Crowd, number: int, session: str) -> None:
        self._crowd = crowd
        self._number = number
        self._random = random.Random(number)
        self._cookie = f"e2l_session={session}"
        self._client = Client(crowd.plan["url"], {"Cookie": self._cookie})
        self.experiment = 0
        #: Last generation that the live page has, by run.
        self.cursors: dict[int, int] = {}
        self.is_live = False
        self._socket: Any = None
        #: When the first of the questions was asked that wait for an answer.
        self._asked_at: float | None = None
        self._wants_known = False
        self._asking: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Watch and browse for ever."""
        await asyncio.gather(self._watch_all(), self._browse())

    # --- the tab with the live page ---

    async def _watch_all(self) -> None:
        while True:
            live = self._crowd.plan["live"]
            self.experiment = live[self._number % len(live)]
            page = await self._open("live experiment", f"/experiments/{self.experiment}/")
            if page is None or page.socket is None:
                # It is over, or could not be opened: try again as somebody who waits for it.
                await asyncio.sleep(self._random.uniform(2.0, 6.0))
                continue
            self.cursors = dict(page.cursors)
            parts = asyncio.create_task(self._renew(page))
            try:
                await self._watch(page)
            finally:
                parts.cancel()
                self.is_live = False

    async def _watch(self, page: Page) -> None:
        """Keep the page up to date until the experiment is over."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        url = self._crowd.plan["url"]
        failures = 0
        while True:
            try:
                async with connect(
                    f"ws{url.removeprefix('http')}{page.socket}",
                    origin=url,
                    additional_headers={"Cookie": self._cookie},
                    ping_interval=None,
                    open_timeout=30,
                    close_timeout=2,
                ) as socket:
                    self._socket, self._asked_at = socket, None
                    hellos = asyncio.create_task(self._hello(socket))
                    try:
                        async for text in socket:
                            if self._receive(page, json.loads(text)):
                                return
                            failures = 0 if self.is_live else failures
                    finally:
                        hellos.cancel()
            except (OSError, WebSocketException, TimeoutError):
                pass
            self.is_live = False
            self._crowd.tally.n_reconnects += 1
            first, longest = _RECONNECT_S
            pause_s = min(longest, first * 2**failures)
            failures += 1
            await asyncio.sleep(pause_s * self._random.uniform(0.5, 1.0))

    async def _hello(self, socket: Any) -> None:
        """Ask now and then; like a page give up a connection on which no answer comes."""
        while True:
            await self._say_hello(socket)
            await asyncio.sleep(_HELLO_S)
            while self._asked_at is not None:
                if time.monotonic() - self._asked_at > _ANSWER_S:
                    await socket.close()
                    return
                await asyncio.sleep(0.5)

    async def _say_hello(self, socket: Any) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        hello = {"type": "hello", "cursors": self.cursors, "known": self._wants_known}
        await socket.send(json.dumps(hello))

    def _receive(self, page: Page, message: dict[str, Any]) -> bool:
        """Take a message; return whether the experiment is over and the page has all of it."""
        tally = self._crowd.tally
        if message["type"] == "generations":
            arrived = time.time()
            if any(champion_rows(page, message["data"])):
                self._wants_known = True
                self._do(self._say_hello(self._socket))
            for row in message["data"]:
                run, generation = row["run"], row["generation"]
                last = self.cursors.get(run, -1)
                if generation <= last:
                    continue
                tally.n_events += 1
                tally.n_gaps += generation > last + 1
                self.cursors[run] = generation
                if self.is_live and self._crowd.plan.get("notes_arrivals"):
                    tally.events.append((run, generation, arrived))
        elif message["type"] == "experiment":
            data = message["data"]
            key = f"{data['state']} {data['n_generations']} {len(data['runs'])}"
            if page.key and key != page.key:
                for path in page.refreshed:
                    self._ask("part after a change", path)
            page.key = key
            page.is_over = data["state"] in _OVER
        elif message["type"] == "known":
            self._wants_known = False
        elif message["type"] == "caught-up":
            self.is_live, self._asked_at = True, None
            return page.is_over
        return False

    def _ask(self, name: str, path: str) -> None:
        """Ask for something while messages go on."""
        self._do(self._crowd.get(self._client, PART, name, path))

    def _do(self, what: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(what)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    # --- the other tab ---

    async def _browse(self) -> None:
        crowd = self._crowd
        names, weights = zip(*crowd.plan["weights"].items(), strict=True)
        await asyncio.sleep(self._random.uniform(0.0, crowd.pace.page_s[1]))
        while True:
            (name,) = self._random.choices(names, weights)
            page = await self._open(name, self._random.choice(crowd.plan["addresses"][name]))
            parts = asyncio.create_task(self._renew(page)) if page is not None else None
            await asyncio.sleep(self._random.uniform(*crowd.pace.page_s))
            if parts is not None:
                parts.cancel()

    # --- what a browser does ---

    async def _open(self, name: str, path: str) -> Page | None:
        """Open a page, with the plots and parts that it asks for at once."""
        crowd = self._crowd
        answer = await crowd.get(self._client, PAGE, name, path)
        if answer is None:
            return None
        page = parse_page(path, answer.text)
        await asyncio.gather(
            *(crowd.get(self._client, PART, what, path) for what, path in page.at_once)
        )
        return page

    async def _renew(self, page: Page) -> None:
        """Ask for the parts of an open page again and again."""

        async def renew(seconds: float, what: str, path: str) -> None:
            await asyncio.sleep(seconds * self._random.random())
            while True:
                await asyncio.sleep(seconds)
                await self._crowd.get(self._client, PART, what, path)

        await asyncio.gather(*(renew(*part) for part in page.again))


class Program:
    """A script that reads from the API."""

    def __init__(self, crowd: Crowd, number: int, token: str) -> None:
        self._crowd = crowd
        self._number = number
        self._random = random.Random(-1 - number)
        self._client = Client(crowd.plan["url"], {"Authorization": f"Bearer {token}"})

    async def run(self) -> None:
        """Ask for ever."""
        crowd = self._crowd
        while True:
            name = self._random.choice(list(crowd.plan["api"]))
            path = self._random.choice(crowd.plan["api"][name])
            await crowd.get(self._client, API, name, path)
            await asyncio.sleep(self._random.uniform(*crowd.pace.api_s))


def main() -> None:
    """Read the plan and run the crowd."""
    import uvloop

    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    pace = Pace(**plan.pop("pace"))
    uvloop.run(Crowd(plan, pace).run())


if __name__ == "__main__":
    main()
