"""Faults of everything that an evolution depends on, while real workers are at work.

After each the history is the one of an undisturbed run, which is computed here by the engine
alone; what was recorded before is not simulated again; and every run goes on within 30 s after
what failed is back, without a human.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import signal
import time
from collections import Counter
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evolution.cgp.parameters import EvolutionParameters
from tests.evolution.processes import Operator, Site, children, ended, kill
from tests.evolution.regression_task import RegressionParameters
from tests.evolution.undisturbed import Undisturbed, compute
from tests.servers import Broker, PostgreSQL, SmallDisk, free_port, open_directory, wait_until
from tests.system_packages import find_libfaketime

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.integration

SEED = 10
N_RUNS = 2
N_WORKERS = 2
#: What is promised.
RECOVERY_S = 30.0
#: Short, so that a rule that hangs does so not for long.
TIME_LIMIT_S = 4.0
#: The most trials in one worker's hands: half of the offspring of all runs.
BATCH = 4 * 3
EVOLUTION = {"n_generations": 16, "mutation_rate": 0.2, "target_fitness": None}


# --- what an undisturbed run gives --------------------------------------------------------------


@cache
def undisturbed(n_points: int, failing: frozenset[str] = frozenset()) -> Undisturbed:
    """Compute all runs; ``failing`` rules have no fitness."""
    return compute(
        RegressionParameters(n_points=n_points),
        EvolutionParameters.from_mapping(EVOLUTION),
        seed=SEED,
        n_runs=N_RUNS,
        failing=failing,
    )


# --- a site whose parts can be taken away -------------------------------------------------------


class FaultySite(Site):
    """A site with a worker and a sweeper that run as long as nobody ends them."""

    def __init__(
        self,
        directory: Path,
        data: Path,
        broker: Broker,
        disk: SmallDisk,
        server: PostgreSQL | None = None,
    ) -> None:
        super().__init__(directory, broker.url, server and server.url("site"))
        self.broker, self.disk, self.server = broker, disk, server
        self.poison = directory / "poison.json"
        self.poison.write_text("{}")
        self.simulated = directory / "simulated.log"
        self.simulated.touch()
        self.environment.update(
            E2L_DATA_DIR=str(data),
            E2L_TIME_LIMIT_S=str(TIME_LIMIT_S),
            E2L_TEST_POISON=str(self.poison),
            E2L_TEST_LOG=str(self.simulated),
        )
        self.check("migrate", "-v0")
        self.operator = Operator(self.environment)
        self.worker_process: subprocess.Popen[bytes] | None = None
        self.sweeper_process: subprocess.Popen[bytes] | None = None

    def ensure_workers(self) -> None:
        """Start what does not run, and wait until the workers have loaded."""
        if self.sweeper_process is None or self.sweeper_process.poll() is not None:
            self.sweeper_process = self.start_sweeper()
        if self.worker_process is None or self.worker_process.poll() is not None:
            self.worker_process = self.start_worker(N_WORKERS)
        self.wait_for_workers()

    def wait_for_workers(self) -> None:
        pids = [str(pid) for pid in children(self.worker_process)]

        def are_known() -> bool:
            known = {worker["name"].split(":")[1] for worker in self.operator("workers")}
            pids = {str(pid) for pid in children(self.worker_process)}
            return len(pids) >= N_WORKERS and pids <= known

        wait_until(are_known, 90, f"the workers {pids} are there\n{self.log()}")

    def close(self) -> None:
        for process in (self.worker_process, self.sweeper_process, self.operator.process):
            if process is not None:
                with ended(process):
                    pass

    def simulations(self, n_points: int) -> Counter[tuple[str, int]]:
        """Return how often each trial of each rule was begun."""
        counted: Counter[tuple[str, int]] = Counter()
        for line in self.simulated.read_text().splitlines():
            points, trial, rule = line.split(" ", 2)
            if points == str(n_points):
                counted[rule, int(trial)] += 1
        return counted


class Trouble:
    """One experiment and the fault that happens to it."""

    def __init__(
        self, site: FaultySite, n_points: int, *, is_silent: bool = False, **task: Any
    ) -> None:
        self.site, self.n_points = site, n_points
        self.experiment = site.operator(
            "create",
            seed=SEED,
            n_runs=N_RUNS,
            task={"n_points": n_points, "delay_ms": 60, **task},
            evolution=EVOLUTION,
        )
        site.operator("launch", experiment=self.experiment, is_silent=is_silent)
        self.n_faults = 1
        self._known: dict[str, Any] = {}
        self._simulated: Counter[tuple[str, int]] = Counter()

    def progress(self) -> dict[str, Any]:
        progress = self.site.operator("progress", experiment=self.experiment)
        assert progress["state"] in {"running", "finished"}, (progress, self.site.log())
        return progress

    def wait_for_generations(self, n_more: int) -> None:
        wanted = sum(self.progress()["generations"]) + n_more
        wait_until(
            lambda: sum(self.progress()["generations"]) >= wanted,
            60,
            f"{n_more} more generations\n{self.site.log()}",
        )

    def remember(self) -> None:
        """Note what is recorded: nothing of it may be lost or simulated again."""
        self._known = self.site.operator("evaluations", experiment=self.experiment)
        self._simulated = self.site.simulations(self.n_points)
        assert self.progress()["state"] == "running", "the fault came too late"

    def recovers(self, since: float | None = None) -> None:
        """Wait until every run has gone on since the fault was mended."""
        before = self.progress()["generations"]
        started = time.monotonic() if since is None else since
        n_all = EVOLUTION["n_generations"] + 1

        def has_gone_on() -> bool:
            pairs = zip(self.progress()["generations"], before, strict=True)
            return all(now > then or now == n_all for now, then in pairs)

        wait_until(has_gone_on, RECOVERY_S, f"every run goes on\n{self.site.log()}")
        seconds = time.monotonic() - started
        assert seconds < RECOVERY_S
        logger.info("Every run went on after %.1f s", seconds)

    def ends_as_if_undisturbed(self, failing: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Wait for the end and compare with what the engine alone computes."""
        wait_until(
            lambda: self.progress()["state"] == "finished",
            90,
            f"the experiment ends: {self.progress()}\n{self.site.log()}",
        )
        expected = undisturbed(self.n_points, failing)
        runs = self.site.operator("runs", experiment=self.experiment)
        assert [run["history"] for run in runs] == [run["history"] for run in expected.runs]
        assert [run["champion"] for run in runs] == [run["champion"] for run in expected.runs]
        known = self.site.operator("evaluations", experiment=self.experiment)
        for rule, record in known.items():
            if rule not in failing:
                assert record["reason"] in {"", "not finite"}, (rule, record)
        self._check_that_nothing_was_lost(known)
        return known

    def _check_that_nothing_was_lost(self, known: dict[str, Any]) -> None:
        simulated = self.site.simulations(self.n_points)
        for rule, before in self._known.items():
            after = known[rule]
            n_trials = len(before["trials"])
            assert after["trials"][:n_trials] == before["trials"], rule
            for trial in range(n_trials):
                assert simulated[rule, trial] == self._simulated[rule, trial], (rule, trial)
        n_again = sum(simulated.values()) - len(simulated)
        logger.info("%d of %d trials were simulated again", n_again, len(simulated))
        # Only what was in flight: a batch of each worker.
        assert n_again <= self.n_faults * N_WORKERS * BATCH


