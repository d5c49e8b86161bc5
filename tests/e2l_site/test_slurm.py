"""Batch scripts for Slurm: what is refused, what is written, and what bash makes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from e2l_site import slurm
from tests.evolution.processes import Site

SERVERS = {
    "DATABASE_URL": "postgresql://e2l:it's $(secret)@db.example.org/e2l",
    "REDIS_URL": "redis://broker.example.org:6379/0",
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("90:30", 5430),
        ("8:00:00", 28800),
        ("2-12", 216000),
        ("1-0:30", 88200),
        ("1-01:02:03", 90123),
    ],
)
def test_times_are_read_as_slurm_does(text: str, seconds: int) -> None:
    """By the forms of sbatch's manual."""
    assert slurm.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-5", "1-", "8:00:00\n#SBATCH --x", "٩٠"])
def test_times_that_slurm_would_not_read(text: str) -> None:
    with pytest.raises(slurm.SlurmError, match="--time is"):
        slurm.seconds(text)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"nodes": 0}, "--nodes"),
        ({"workers_per_node": 0}, "--workers-per-node"),
        ({"partition": "a b"}, "--partition"),
        ({"partition": "a\n#SBATCH --uid=0"}, "--partition"),
        ({"time": "2", "drain_s": 120}, "--time is 120 s"),
    ],
)
def test_what_slurm_would_refuse_is_refused(changes: dict[str, Any], name: str) -> None:
    batch = slurm.Batch(**{"nodes": 1, "time": "60", "workers_per_node": 1, **changes})
    with pytest.raises(slurm.SlurmError, match=name):
        batch.check()


def write(site: Site, *options: str, **environment: str) -> tuple[int, str]:
    site.environment.update(environment)
    process = site.command("slurm", "--nodes", "3", "--time", "1:00:00", *options)
    output, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    return process.returncode, output + errors


def test_the_script_is_one_that_bash_reads_and_its_secrets_are_private(tmp_path: Path) -> None:
    site = Site(tmp_path, "redis://127.0.0.1:1/0", None)
    folder = tmp_path / "a folder's name"
    folder.mkdir()
    path = folder / "job.sh"
    code, text = write(
        site, "--workers-per-node", "4", "--partition", "long", "--drain", "300",
        "--out", str(path), **SERVERS,
    )  # fmt: skip
    assert code == 0, text
    script = path.read_text()
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    for line in (
        "#SBATCH --nodes=3",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --time=1:00:00",
        "#SBATCH --signal=B:TERM@300",
        "#SBATCH --partition=long",
    ):
        assert line in script.splitlines()
    # Slurm reads its lines up to the first command.
    first = next(i for i, line in enumerate(script.splitlines()) if not line.startswith("#"))
    assert all("#SBATCH" not in line for line in script.splitlines()[first:])
    assert "secret" not in script + text
    environment = Path(f"{path}.env")
    assert environment.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(
        ["bash", "-c", '. "$0"; printf "%s\\n%s" "$DATABASE_URL" "$REDIS_URL"', str(environment)],
        check=True, capture_output=True, text=True, env={},
    ).stdout  # fmt: skip
    assert shown.splitlines() == [SERVERS["DATABASE_URL"], SERVERS["REDIS_URL"]]


@pytest.mark.parametrize(
    "environment",
    [
        {**SERVERS, "DATABASE_URL": ""},
        {**SERVERS, "DATABASE_URL": "sqlite:////tmp/db.sqlite3"},
        {**SERVERS, "REDIS_URL": "unix:///tmp/v.sock?db=0"},
    ],
    ids=["none", "SQLite", "socket"],
)
def test_servers_of_one_machine_only_are_refused(tmp_path: Path, environment) -> None:
    path = tmp_path / "job.sh"
    code, text = write(
        Site(tmp_path, "redis://127.0.0.1:1/0", None), "--out", str(path), **environment
    )
    assert code == 2
    assert "must name a server that the nodes of the cluster reach" in text
    assert not path.exists()
