"""Workers on other hosts: started by a real Slurm, and cut off from the network."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.evolution.processes import Site, ended
from tests.evolution.test_faults import EVOLUTION, N_RUNS, SEED, Operator, undisturbed
from tests.servers import Broker, PostgreSQL, free_port, open_directory, wait_until
from tests.system_packages import find_slurm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.integration


class Evolution:
    """An experiment on the tests' learning task, of which the engine alone knows the history."""

    def __init__(self, operator: Operator, n_points: int, delay_ms: float) -> None:
        self._operator, self._n_points = operator, n_points
        task = {"n_points": n_points, "delay_ms": delay_ms}
        self.pk = operator("create", seed=SEED, n_runs=N_RUNS, task=task, evolution=EVOLUTION)
        operator("launch", experiment=self.pk)

    def generations(self) -> list[int]:
        progress = self._operator("progress", experiment=self.pk)
        assert progress["state"] in {"running", "finished"}, progress
        return progress["generations"]

    def comes_on(self, n_more: int, seconds: float, log: Site) -> None:
        wanted = sum(self.generations()) + n_more
        wait_until(
            lambda: sum(self.generations()) >= wanted,
            seconds,
            f"{n_more} more generations\n{log.log()}",
        )

    def evaluations(self) -> list[dict[str, Any]]:
        return list(self._operator("evaluations", experiment=self.pk).values())

    def ends_as_if_undisturbed(self, log: Site) -> None:
        wait_until(
            lambda: self._operator("progress", experiment=self.pk)["state"] == "finished",
            120,
            f"it ends\n{log.log()}",
        )
        runs = self._operator("runs", experiment=self.pk)
        expected = undisturbed(self._n_points).runs
        assert [run["history"] for run in runs] == [run["history"] for run in expected]
        assert [run["champion"] for run in runs] == [run["champion"] for run in expected]


# --- Slurm --------------------------------------------------------------------------------------


class Slurm:
    """A cluster of one node, this one: munged, slurmctld and slurmd of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.host = platform.node().partition(".")[0]
        self.environment = {**os.environ, "SLURM_CONF": str(directory / "slurm.conf")}
        for name in ("state", "spool", "munge"):
            (directory / name).mkdir(mode=0o755)
        key = directory / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        lines = {
            "ClusterName": "e2l",
            "SlurmctldHost": f"{self.host}(127.0.0.1)",
            "SlurmUser": "root",
            "AuthType": "auth/munge",
            "CredType": "cred/munge",
            "AuthInfo": f"socket={directory / 'munge' / 'socket'}",
            "SlurmctldPort": free_port(),
            "SlurmdPort": free_port(),
            "StateSaveLocation": directory / "state",
            "SlurmdSpoolDir": directory / "spool",
            "SlurmctldPidFile": directory / "slurmctld.pid",
            "SlurmdPidFile": directory / "slurmd.pid",
            "SlurmctldLogFile": directory / "slurmctld.log",
            "SlurmdLogFile": directory / "slurmd.log",
            # What takes cgroups or accounting is not what is tested.
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "MpiDefault": "none",
            "ReturnToService": 2,
            "NodeName": f"{self.host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN",
            "PartitionName": f"test Nodes={self.host} Default=YES MaxTime=INFINITE State=UP",
        }
        (directory / "slurm.conf").write_text(
            "".join(f"{name}={value}\n" for name, value in lines.items())
        )

    def start(self) -> None:
        munge = self._directory / "munge"
        self.run(
            *("munged", "--force", f"--key-file={self._directory / 'munge.key'}"),
            *(f"--socket={munge / 'socket'}", f"--pid-file={munge / 'pid'}"),
            *(f"--log-file={munge / 'log'}", f"--seed-file={munge / 'seed'}"),
        )
        self.run("slurmctld", "-c")
        self.run("slurmd", "-N", self.host)
        wait_until(
            lambda: self.run("sinfo", "--noheader", "--format=%T", check=False).strip() == "idle",
            60,
            "the node is there",
        )

    def stop(self) -> None:
        for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            try:
                pid = int((self._directory / name).read_text())
                os.kill(pid, signal.SIGTERM)
            except (OSError, ValueError):
                continue
            # They write to the directory until they have ended.
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), 30, f"{name} has ended")

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=self.environment, timeout=60,
            cwd=self._directory,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def state(self, job: str) -> str:
        shown = self.run("scontrol", "--oneliner", "show", "job", job)
        return dict(part.split("=", 1) for part in shown.split() if "=" in part)["JobState"]


@pytest.fixture
def cluster() -> Iterator[Slurm]:
    if find_slurm() is None or shutil.which("munged") is None:
        pytest.skip("Slurm is not installed: apt install slurmctld slurmd slurm-client munge")
    if os.getuid() != 0:
        pytest.skip("a Slurm of one's own takes root")
    with open_directory("e2l-slurm-") as directory:
        slurm = Slurm(directory)
        try:
            slurm.start()
            yield slurm
        finally:
            slurm.stop()


def test_a_job_of_slurm_evolves_and_returns_its_leases_before_it_ends(
    cluster: Slurm, tmp_path: Path, postgres_url: str, system_redis_url: str
) -> None:
    site = Site(tmp_path, system_redis_url, postgres_url)
    site.environment["E2L_LEARNING_TASKS"] = "tests.evolution.regression_task:RegressionTask"
    site.check("migrate", "-v0")
    script = tmp_path / "workers.sh"
    site.check(
        *("slurm", "--nodes", "1", "--time", "10", "--workers-per-node", "2"),
        *("--partition", "test", "--out", str(script)),
    )
    operator = Operator(site.environment)
    with ended(operator.process):
        job = cluster.run("sbatch", "--parsable", str(script)).strip()
        output = cluster._directory / f"e2l-workers-{job}.log"

        def there() -> str:
            return output.read_text() if output.exists() else "no output"

        wait_until(lambda: len(operator("workers")) == 2, 120, f"two workers are there\n{there()}")
        evolution = Evolution(operator, 52, delay_ms=60)
        evolution.comes_on(4, 60, site)
        # The very signal that Slurm sends before the limit: to the script alone.
        cluster.run("scancel", "--batch", "--signal=TERM", job)
        wait_until(lambda: cluster.state(job) != "RUNNING", 60, f"the job ends\n{there()}")
        assert cluster.state(job) == "COMPLETED", there()
        assert "Draining" in there()
        assert there().endswith("All workers have ended\n")
        left = evolution.evaluations()
        assert any(record["trials"] for record in left)
        assert all(record["state"] != "claimed" for record in left)
        assert all(record["attempts"] == 0 for record in left)
        assert operator("workers") == []
        assert sum(evolution.generations()) < N_RUNS * (EVOLUTION["n_generations"] + 1)
        with site.worker(2), site.sweeper():
            evolution.ends_as_if_undisturbed(site)


# --- hosts of a network -------------------------------------------------------------------------


class OtherHost:
    """A network namespace with one wire to this one, which can be cut."""

    def __init__(self) -> None:
        # 10.231.N.0/30, by the process: other tests may have other wires.
        number = os.getpid() % 250
        self.name = f"e2l-{os.getpid()}"
        self.here, self.there = f"10.231.{number}.1", f"10.231.{number}.2"
        self._wire = f"e2lh{os.getpid()}"[:15]
        self._end = f"e2lt{os.getpid()}"[:15]

    def connect(self) -> None:
        for command in (
            ("netns", "add", self.name),
            ("link", "add", self._wire, "type", "veth", "peer", "name", self._end),
            ("link", "set", self._end, "netns", self.name),
            ("addr", "add", f"{self.here}/30", "dev", self._wire),
            ("link", "set", self._wire, "up"),
            ("-n", self.name, "addr", "add", f"{self.there}/30", "dev", self._end),
            ("-n", self.name, "link", "set", self._end, "up"),
            ("-n", self.name, "link", "set", "lo", "up"),
        ):
            done = subprocess.run(
                ["ip", *command], check=False, capture_output=True, text=True, timeout=30
            )
            if done.returncode != 0:
                self.remove()
                pytest.skip(f"network namespaces are not permitted here: {done.stderr.strip()}")

    def cut(self) -> None:
        subprocess.run(["ip", "link", "set", self._wire, "down"], check=True)

    def mend(self) -> None:
        subprocess.run(["ip", "link", "set", self._wire, "up"], check=True)

    def remove(self) -> None:
        for command in (("link", "del", self._wire), ("netns", "del", self.name)):
            subprocess.run(["ip", *command], check=False, capture_output=True)

    def inside(self, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]


@contextmanager
def worker_of(site: Site, host: OtherHost | None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker with one child, in another host or in this one."""
    process = site.start_worker(1, prefix=host.inside([]) if host else [])
    with ended(process):
        yield process