@pytest.fixture(scope="module", params=["SQLite and Valkey", "PostgreSQL and Redis"])
def shared_site(request: pytest.FixtureRequest) -> Iterator[FaultySite]:
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory("e2l-faults-"))
        disk = SmallDisk(directory / "disk", size_mb=48)
        stack.callback(disk.unmount)
        server, binary = None, None
        if request.param.startswith("PostgreSQL"):
            binary = shutil.which("redis-server")
            if binary is None:
                pytest.skip("no Redis server is installed: apt install redis-server")
            (directory / "cluster").mkdir()
            server = PostgreSQL(directory / "cluster")
            server.start()
            stack.callback(server.stop)
            server.give(disk.directory)
            server.execute(
                f"CREATE TABLESPACE small LOCATION '{disk.directory}'",
                "CREATE DATABASE site TABLESPACE small",
            )
        broker = Broker(directory, redis_binary=binary)
        broker.start()
        stack.callback(broker.kill)
        data = disk.directory if server is None else directory
        site = FaultySite(directory, data, broker, disk, server)
        stack.callback(site.close)
        yield site


@pytest.fixture
def site(shared_site: FaultySite) -> FaultySite:
    """The shared site with all its parts running."""
    shared_site.ensure_workers()
    return shared_site


# --- processes ----------------------------------------------------------------------------------


