"""One trial of the reward-driven learning task with the paper's parameters (500 training trials of
500 ms at 0.01 ms) on one core, as time per training trial and rule: a single rule, and eight rules
in one simulation; everything from drawing the inputs to the value is in it. Compared with the
authors' code on one core of a comparable machine, and with a loop in C++ that does the same
arithmetic without NEST. What NEST adds: it keeps tables of ring buffers up to date, in time that
grows with the number of simulation steps and that all rules of a simulation share; the rest, events
and synapses, is small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from tests.bench import Row, processor_seconds_of, seconds_of
from tests.bench._limit import limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench import Clock

TITLE = "A training trial of the reward-driven learning task"
REPETITIONS = 5
BATCH = 8
BATCH_BOUND_MS = 2.0
LOOP_BOUND = 3
AUTHORS_MS = 108.0


def rows() -> Iterator[Row]:
    """Measure a rule alone, a batch with both kinds of noise, and the loop without NEST."""
    task = get_learning_task("reward-driven")
    preset = task.presets["paper"]

    def milliseconds(n_rules: int, noise: str, clock: Clock = seconds_of) -> float:
        parameters = preset.task_parameters.with_changes({"noise": noise})
        # Constants that hardly matter make different rules of the same cost.
        rules = [
            PlasticityRule.parse(task.signature, [f"{1 + 0.01 * k:g}*E*(R - 1)"])
            for k in range(n_rules)
        ]
        seconds = clock(
            lambda: task.simulate_trial(rules, parameters, seed=preset.seed), REPETITIONS
        )
        return 1e3 * seconds / n_rules / parameters.n_training_trials

    for what, value, bound in (
        ("`E*(R - 1)` alone", milliseconds(1, "frozen"), None),
        ("eight variants together, per rule", milliseconds(BATCH, "frozen"), BATCH_BOUND_MS),
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
        "loop without NEST, eight rules, per rule (processor time)",
        limit(
            "reward_driven_limit.cpp",
            BATCH,
            repetitions=REPETITIONS,
            sources=("usrl_trial_integrator.cpp", "usrl_trial_noise.cpp"),
        ),
        "ms",
        reference=milliseconds(BATCH, "frozen", processor_seconds_of),
        reference_name=f"eight variants in NEST (at most {LOOP_BOUND} times as long)",
    )