def test_a_host_that_is_cut_off_costs_a_lease_and_may_come_back() -> None:
    binary = shutil.which("redis-server")
    if binary is None or shutil.which("ip") is None or os.getuid() != 0:
        pytest.skip("this takes root, redis-server and ip (apt install redis-server iproute2)")
    host = OtherHost()
    host.connect()
    with ExitStack() as stack:
        stack.callback(host.remove)
        directory = stack.enter_context(open_directory("e2l-hosts-"))
        (directory / "cluster").mkdir()
        addresses = f"listen_addresses = '127.0.0.1,{host.here}'"
        server = PostgreSQL(directory / "cluster", addresses)
        with (directory / "cluster" / "data" / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {host.there}/32 trust\nhost all all {host.here}/32 trust\n")
        server.start()
        stack.callback(server.stop)
        server.execute("CREATE DATABASE site")
        broker = Broker(directory, redis_binary=binary, address=host.here)
        broker.start()
        stack.callback(broker.kill)
        site = Site(directory, broker.url, server.url("site").replace("127.0.0.1", host.here))
        site.check("migrate", "-v0")
        operator = Operator(site.environment)
        stack.enter_context(ended(operator.process))
        stack.enter_context(site.sweeper())
        here = stack.enter_context(worker_of(site, None))
        there = stack.enter_context(worker_of(site, host))
        wait_until(lambda: len(operator("workers")) == 2, 120, f"two workers\n{site.log()}")
        evolution = Evolution(operator, 53, delay_ms=60)
        evolution.comes_on(6, 60, site)
        # In the middle of a simulation of the other host.
        wait_until(
            lambda: any(record["state"] == "claimed" for record in evolution.evaluations()),
            30,
            "something is claimed",
        )
        host.cut()
        started = time.monotonic()
        # Every run goes on: the lease of what was cut off ends.
        before = evolution.generations()
        wait_until(
            lambda: all(
                now > then or now == EVOLUTION["n_generations"] + 1
                for now, then in zip(evolution.generations(), before, strict=True)
            ),
            60,
            f"every run goes on\n{site.log()}",
        )
        assert time.monotonic() - started < 60
        host.mend()
        evolution.ends_as_if_undisturbed(site)
        # It has found its way back, or has been replaced by its parent; it is of use again.
        wait_until(lambda: len(operator("workers")) == 2, 120, f"both are there\n{site.log()}")
        assert there.poll() is None
        assert here.poll() is None
        second = Evolution(operator, 54, delay_ms=1)
        second.ends_as_if_undisturbed(site)