def test_a_killed_child(site: FaultySite) -> None:
    trouble = Trouble(site, 21)
    trouble.wait_for_generations(6)
    trouble.remember()
    for pid in children(site.worker_process):
        os.kill(pid, signal.SIGKILL)
    trouble.recovers()
    trouble.ends_as_if_undisturbed()


def test_a_killed_worker(site: FaultySite) -> None:
    trouble = Trouble(site, 22)
    trouble.wait_for_generations(6)
    trouble.remember()
    kill(site.worker_process)
    site.worker_process = site.start_worker(N_WORKERS)
    site.wait_for_workers()
    trouble.recovers()
    trouble.ends_as_if_undisturbed()


def test_a_killed_web_process(site: FaultySite) -> None:
    """It dies after it has written a launch, before it could tell the workers."""
    port = free_port()
    web = ("uvicorn", "e2l_site.asgi:application", "--port", str(port), "--lifespan", "off")
    with ended(site.start(*web)) as process:
        wait_until(lambda: answers(port), 60, "the page answers")
        trouble = Trouble(site, 23, is_silent=True)
        started = time.monotonic()
        kill(process)
        trouble.recovers(started)
        trouble.remember()
    with ended(site.start(*web)):
        wait_until(lambda: answers(port), RECOVERY_S, "the page answers again")
    trouble.ends_as_if_undisturbed()


