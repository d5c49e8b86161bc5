"""A busy laboratory on two cores, on the database with a million individuals (a copy of the one in
`DATABASE_URL`, else one that is filled first): the web server, worker and sweeper of
`docker-compose.yml` with PostgreSQL and Redis, and beside them the one process that asks for
everything. 500 people of 50 accounts have an open page of an experiment that runs, with its
WebSocket and its parts and plots at the pace at which a browser asks for them; each opens another
page every 30 s, with the plots and parts of that one. 100 programs with tokens ask the API for
something every 5 s. Five experiments of two runs go on meanwhile on two workers, whose simulations
are replaced by pauses. Then Redis and PostgreSQL are restarted and killed, once each, under the
same load, and the history of all runs is compared with what the engine alone computes."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulations.learning_tasks.error_driven import ErrorDrivenTask
from tests.bench import Row
from tests.evolution.processes import Operator
from tests.large_database import N_GENERATIONS, N_RUNS
from tests.load.crowd import API, PAGE, PART, Pace
from tests.load.site import Crowd, Site, site
from tests.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TITLE = "A busy laboratory"
IS_LONG = True
BOUND_MS = 500.0
#: What experiments and runs go on with after a restart within.
RECOVERY_S = 30.0
N_EXPERIMENTS = 5
RUNS_OF_EACH = 2
#: About as many generations as two workers make of the error-driven learning task.
DELAY_MS = 350.0
_SAMPLE_S = 10.0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    minutes: float = 10.0
    viewers: int = 500
    programs: int = 100
    page_s: tuple[float, float] = (20.0, 40.0)
    api_s: tuple[float, float] = (2.5, 7.5)
    arrival_s: float = 60.0
    runs: int = N_RUNS
    generations: int = N_GENERATIONS


def rows() -> Iterator[Row]:
    """Measure in full."""
    return measure(Size())


def measure(size: Size) -> Iterator[Row]:
    """Measure so much."""
    large = {"runs": size.runs, "generations": size.generations}
    with site(n_workers=2, large=large) as running, operator_of(running) as operator:
        experiments = [Live.launch(operator, seed) for seed in range(N_EXPERIMENTS)]
        plan = make_plan(running, size.viewers, size.programs)
        pace = Pace(arrival_s=size.arrival_s, page_s=size.page_s, api_s=size.api_s)
        crowd = Crowd(
            running,
            {
                **plan,
                "live": [each.pk for each in experiments],
                "pace": asdict(pace),
                "notes_arrivals": True,
            },
        )
        try:
            say("everybody arrives")
            time.sleep(size.arrival_s + size.page_s[1])
            first = crowd.phase()
            _tell(first)
            assert first["n_live"] == size.viewers, f"{first['n_live']} pages are live"
            yield from _busy(running, operator, crowd, size, [each.pk for each in experiments])
            yield from _restarts(running, operator, crowd, experiments)
        finally:
            crowd.close()
        for each in experiments:
            operator("stop", experiment=each.pk)
        n_compared = sum(each.compare(running, operator) for each in experiments)
        yield Row("generations that are those of the engine alone, all of", n_compared, "")


# --- parts that the endurance test shares -------------------------------------------------------


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


@contextmanager
def operator_of(running: Site) -> Iterator[Operator]:
    """Give somebody who creates and looks at experiments."""
    operator = Operator(running.environment)
    try:
        yield operator
    finally:
        operator.process.terminate()
        operator.process.wait()


def make_plan(running: Site, n_viewers: int, n_programs: int) -> dict[str, Any]:
    """Give accounts to so many people and programs; return the plan of the crowd."""
    options = json.dumps({"n_viewers": n_viewers, "n_programs": n_programs})
    return json.loads(running.python("-m", "tests.load.guests", given=options).splitlines()[-1])


@dataclass(frozen=True)
class Live:
    """An experiment with the stand-in: the evolution of the error-driven learning task's preset."""

    pk: int
    seed: int
    n_points: int
    n_runs: int

    @staticmethod
    def evolution(n_generations: int) -> dict[str, Any]:
        """Return the parameters of its evolution."""
        preset = dict(ErrorDrivenTask.presets["paper"].evolution)
        return {**preset, "n_generations": n_generations, "target_fitness": None}

    @classmethod
    def launch(
        cls,
        operator: Operator,
        seed: int,
        *,
        delay_ms: float = DELAY_MS,
        n_runs: int = RUNS_OF_EACH,
        n_generations: int = 100_000,
    ) -> Live:
        """Launch one; those of different seeds share no simulation."""
        n_points = 10 + seed % 900
        pk = operator(
            "create",
            seed=1000 * seed,
            n_runs=n_runs,
            task={"n_points": n_points, "delay_ms": delay_ms},
            evolution=cls.evolution(n_generations),
        )
        operator("launch", experiment=pk)
        return cls(pk, 1000 * seed, n_points, n_runs)

    def compare(self, running: Site, operator: Operator) -> int:
        """Compare with the engine alone; return the number of generations, which are the same.

        Raises
        ------
        AssertionError
            If something is missing or another value.
        """
        found = operator("runs", experiment=self.pk)
        n_most = max(len(run["history"]) for run in found)
        question = {
            "n_points": self.n_points,
            "seed": self.seed,
            "n_runs": self.n_runs,
            "evolution": self.evolution(max(1, n_most - 1)),
        }
        answer = running.python("-m", "tests.evolution.undisturbed", given=json.dumps(question))
        for run, undisturbed in zip(found, json.loads(answer), strict=True):
            history = run["history"]
            assert history == undisturbed["history"][: len(history)], f"experiment {self.pk}"
            if len(history) == n_most:
                assert run["champion"] == undisturbed["champion"], f"experiment {self.pk}"
        return sum(len(run["history"]) for run in found)


