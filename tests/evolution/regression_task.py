"""A small learning task for tests: the rule itself is judged, without a simulation.

``E2L_TEST_LOG`` names a file that is told when the trial of a rule begins. ``E2L_TEST_POISON``
names a JSON file of the rules that end or stop the process, by ``"<n_points> <rule>"``.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nest_build.rules import PlasticityRule, RuleInput, RuleSignature
from simulations.learning_tasks import (
    Aggregate,
    BaselineRule,
    LearningTask,
    Preset,
    Reason,
    TrialResult,
)
from simulations.parameters import TaskParameters, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "regression"


class RegressionParameters(TaskParameters):
    """Parameters of the regression."""

    n_trials: int = quantity(3, "Number of trials.", ge=1, le=1000)
    n_points: int = quantity(16, "Points at which the rule is compared.", ge=1, le=1000)
    delay_ms: float = quantity(0.0, "Time that a trial takes for each rule.", unit="ms", ge=0.0)


class RegressionTask(LearningTask):
    """Find ``(v - u)*s`` from its values at random points, other ones in each trial."""

    name: ClassVar[str] = NAME
    title: ClassVar[str] = "Regression"
    summary: ClassVar[str] = "Find a rule from its values."
    signature: ClassVar[RuleSignature] = RuleSignature(
        inputs=tuple(RuleInput(name, "mV", name) for name in ("v", "u", "s")),
        branches=("delta_w",),
    )
    aggregate: ClassVar[Aggregate] = Aggregate.MEAN
    fitness_label: ClassVar[str] = "minus root mean square error"
    parameters_type: ClassVar[type[TaskParameters]] = RegressionParameters
    presets: ClassVar[dict[str, Preset]] = {
        "demo": Preset(
            name="demo",
            label="Demo",
            description="Small.",
            task_parameters=RegressionParameters(),
            seed=10,
            validation_seed=1000,
            n_runs=2,
            evolution={"n_generations": 30, "target_fitness": -1e-6},
        )
    }
    baselines: ClassVar[tuple[BaselineRule, ...]] = (
        BaselineRule("product", ("(v - u)*s",), "by construction"),
    )

    def simulate_trial(
        self,
        rules: Sequence[PlasticityRule],
        parameters: TaskParameters,
        *,
        seed: int,
        trial: int = 0,
        record_traces: bool = False,
    ) -> list[TrialResult]:
        """Return minus the root mean square distance from the rule to be found."""
        for rule in rules:
            _note(f"{parameters.n_points} {trial} {rule.texts[0]}")
            _take_poison(f"{parameters.n_points} {rule.texts[0]}")
        # libfaketime, with which tests shift a clock, breaks time.sleep.
        select.select([], [], [], parameters.delay_ms / 1e3 * len(rules))
        points = np.random.RandomState(seed + trial).uniform(-2.0, 2.0, (3, parameters.n_points))
        v, u, s = points
        results = []
        for rule in rules:
            with np.errstate(all="ignore"):
                distance = rule.branches[0].evaluate(v, u, s) - (v - u) * s
                value = -float(np.sqrt(np.mean(distance**2)))
            if np.isfinite(value):
                results.append(TrialResult(value))
            else:
                results.append(TrialResult(None, Reason.NOT_FINITE, "not a finite number"))
        return results

    def estimate_seconds(self, parameters: TaskParameters, n_rules: int = 1) -> float:
        """Return the time of one trial, in s."""
        return (parameters.delay_ms / 1e3 + 5e-5) * n_rules


def _note(line: str) -> None:
    path = os.environ.get("E2L_TEST_LOG")
    if path is not None:
        # One write, so that lines of several processes do not mix.
        with open(path, "ab", buffering=0) as log:
            log.write(f"{line}\n".encode())


def _take_poison(rule: str) -> None:
    path = os.environ.get("E2L_TEST_POISON")
    poison = "" if path is None else json.loads(Path(path).read_text()).get(rule, "")
    if poison == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif poison == "segfault":
        ctypes.string_at(0)
    elif poison == "hang":
        # Like a simulation it does not let go of the interpreter.
        while True:
            ctypes.PyDLL(None).sleep(3600)


def register() -> None:
    """Make the learning task known to this process."""
    from simulations import learning_tasks

    learning_tasks._REGISTRY[NAME] = f"{__name__}:RegressionTask"
