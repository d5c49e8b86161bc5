"""One trial of the correlation-driven learning task with the paper's parameters (100 s at 0.1 ms,
1000 inputs) on one core, as time per rule: a single rule, and eight and 32 rules in one simulation;
everything from drawing the inputs to the value is in it. Rules have the arithmetic of the paper's
parameters, in which products with zero are zero. Compared with IEEE arithmetic, with the authors'
code on one core of a comparable machine, and with a loop in C++ that does the same without NEST.
What NEST adds: in each of 100 000 time slices it looks at every source to see that it is frozen
(one device emits the spikes of all of them), which all rules of a simulation share; the rest is the
delivery of spikes, one by one, and the reading of weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from simulations.learning_tasks._correlation_driven_inputs import draw_inputs
from simulations.learning_tasks._correlation_driven_simulation import emission_steps
from tests.bench import Row, processor_seconds_of, seconds_of
from tests.bench._limit import limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulations.parameters import TaskParameters
    from tests.bench import Clock

TITLE = "A trial of the correlation-driven learning task"
REPETITIONS = 3
BATCH = 8
BOUNDS_S = {1: None, BATCH: 0.35, 32: 0.15}
AUTHORS_S = 12.0
LOOP_BOUND = 12


def rows() -> Iterator[Row]:
    """Measure a rule alone, two batches, and the loop without NEST."""
    task = get_learning_task("correlation-driven")
    preset = task.presets["paper"]
    parameters = preset.task_parameters

    def seconds_per_rule(
        n_rules: int, clock: Clock = seconds_of, parameters: TaskParameters = parameters
    ) -> float:
        # Constants that hardly matter make different rules of the same cost.
        rules = [
            PlasticityRule.parse(task.signature, (f"{1 + 0.01 * k:g}*(w*E - w - E)", "E - w"))
            for k in range(n_rules)
        ]
        seconds = clock(
            lambda: task.simulate_trial(rules, parameters, seed=preset.seed), REPETITIONS
        )
        return seconds / n_rules

    for n_rules, bound_s in BOUNDS_S.items():
        yield Row(
            "`w*E - w - E`, `E - w`" + (f", {n_rules} variants together" if n_rules > 1 else ""),
            seconds_per_rule(n_rules),
            "s",
            bound=bound_s,
            reference=AUTHORS_S,
            reference_name="authors' code",
        )
    yield Row(
        f"{BATCH} variants together (processor time)",
        seconds_per_rule(BATCH, processor_seconds_of),
        "s",
        reference=seconds_per_rule(
            BATCH, processor_seconds_of, parameters.with_changes({"arithmetic": "ieee"})
        ),
        reference_name="in IEEE arithmetic",
    )
    inputs = draw_inputs(parameters.input_statistics(), preset.seed, 0)
    steps = emission_steps(inputs)
    yield Row(
        "loop without NEST, per rule (processor time)",
        seconds_without_nest(steps, parameters),
        "s",
        reference=seconds_per_rule(BATCH, processor_seconds_of),
        reference_name=f"{BATCH} variants together in NEST (at most {LOOP_BOUND} times as long)",
    )


def seconds_without_nest(spike_steps: list[np.ndarray], parameters: object) -> float:
    """Run the loop with the same inputs; return seconds per rule."""
    n_steps, n_replay = round(parameters.t_sim_ms * 10), round(parameters.replay_ms * 10)
    steps = np.concatenate(spike_steps)
    ids = np.repeat(np.arange(len(spike_steps)), [len(train) for train in spike_steps])
    order = np.argsort(steps, kind="stable")
    spikes = np.column_stack([steps[order], ids[order]])
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "inputs"
        header = np.array([len(spike_steps), n_steps, n_replay], dtype=np.int64)
        data.write_bytes(header.tobytes() + spikes.astype(np.int64).tobytes())
        return limit("correlation_driven_limit.cpp", data, BATCH, repetitions=REPETITIONS)