def generations_of(operator: Operator, experiments: list[int]) -> list[int]:
    """Return the number of generations of each run."""
    found = []
    for pk in experiments:
        progress = operator("progress", experiment=pk)
        assert progress["state"] in {"running", "finished"}, progress
        found += progress["generations"]
    return found


# --- the busy laboratory ------------------------------------------------------------------------


def _busy(
    running: Site, operator: Operator, crowd: Crowd, size: Size, experiments: list[int]
) -> Iterator[Row]:
    say("measuring")
    crowd.phase()
    before_s, started = running.processor_seconds(), time.monotonic()
    n_before = sum(generations_of(operator, experiments))
    memory: dict[str, float] = defaultdict(float)
    while time.monotonic() - started < 60.0 * size.minutes:
        time.sleep(_SAMPLE_S)
        now: dict[str, float] = defaultdict(float)
        for sample in running.samples():
            now[sample.role] += sample.memory.fair
        memory.update({role: max(mb, memory[role]) for role, mb in now.items()})
    found = crowd.phase()
    elapsed_s = time.monotonic() - started
    after_s = running.processor_seconds()
    n_generations = sum(generations_of(operator, experiments)) - n_before
    _tell(found)
    for kind, what in (
        (PAGE, "page"),
        (PART, "part or plot of a page"),
        (API, "answer of the API"),
    ):
        figures = found["kinds"][kind]
        yield Row(
            f"{what}, {figures['n'] / elapsed_s:.1f} a second, median", figures["p50_ms"], "ms"
        )
        yield Row(f"{what}, 95th percentile", figures["p95_ms"], "ms", bound=BOUND_MS)
        yield Row(f"{what}, longest", figures["max_ms"], "ms")
    delays_ms = _delays(operator, found["events"])
    rate = len(delays_ms) / elapsed_s
    yield Row(
        f"generation to each of its pages, {rate:.0f} arrivals a second, median",
        float(np.median(delays_ms)),
        "ms",
    )
    p95_ms = float(np.percentile(delays_ms, 95))
    yield Row("generation to each of its pages, 95th percentile", p95_ms, "ms", bound=BOUND_MS)
    yield Row("errors", sum(found["errors"].values()), "", bound=0)
    yield Row("connections of live pages that were lost", found["n_reconnects"], "", bound=0)
    yield Row("lines of the log with an error", len(running.errors()), "", bound=0)
    yield Row("generations", n_generations / elapsed_s, "1/s")
    for role in sorted(after_s):
        share = 100 * (after_s[role] - before_s.get(role, 0.0)) / elapsed_s
        yield Row(f"processor time, {role}", share, "% of a core")
    yield Row("processor time, whoever asks", 100 * found["processor_share"], "% of a core")
    for role, mb in sorted(memory.items()):
        yield Row(f"memory, {role}, most", mb, "MB")


