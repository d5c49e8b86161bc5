"""Batch scripts that start workers on the nodes of a cluster, by Slurm."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: What workers take over from the environment in which the script is written.
PASSED_ON = (
    "DATABASE_URL",
    "REDIS_URL",
    "E2L_LEARNING_TASKS",
    "E2L_LOG_FORMAT",
    "E2L_LOG_LEVEL",
    "E2L_TIME_LIMIT_S",
    "PYTHONPATH",
)
_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<h1>\d+)(?::(?P<m1>\d+))?(?::(?P<s1>\d+))?"
    r"|(?:(?P<h2>\d+):(?=\d+:))?(?P<m2>\d+)(?::(?P<s2>\d+))?)",
    re.ASCII,
)
_NAMES = re.compile(r"[A-Za-z0-9_.-]+(?:,[A-Za-z0-9_.-]+)*")

_SCRIPT = """\
#!/bin/bash
# Workers of e2l on {nodes} node(s), {workers} on each: sbatch {name}
#SBATCH --job-name=e2l-workers
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task={workers}
#SBATCH --time={time}
# So long before the limit this script is told to end.
#SBATCH --signal=B:TERM@{drain_s}
#SBATCH --output=e2l-workers-%j.log
{partition}
set -eu

# The addresses of the servers, with their passwords: nobody else may read this file.
. {environment}
export E2L_WORKERS={workers}
# Run-time data of a worker is of no use to another one: it stays on the node.
export E2L_DATA_DIR="${{TMPDIR:-/tmp}}/e2l-job-$SLURM_JOB_ID"
cd {project}

# Workers that are told to end finish the trial they are in and return their leases. Slurm tells
# them; srun, told itself, would kill them.
drain() {{
    echo "Draining"
    scancel --signal=TERM "$SLURM_JOB_ID.0"
}}
trap drain TERM

srun --ntasks-per-node=1 --cpus-per-task={workers} --kill-on-bad-exit=0 \\
    {python} -m e2l_site.launcher --worker-only &
step=$!
# A signal ends the waiting, not the workers: wait until these have ended.
code=0
while kill -0 "$step" 2>/dev/null; do
    code=0
    wait "$step" || code=$?
done
echo "All workers have ended"
exit "$code"
"""


class SlurmError(ValueError):
    """A script cannot be written so; the message names the option."""


@dataclass(frozen=True)
class Batch:
    """What a job asks for.

    Attributes
    ----------
    time : str
        Time limit as Slurm writes it: minutes, H:M:S, D-H and others.
    drain_s : int
        How long before the limit workers are told to end.
    """

    nodes: int
    time: str
    workers_per_node: int
    partition: str = ""
    drain_s: int = 120

    def check(self) -> None:
        """Raise SlurmError where Slurm would refuse it, or it would end before it has begun."""
        for name, value in (("--nodes", self.nodes), ("--workers-per-node", self.workers_per_node)):
            if not 1 <= value <= 10_000:
                raise SlurmError(f"{name} must be from 1 to 10000, not {value}.")
        if self.partition and not _NAMES.fullmatch(self.partition):
            raise SlurmError(f"--partition is {self.partition!r}, which is no name of a partition.")
        limit_s = seconds(self.time)
        if self.drain_s < 1 or limit_s <= self.drain_s:
            raise SlurmError(
                f"--time is {limit_s} s: it must be longer than the {self.drain_s} s before its "
                "end in which workers drain."
            )


def seconds(text: str) -> int:
    """Return a time that is written as Slurm reads it, in s.

    Raises
    ------
    SlurmError
        If Slurm would not read it.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise SlurmError(f"--time is {text!r}; write it as 90 (minutes), 8:00:00 or 2-12:00:00.")
    part = {name: int(value or 0) for name, value in match.groupdict().items()}
    if match["days"]:
        return ((part["days"] * 24 + part["h1"]) * 60 + part["m1"]) * 60 + part["s1"]
    return (part["h2"] * 60 + part["m2"]) * 60 + part["s2"]


def script(batch: Batch, *, name: str, environment: Path, project: Path, python: str) -> str:
    """Return the batch script.

    Parameters
    ----------
    batch : Batch
    name : str
        Name of the script, for people.
    environment : Path
        File of the environment, which the nodes must be able to read.
    project : Path
        Where the code lies, on the nodes as here.
    python : str
        Python of the environment with the packages.
    """
    batch.check()
    return _SCRIPT.format(
        name=shlex.quote(name),
        nodes=batch.nodes,
        workers=batch.workers_per_node,
        time=batch.time,
        drain_s=batch.drain_s,
        partition=f"#SBATCH --partition={batch.partition}\n" if batch.partition else "",
        environment=shlex.quote(str(environment)),
        project=shlex.quote(str(project)),
        python=shlex.quote(python),
    )


def environment_file(environment: Mapping[str, str]) -> str:
    """Return the lines that set what workers need, for a shell to read."""
    return "".join(
        f"export {name}={shlex.quote(environment[name])}\n"
        for name in PASSED_ON
        if environment.get(name, "").strip()
    )
