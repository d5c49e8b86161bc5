"""Memory of a worker's child for each learning task, with the paper's parameters: a fresh process
that has loaded what a worker loads (Django, Celery, NEST, the rule compiler) evaluates 400 rules in
batches of eight. No two rules are the same, and some of them are not finite. Each is simulated in
one trial, another one from batch to batch: every trial builds its network anew, so more of them
would show nothing else. The peak is what the kernel counts until the end. The growth is that of the
resident memory over the last 200 rules, by a straight line through its values after each batch.
Before, a process gains some ten MB: it keeps the machine code of the last hundred rules or two, of
which each takes some 50 kB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nest_build.rules import PlasticityRule
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import get_learning_task
from tests.bench import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Memory of a worker"
BATCH = 8
N_BATCHES = 50
N_FLAT_BATCHES = 25
PEAK_BOUND_MB = 600.0
GROWTH_BOUND_MB = 1.0

#: Rules with a constant that makes them different ones. The last of each list is not finite.
TEMPLATES = {
    "error-driven": (
        ("{c}*(v - u)*s",),
        ("s*(v + u)*(v*(v - u) - {c}*s)/v**2",),
        ("{c}*v*s*(v - u)*(u - 1)/(v**2 - u*s*(u - 1))",),
        ("{c}*(u - v)**3*s*1e30",),
    ),
    "reward-driven": (
        ("{c}*E*(R - 1)",),
        ("R - {c} + E/R",),
        ("-(R*E + {c}*(R - E)**2)/(R*(R - E))",),
        ("{c}*E/(R - R)",),
    ),
    "correlation-driven": (
        ("{c}*(w*E - w - E)", "E - {c}*w"),
        ("{c}*E/w - w", "(w*E)**w - {c}"),
        ("0", "{c}*(E - 0.15)"),
        ("-{c}/(E - E)", "{c}*E"),
    ),
}


def rows() -> Iterator[Row]:
    """Measure each learning task in a process of its own."""
    for name in TEMPLATES:
        answer = subprocess.run(
            [sys.executable, "-m", "tests.bench.memory", name],
            cwd=Path(__file__).resolve().parents[2],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        figures = json.loads(answer.stdout.splitlines()[-1])
        yield Row(f"{name}: peak", figures["peak_mb"], "MB", bound=PEAK_BOUND_MB)
        yield Row(
            f"{name}: growth over {N_FLAT_BATCHES * BATCH} rules",
            figures["growth_mb"],
            "MB",
            bound=GROWTH_BOUND_MB,
        )


def measure(name: str) -> dict[str, float]:
    """Evaluate the rules of one learning task; return the figures."""
    _load_what_a_worker_loads()
    task = get_learning_task(name)
    preset = task.presets["paper"]
    templates = TEMPLATES[name]
    resident_mb = []
    for batch in range(N_BATCHES):
        rules = [
            PlasticityRule.parse(
                task.signature,
                [text.format(c=1 + 0.001 * index) for text in templates[index % len(templates)]],
            )
            for index in range(batch * BATCH, (batch + 1) * BATCH)
        ]
        trial = batch % preset.task_parameters.n_trials
        evaluate_rules(
            task,
            rules,
            preset.task_parameters,
            seed=preset.seed,
            trials=range(trial, trial + 1),
        )
        resident_mb.append(_memory_mb("VmRSS"))
    late_mb = resident_mb[-N_FLAT_BATCHES:]
    line = np.polynomial.Polynomial.fit(np.arange(N_FLAT_BATCHES), late_mb, 1)
    growth_mb = float(line(N_FLAT_BATCHES) - line(0))
    return {"peak_mb": _memory_mb("VmHWM"), "growth_mb": growth_mb}


def _load_what_a_worker_loads() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    import django

    from e2l_site.celery import app

    django.setup()
    app.loader.import_default_modules()
    from evolution.services.simulator import load_simulator

    load_simulator()


def _memory_mb(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1])) + "\n")