def _delays(operator: Operator, events: list[tuple[int, int, float]]) -> list[float]:
    """Return how long after they were written generations came, in ms."""
    written: dict[int, dict[str, float]] = {}
    for run in {run for run, _, _ in events}:
        written[run] = operator("written_at", run=run)
    return [1e3 * (at - written[run][str(generation)]) for run, generation, at in events]


def _tell(found: dict[str, Any]) -> None:
    for kind, figures in found["kinds"].items():
        for name, values in figures["by_name"].items():
            text = "".join(
                f" {key} {value:.0f}" for key, value in values.items() if key != "by_name"
            )
            say(f"{kind:5} {name:45}{text}")
    for error, n in sorted(found["errors"].items()):
        say(f"{n} times {error}")
    say(f"{found['n_live']} live, {found['n_events']} events, {found['n_gaps']} gaps, "
        f"{found['n_reconnects']} reconnects, share {found['processor_share']:.2f}")  # fmt: skip


def _restarts(
    running: Site, operator: Operator, crowd: Crowd, experiments: list[Live]
) -> Iterator[Row]:
    server, broker = running.server, running.broker
    faults: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
        ("Redis is restarted", broker.stop, broker.start),
        ("Redis is killed", broker.kill, broker.start),
        ("PostgreSQL is restarted", lambda: server.stop("fast"), server.start),
        ("PostgreSQL is killed", server.kill, server.start),
    ]
    for what, end, start in faults:
        say(what)
        yield Row(
            f"{what}: time until all runs go on and all pages are live again",
            restart(operator, crowd, [each.pk for each in experiments], end, start),
            "s",
            bound=RECOVERY_S,
        )
    errors = crowd.phase()["errors"]
    yield Row("errors when all of it was over", sum(errors.values()), "", bound=0)


def restart(
    operator: Operator,
    crowd: Crowd,
    experiments: list[int],
    end: Callable[[], None],
    start: Callable[[], None],
    *,
    down_s: float = 3.0,
    are_pages_live: bool = True,
) -> float:
    """Take a server away for a while; return how long the site takes to be as before, in s.

    Then every run goes on, or has ended, and all pages are live again unless nobody is to ask.
    """
    end()
    time.sleep(down_s)
    start()
    started = time.monotonic()
    before = generations_of(operator, experiments)
    seen: list[Any] = []

    def is_as_before() -> bool:
        time.sleep(0.5)
        now = generations_of(operator, experiments)
        n_all = operator("n_generations", experiment=experiments[0]) + 1
        n_live = crowd.phase()["n_live"]
        seen[:] = [now, n_live]
        has_gone_on = all(new > old or new == n_all for new, old in zip(now, before, strict=True))
        return has_gone_on and (not are_pages_live or n_live == crowd.n_viewers)

    try:
        wait_until(is_as_before, 300.0, "all runs go on and all pages are live")
    except AssertionError:
        say(f"generations {before}, now and live pages {seen}")
        raise
    seconds = time.monotonic() - started
    # What has been asked for while the server was away may still be on its way.
    time.sleep(10.0)
    crowd.phase()
    return seconds


def main() -> None:
    """Measure what the command line says, and print it."""
    parser = argparse.ArgumentParser(prog="tests.bench.load", description=__doc__)
    default = Size()
    for name in ("minutes", "viewers", "programs", "arrival_s", "runs", "generations"):
        value = getattr(default, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value, help=f"default {value}")
    for name in ("page_s", "api_s"):
        value = getattr(default, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, type=float, nargs=2, default=value, metavar=("LEAST", "MOST"),
            help=f"default {value}",
        )  # fmt: skip
    options = vars(parser.parse_args())
    size = Size(**{key: tuple(x) if isinstance(x, list) else x for key, x in options.items()})
    for row in measure(size):
        bound = "" if row.bound is None else f" (bound {row.bound:g})"
        sys.stdout.write(f"{row.what}: {row.value:.3g} {row.unit}{bound}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
