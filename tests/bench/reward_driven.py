"""One trial of the reward-driven learning task with the paper's parameters (500 training trials of
500 ms at 0.01 ms) on one core, as time per training trial and rule: a single rule, and eight rules
in one simulation; everything from drawing the inputs to the value is in it. Compared with the
authors' code on one core of a comparable machine, and with a loop in C++ that does the same
arithmetic without NEST. What NEST adds: it keeps tables of ring buffers up to date, in time that
grows with the number of simulation steps and that all rules of a simulation share; the rest, events
and synapses, is small."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import nest_build
from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from tests.bench import Row, seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "A training trial of the reward-driven learning task"
REPETITIONS = 5
BATCH = 8
BATCH_BOUND_MS = 2.0
AUTHORS_MS = 108.0
SOURCES = Path(nest_build.__file__).parent / "src"


def rows() -> Iterator[Row]:
    """Measure a rule alone, a batch with both kinds of noise, and the loop without NEST."""
    task = get_learning_task("reward-driven")
    preset = task.presets["paper"]

    def milliseconds(n_rules: int, noise: str) -> float:
        parameters = preset.task_parameters.with_changes({"noise": noise})
        # Constants that hardly matter make different rules of the same cost.
        rules = [
            PlasticityRule.parse(task.signature, [f"{1 + 0.01 * k:g}*E*(R - 1)"])
            for k in range(n_rules)
        ]
        seconds = seconds_of(
            lambda: task.simulate_trial(rules, parameters, seed=preset.seed), REPETITIONS
        )
        return 1e3 * seconds / n_rules / parameters.n_training_trials

    batch_ms = milliseconds(BATCH, "frozen")
    for what, value, bound in (
        ("`E*(R - 1)` alone", milliseconds(1, "frozen"), None),
        ("eight variants together, per rule", batch_ms, BATCH_BOUND_MS),
        ("the same with fresh noise", milliseconds(BATCH, "fresh"), BATCH_BOUND_MS),
    ):
        yield Row(
            what,
            value,
            "ms",
            bound=bound,
            reference=AUTHORS_MS,
            reference_name="authors' code",
        )
    yield Row(
        "loop without NEST, eight rules, per rule",
        milliseconds_without_nest(),
        "ms",
        reference=batch_ms,
        reference_name="eight variants in NEST",
    )


def milliseconds_without_nest() -> float:
    """Compile and run the loop; return ms per training trial and rule."""
    compiler = shutil.which("c++") or shutil.which("g++") or "clang++"
    spec = importlib.util.find_spec("nest")
    nest_folder = Path(spec.submodule_search_locations[0])
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "limit"
        # Flags as in nest_build/src/CMakeLists.txt.
        subprocess.run(
            [
                *(compiler, "-std=c++20", "-O3", "-DNDEBUG", "-ffp-contract=off"),
                *("-I", str(SOURCES), "-I", str(nest_folder / "include" / "nest")),
                str(Path(__file__).with_name("reward_driven_limit.cpp")),
                str(SOURCES / "usrl_trial_integrator.cpp"),
                str(SOURCES / "usrl_trial_noise.cpp"),
                *("-o", str(program)),
            ],
            check=True,
        )
        measured = []
        for _ in range(REPETITIONS):
            answer = subprocess.run(
                [str(program), str(BATCH)], check=True, capture_output=True, text=True
            )
            measured.append(float(answer.stdout.split()[0]))
    return min(measured)
