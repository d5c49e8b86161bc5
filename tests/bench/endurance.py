"""The generations of a day in a tenth of the time: more than two workers make in 24 hours with the
paper's parameters, on average over the three learning tasks (1000 take 136, 212 and 584 s in this
report; here 280 s are counted). They are made as runs of 1000 generations with the evolution of the
error-driven learning task, two experiments of two runs at a time. Simulations are replaced by short
pauses; everything else is an installation as `docker-compose.yml` has it, with 50 people on live
pages and 10 programs. Every quarter of an hour Redis or PostgreSQL is restarted or killed in turn.
At the end the history of all runs is compared with what the engine alone computes. Memory is read
every 15 s; growth is the slope of a straight line over the generations done, for each process from
two minutes after its start, with its standard error, and as mean over the processes of a kind
(children of the worker are replaced now and then). What processes share counts in parts, but not
for PostgreSQL, whose connections touch its cache bit by bit."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import Row
from tests.bench.load import Live, make_plan, operator_of, restart, say
from tests.load.crowd import Pace
from tests.load.memory import Growth, growth, pooled
from tests.load.site import Crowd, Site, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.evolution.processes import Operator

TITLE = "A day of generations in a tenth of the time"
IS_LONG = True
#: Generations of a run, and the time in which two workers make them with real simulations.
GENERATIONS_OF_RUN = 1000
SECONDS_OF_RUN = 280.0
DAY_S = 24 * 3600.0
SPEED = 10.0
#: In MB for each 1000 generations, where a slope can be told from zero at all.
GROWTH_BOUND = 0.05
_AT_A_TIME = 2
_RUNS_OF_EACH = 2
_DELAY_MS = 4.0
_SAMPLE_S = 15.0
_WARM_UP_S = 120.0
_LONGEST_S = 4 * 3600.0


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes
    ----------
    minutes : float
        Of the 144 that a day takes at ten times the speed: a part has that part of its generations.
    fault_minutes : float
        Time between two faults.
    samples : str
        A file to which all samples of memory are written as CSV, "" for none.
    """

    minutes: float = DAY_S / SPEED / 60.0
    fault_minutes: float = 15.0
    viewers: int = 50
    programs: int = 10
    samples: str = ""

    @property
    def n_generations(self) -> int:
        """Generations to be made."""
        return round(60.0 * self.minutes * SPEED * GENERATIONS_OF_RUN / SECONDS_OF_RUN)


@dataclass
class Trace:
    """Memory of one process over the generations that were done."""

    role: str
    first_seen: float
    at: list[float] = field(default_factory=list)
    generations: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)

    def growth(self) -> Growth:
        """Return its growth after the warm-up, in MB for each 1000 generations."""
        n_warm_up = sum(at < self.first_seen + _WARM_UP_S for at in self.at)
        return growth(
            [n / 1000.0 for n in self.generations[n_warm_up:]], self.memory_mb[n_warm_up:]
        )


class Day:
    """Experiments that follow one another, and what is seen meanwhile."""

    def __init__(self, running: Site, operator: Operator, size: Size) -> None:
        self._site, self._operator, self._size = running, operator, size
        self._seeds = count()
        self.experiments: list[Live] = []
        self._current: list[Live] = []
        self._n_done = 0
        self.traces: dict[int, Trace] = {}
        for _ in range(_AT_A_TIME):
            self._launch()

    @property
    def live(self) -> list[int]:
        """The experiments that go on."""
        return [each.pk for each in self._current]

    def _launch(self) -> None:
        experiment = Live.launch(
            self._operator,
            next(self._seeds),
            delay_ms=_DELAY_MS,
            n_runs=_RUNS_OF_EACH,
            n_generations=GENERATIONS_OF_RUN,
        )
        self.experiments.append(experiment)
        self._current.append(experiment)

    def n_generations(self) -> int:
        """Return how many are done; launch the next experiment where one has ended."""
        done = 0
        for experiment in list(self._current):
            progress = self._operator("progress", experiment=experiment.pk)
            assert progress["state"] in {"running", "finished"}, progress
            done += sum(progress["generations"])
            if progress["state"] == "finished":
                self._current.remove(experiment)
                self._n_done += sum(progress["generations"])
                done -= sum(progress["generations"])
        missing = self._size.n_generations - self._n_done
        n_of_each = _RUNS_OF_EACH * (GENERATIONS_OF_RUN + 1)
        while len(self._current) < _AT_A_TIME and missing > n_of_each * len(self._current):
            self._launch()
        return self._n_done + done

    def sample(self, n_done: int) -> None:
        """Note the memory of all processes."""
        now = time.monotonic()
        lines = []
        for found in self._site.samples():
            trace = self.traces.get(found.pid)
            if trace is None or trace.role != found.role:
                trace = self.traces[found.pid] = Trace(found.role, now)
            is_server = "PostgreSQL" in found.role
            trace.at.append(now)
            trace.generations.append(n_done)
            trace.memory_mb.append(found.memory.own if is_server else found.memory.fair)
            lines.append(
                f"{now:.0f},{n_done},{found.role},{found.pid},"
                f"{found.memory.own:.3f},{found.memory.fair:.3f}\n"
            )
        if self._size.samples:
            with Path(self._size.samples).open("a", encoding="utf-8") as file:
                file.writelines(lines)