def answers(port: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def test_sigterm_during_a_simulation(site: FaultySite) -> None:
    """A worker that is told to end finishes the trial, and leaves the rest to the next one."""
    trouble = Trouble(site, 24, delay_ms=400, n_trials=20)
    wait_until(lambda: len(site.simulations(24)) >= N_WORKERS, 30, "simulations begin")
    site.worker_process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert site.worker_process.wait(60) == 0
    # All trials of what it had claimed would have taken longer.
    assert time.monotonic() - started < 15
    known = site.operator("evaluations", experiment=trouble.experiment)
    assert any(record["trials"] for record in known.values())
    assert all(record["state"] != "claimed" for record in known.values())
    assert all(record["attempts"] == 0 for record in known.values())
    # What was simulated is recorded.
    n_simulated = sum(site.simulations(24).values())
    assert n_simulated == sum(len(record["trials"]) for record in known.values())
    assert site.operator("workers") == []
    site.operator("stop", experiment=trouble.experiment)


def test_workers_that_are_drained_restarted_and_resumed(site: FaultySite) -> None:
    trouble = Trouble(site, 34)
    trouble.wait_for_generations(6)
    host = platform.node()
    site.operator("order", action="drain", host=host)
    wait_until(lambda: site.operator("host_state", host=host) == "drained", 30, "nobody works")
    wait_until(lambda: "Canceling queue" in site.log(), 30, f"it does not listen\n{site.log()}")
    trouble.remember()
    done = trouble.progress()["generations"]
    before = set(children(site.worker_process))
    site.operator("order", action="restart", host=host)
    wait_until(lambda: not before & set(children(site.worker_process)), 60, "there are others")
    # The same process: whoever looks after it notices nothing.
    assert site.worker_process.poll() is None
    site.wait_for_workers()
    # They know that their host is drained, although the sweeper has asked for them.
    assert site.operator("host_state", host=host) == "drained"
    assert trouble.progress()["generations"] == done
    known = site.operator("evaluations", experiment=trouble.experiment)
    assert all(record["state"] != "claimed" for record in known.values())
    site.operator("order", action="resume", host=host)
    trouble.recovers()
    trouble.ends_as_if_undisturbed()


def test_experiments_share_workers_and_messages_do_not_pile_up(site: FaultySite) -> None:
    import redis

    troubles = [Trouble(site, n_points) for n_points in (41, 42, 43)]
    longest = 0
    with redis.Redis.from_url(site.broker.url) as client:
        done = [0, 0, 0]
        while max(done) < N_RUNS * (EVOLUTION["n_generations"] + 1):
            longest = max(longest, client.llen("celery"))
            done = [sum(trouble.progress()["generations"]) for trouble in troubles]
            time.sleep(0.05)
    # Those who look at the same moment may send one each.
    assert longest <= 2 * N_WORKERS
    assert min(done) >= max(done) / 2
    for trouble in troubles:
        trouble.ends_as_if_undisturbed()
    log = (site.directory / "worker.log").read_text()
    assert "database is locked" not in log
    assert "Traceback" not in log[log.rindex("ready.") :]


# --- broker and messages ------------------------------------------------------------------------


@pytest.mark.parametrize("keeps_data", [True, False], ids=["with its data", "without its data"])
def test_a_killed_broker(site: FaultySite, keeps_data: bool) -> None:
    n_points = 25 if keeps_data else 26
    trouble = Trouble(site, n_points)
    trouble.wait_for_generations(6)
    trouble.remember()
    site.broker.kill()
    # Nobody who has something to say waits for it.
    assert site.operator("wake", n_workers=3) < 1.0
    time.sleep(5)
    if not keeps_data:
        site.broker.forget()
    site.broker.start()
    trouble.recovers()
    trouble.ends_as_if_undisturbed()


def test_messages_that_are_delivered_twice(site: FaultySite) -> None:
    import redis

    trouble = Trouble(site, 27)
    with redis.Redis.from_url(site.broker.url) as client:
        n_copies = 0
        deadline = time.monotonic() + 60
        while n_copies < 10 and trouble.progress()["state"] == "running":
            for message, _, _ in map(json.loads, client.hvals("unacked")):
                client.lpush("celery", json.dumps(message))
                n_copies += 1
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert n_copies >= 10
    trouble.remember()
    trouble.ends_as_if_undisturbed()


# --- database -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_a_restart_of_postgresql(site: FaultySite, mode: str) -> None:
    if site.server is None:
        pytest.skip("SQLite has no server")
    trouble = Trouble(site, 28 if mode == "immediate" else 29)
    trouble.wait_for_generations(6)
    trouble.remember()
    site.server.stop(mode)
    time.sleep(3)
    site.server.start()
    trouble.recovers()
    trouble.ends_as_if_undisturbed()


def test_a_full_disk(site: FaultySite) -> None:
    if not site.disk.is_small:
        pytest.skip("a small file system cannot be mounted here: that takes root")
    trouble = Trouble(site, 30)
    trouble.wait_for_generations(6)
    trouble.remember()
    ballast = site.disk.fill()
    try:
        time.sleep(8)
    finally:
        ballast.unlink()
    trouble.recovers()
    trouble.ends_as_if_undisturbed()


# --- rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("poison", "reason", "n_points"),
    [("kill", "crash", 31), ("segfault", "crash", 32), ("hang", "time limit", 33)],
)
def test_a_rule_that_stops_the_simulator(
    site: FaultySite, poison: str, reason: str, n_points: int
) -> None:
    """After two tries it has no fitness, and everything else goes on."""
    bad = undisturbed(n_points).rules[12]
    failing = frozenset([bad])
    site.poison.write_text(json.dumps({f"{n_points} {bad}": poison}))
    trouble = Trouble(site, n_points)
    wait_until(lambda: site.simulations(n_points)[bad, 0] >= 1, 60, "the rule is simulated")
    trouble.n_faults = 2
    known = trouble.ends_as_if_undisturbed(failing)
    assert known[bad]["reason"] == reason
    assert known[bad]["detail"].startswith("2 workers")
    # Nobody hears a process that is killed.
    assert ("simulate_trial" in known[bad]["detail"]) == (poison != "kill")
    assert known[bad]["trials"] == []
    assert site.simulations(n_points)[bad, 0] == 2
    others = {rule: count for (rule, _), count in site.simulations(n_points).items() if rule != bad}
    assert set(others) >= set(undisturbed(n_points, failing).rules) - failing


# --- clocks -------------------------------------------------------------------------------------


def test_jumps_of_the_clock(site: FaultySite) -> None:
    """With SQLite all clocks are one; with PostgreSQL that of the workers' machine jumps alone."""
    library = find_libfaketime()
    if library is None:
        pytest.skip("libfaketime is not installed: apt install libfaketime")
    clock = site.directory / "clock"
    clock.write_text("+0")
    fake = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    for process in (site.worker_process, site.sweeper_process):
        with ended(process):
            pass
    site.worker_process = site.start_worker(N_WORKERS, **fake)
    site.sweeper_process = site.start_sweeper(**fake)
    try:
        site.wait_for_workers()
        trouble = Trouble(site, 35, delay_ms=40)
        for jump in ("+1h", "-1h", "+0"):
            trouble.wait_for_generations(5)
            trouble.remember()
            trouble.n_faults += 1
            clock.write_text(jump)
            trouble.recovers()
        trouble.ends_as_if_undisturbed()
    finally:
        for process in (site.worker_process, site.sweeper_process):
            with ended(process):
                pass
