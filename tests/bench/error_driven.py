"""One trial of the error-driven learning task with the paper's parameters (10 s at 0.01 ms) on one
core: a single rule, and eight rules in one simulation, as time per rule. The network's inputs are
drawn anew each time. Compared with the authors' code on one core of a comparable machine (23 s for
`(v - u)*s`, 35, 46 and 69 s for their champions 0, 2 and 3), and with a loop in C++ that does the
same arithmetic without NEST. What NEST adds: about half of it is spent in each of the 10 000 time
slices whatever the number of rules (tables of ring buffers of as many entries as a slice has steps,
barriers of the thread team, asking every node, the teacher's potentials); the rest is the delivery
of spikes to the students, drawing inputs, building the network and reading potentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from tests.bench import ERROR_DRIVEN_CHAMPIONS, Row, seconds_of
from tests.bench._limit import limit

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def seconds_per_rule(texts: list[str]) -> float:
        rules = [PlasticityRule.parse(task.signature, [text]) for text in texts]
        seconds = seconds_of(lambda: task.simulate_trial(rules, parameters, seed=seed), REPETITIONS)
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
    batch_s = seconds_per_rule(batch)
    yield Row(
        f"eight variants of `{simplest}` together, per rule",
        batch_s,
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
        "loop without NEST, eight rules, per rule",
        limit("error_driven_limit.cpp", BATCH, repetitions=REPETITIONS),
        "s",
        reference=batch_s,
        reference_name=f"eight variants in NEST (at most {LOOP_BOUND} times as long)",
    )
