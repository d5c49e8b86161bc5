"""One trial of the error-driven learning task with the paper's parameters (10 s at 0.01 ms) on one
core: a single rule, and eight rules in one simulation, as time per rule. The network's inputs are
drawn anew each time. Compared with the authors' code on one core of a comparable machine (23 s for
`(v - u)*s`, 35, 46 and 69 s for their champions 0, 2 and 3), and with a loop in C++ that does the
same arithmetic without NEST. What NEST adds: about half of it is spent in each of the 10 000 time
slices whatever the number of rules (tables of ring buffers of as many entries as a slice has steps,
barriers of the thread team, asking every node, the teacher's potentials); the rest is the delivery
of spikes to the students, drawing inputs, building the network and reading potentials."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from simulations.learning_tasks._error_driven_simulation import DELAY_MS, Stimulus
from tests.bench import ERROR_DRIVEN_CHAMPIONS, Row, processor_seconds_of, seconds_of
from tests.bench._limit import limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulations.learning_tasks.error_driven import ErrorDrivenParameters
    from tests.bench import Clock

TITLE = "A trial of the error-driven learning task"
REPETITIONS = 5
ALONE_BOUND_S = 0.15
BATCH = 8
BATCH_BOUND_S = 0.06
LOOP_BOUND = 3
AUTHORS = {
    "x_2*(x_0 - x_1)": 23.0,
    "x_2*(x_0 - x_1)*(2*x_1 - 1)/x_0": 35.0,
    "x_2*(x_0 + x_1)*(x_0*(x_0 - x_1) - x_2)/x_0**2": 46.0,
    "x_0*x_2*(x_0 - x_1)*(x_1 - 1)/(x_0**2 - x_1*x_2*(x_1 - 1))": 69.0,
}


def rows() -> Iterator[Row]:
    """Measure single trials and a batch."""
    task = get_learning_task("error-driven")
    parameters = task.presets["paper"].task_parameters
    seed = task.presets["paper"].seed

    def seconds_per_rule(texts: list[str], clock: Clock = seconds_of) -> float:
        rules = [PlasticityRule.parse(task.signature, [text]) for text in texts]
        seconds = clock(lambda: task.simulate_trial(rules, parameters, seed=seed), REPETITIONS)
        return seconds / len(rules)

    for text, authors_s in AUTHORS.items():
        yield Row(
            f"`{text}` alone",
            seconds_per_rule([text]),
            "s",
            bound=ALONE_BOUND_S,
            reference=authors_s,
            reference_name="authors' code",
        )
    simplest = ERROR_DRIVEN_CHAMPIONS[0]
    # Constants that hardly matter make eight different rules of the same cost.
    batch = [f"{1 + 0.01 * k:g}*({simplest})" for k in range(BATCH)]
    yield Row(
        f"eight variants of `{simplest}` together, per rule",
        seconds_per_rule(batch),
        "s",
        bound=BATCH_BOUND_S,
        reference=AUTHORS[simplest],
        reference_name="authors' code",
    )
    dead = [f"{k}*u/(s - s)" for k in range(1, 5)]
    yield Row(
        "the same, but four rules are not finite, per rule",
        seconds_per_rule(batch[:4] + dead),
        "s",
        bound=BATCH_BOUND_S,
    )
    yield Row(
        "loop without NEST, eight rules, per rule (processor time)",
        seconds_without_nest(parameters, seed),
        "s",
        reference=seconds_per_rule(batch, processor_seconds_of),
        reference_name=f"eight variants in NEST (at most {LOOP_BOUND} times as long)",
    )


def seconds_without_nest(parameters: ErrorDrivenParameters, seed: int) -> float:
    """Run the loop with the inputs and the teacher of the first trial; return seconds per rule."""
    stimulus = Stimulus.draw(parameters, seed)
    # A spike with the time stamp k is sent in the step before, and arrives a delay later.
    steps = np.concatenate(stimulus.spike_steps) - 1 + round(DELAY_MS / parameters.dt_ms)
    ids = np.repeat(np.arange(parameters.n_inputs), [len(train) for train in stimulus.spike_steps])
    order = np.argsort(steps, kind="stable")
    order = order[steps[order] < round(parameters.t_sim_ms / parameters.dt_ms)]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "inputs"
        data.write_bytes(np.column_stack([steps[order], ids[order]]).astype(np.int64).tobytes())
        return limit(
            "error_driven_limit.cpp",
            data,
            BATCH,
            *stimulus.teacher_weights_pa,
            repetitions=REPETITIONS,
        )