def rows() -> Iterator[Row]:
    """Measure a whole day."""
    return measure(Size())


def measure(size: Size) -> Iterator[Row]:
    """Measure so much of a day."""
    large = {"runs": 4, "generations": 500}
    with site(n_workers=2, large=large) as running, operator_of(running) as operator:
        day = Day(running, operator, size)
        with crowd_of(running, day, size) as crowd:
            seconds, faults, errors = _live_through(running, operator, day, crowd, size)
        yield from _figures(size, seconds, day)
        for what, times_s in faults.items():
            yield Row(f"{what} {len(times_s)} times: longest until as before", max(times_s), "s")
        yield Row("errors of pages and API, but for the time around a fault", errors, "", bound=0)
        with ThreadPoolExecutor(2) as pool:
            compared = list(pool.map(lambda each: _compare(each, running), day.experiments))
        yield Row("generations that are those of the engine alone, all of", sum(compared), "")


@contextmanager
def crowd_of(running: Site, day: Day, size: Size) -> Iterator[Crowd]:
    """Send people and programs to the site."""
    pace = Pace(arrival_s=20.0, page_s=(20.0, 40.0), api_s=(2.5, 7.5))
    plan = make_plan(running, size.viewers, size.programs)
    crowd = Crowd(running, {**plan, "live": day.live, "pace": asdict(pace)})
    try:
        yield crowd
    finally:
        crowd.close()


def _compare(experiment: Live, running: Site) -> int:
    # Each thread has somebody of its own to ask.
    with operator_of(running) as operator:
        return experiment.compare(running, operator)


def _live_through(
    running: Site, operator: Operator, day: Day, crowd: Crowd, size: Size
) -> tuple[float, dict[str, list[float]], int]:
    """Return how long it took in s, how long it took after each kind of fault, and the errors."""
    server, broker = running.server, running.broker
    kinds: Iterator[tuple[str, Callable[[], None], Callable[[], None]]] = cycle(
        [
            ("Redis restarted", broker.stop, broker.start),
            ("PostgreSQL restarted", lambda: server.stop("fast"), server.start),
            ("Redis killed", broker.kill, broker.start),
            ("PostgreSQL killed", server.kill, server.start),
        ]
    )
    started = fault_at = time.monotonic()
    faults: dict[str, list[float]] = defaultdict(list)
    n_errors = n_done = 0
    while n_done < size.n_generations and day.live:
        n_done = day.n_generations()
        day.sample(n_done)
        found = crowd.phase(live=day.live or [0])
        n_errors += sum(found["errors"].values())
        for error, n in found["errors"].items():
            say(f"{n} times {error}")
        now = time.monotonic()
        assert now - started < _LONGEST_S, f"only {n_done} generations in {_LONGEST_S} s"
        if now - fault_at > 60.0 * size.fault_minutes and day.live:
            what, end, start = next(kinds)
            say(f"{n_done} generations, {found['n_live']} live pages, {what}")
            faults[what].append(_fault(operator, crowd, day, end, start))
            fault_at = time.monotonic()
        time.sleep(max(0.0, _SAMPLE_S - (time.monotonic() - now)))
    return time.monotonic() - started, faults, n_errors


def _fault(
    operator: Operator,
    crowd: Crowd,
    day: Day,
    end: Callable[[], None],
    start: Callable[[], None],
) -> float:
    # An experiment may end meanwhile, whose pages then wait for the next one.
    return restart(operator, crowd, day.live, end, start, are_pages_live=False)


def _figures(size: Size, seconds: float, day: Day) -> Iterator[Row]:
    n_done = day.n_generations()
    share = n_done / (DAY_S * GENERATIONS_OF_RUN / SECONDS_OF_RUN)
    yield Row(f"generations, {100 * share:.0f} % of a day's", n_done, "")
    yield Row("in", seconds / 60, "min", bound=60 * 24 * share / SPEED)
    by_role: dict[str, list[Trace]] = defaultdict(list)
    for trace in day.traces.values():
        by_role[trace.role].append(trace)
    for role, traces in sorted(by_role.items()):
        most = max(max(trace.memory_mb) for trace in traces)
        n_processes = f"{len(traces)} process{'es' if len(traces) > 1 else ''}"
        yield Row(f"{role} ({n_processes}), most memory of one", most, "MB")
        slope = pooled(trace.growth() for trace in traces)
        if math.isfinite(slope.slope):
            word = "none that can be told" if slope.is_none else "significant"
            yield Row(
                f"{role}, growth per 1000 generations (± {slope.error:.2g}, {word})",
                slope.slope,
                "MB",
                bound=GROWTH_BOUND,
            )


def main() -> None:
    """Measure what the command line says, and print it."""
    parser = argparse.ArgumentParser(prog="tests.bench.endurance", description=__doc__)
    for name, value in asdict(Size()).items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value, help=f"default {value!r}")
    for row in measure(Size(**vars(parser.parse_args()))):
        bound = "" if row.bound is None else f" (bound {row.bound:g})"
        sys.stdout.write(f"{row.what}: {row.value:.4g} {row.unit}{bound}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
