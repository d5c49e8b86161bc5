"""Figure 4: a student neuron learns to follow a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from simulations.figures.base import PaperFigure, PaperRule
from simulations.figures.panel import panel, series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulations.figures.panel import Panel
    from simulations.parameters import TaskParameters

#: Time constant with which the error is smoothed, in ms, and what is left out of it before the
#: first input spikes arrive.
ERROR_TAU_MS = 10.0
_SKIPPED_MS = 10.0

_DELTA_RULE = PaperRule("(v - u)*s", ("(v - u)*s",), 5)


class ErrorDrivenFigure(PaperFigure):
    """See the module's description."""

    name: ClassVar[str] = "fig4"
    number: ClassVar[int] = 4
    title: ClassVar[str] = "Error-driven learning"
    summary: ClassVar[str] = (
        "A student neuron learns to follow the potential of a teacher: its error falls, and its "
        "weights become those of the teacher. Evolution finds the rules that do this."
    )
    learning_task_name: ClassVar[str] = "error-driven"
    rules: ClassVar[tuple[PaperRule, ...]] = (
        PaperRule("2*(v - u)*s", ("2*(v - u)*s",), 4),
        _DELTA_RULE,
    )
    shown_rule: ClassVar[PaperRule] = _DELTA_RULE
    layout: ClassVar[tuple[tuple[str, ...], ...]] = (("4B", "4C"), ("4D", "4D-validation"))
    simulated: ClassVar[dict[str, str]] = {"4B": "Error", "4C": "Weights"}
    runs_key: ClassVar[str] = "4D"
    n_held_out: ClassVar[int] = 15
    # The authors showed twice the duration of their trials.
    changes: ClassVar[dict[str, Any]] = {"t_sim_ms": 20_000.0}
    quick_changes: ClassVar[dict[str, Any]] = {"t_sim_ms": 2_000.0}
    quick_held_out_changes: ClassVar[dict[str, Any]] = {"t_sim_ms": 1_000.0}

    def panels(
        self, arrays: Mapping[str, np.ndarray], parameters: TaskParameters, rule_text: str
    ) -> list[Panel]:
        """Return error and weights; see :class:`PaperFigure`."""
        return [_error(arrays, rule_text), _weights(arrays, rule_text)]


def _error(arrays: Mapping[str, np.ndarray], rule_text: str) -> Panel:
    times_ms = arrays["times_ms"]
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.abs(arrays["student_potential_mv"] - arrays["teacher_potential_mv"])
        error = low_pass(distance, ERROR_TAU_MS, times_ms[1] - times_ms[0])
    shown = times_ms > _SKIPPED_MS
    ends = ", ".join(
        f"{np.mean(part):.3g} mV in the {word} second"
        for part, word in ((error[shown][:1000], "first"), (error[-1000:], "last"))
    )
    return panel(
        "4B",
        "Error",
        x_label="time (s)",
        y_label="|v − u| (mV)",
        y_scale="log",
        series=[series("error", times_ms[shown] * 1e-3, error[shown])],
        summary=f"Distance of the student's potential from the teacher's, smoothed with "
        f"{ERROR_TAU_MS:g} ms, while the student learns by {rule_text}: on average {ends}.",
    )


def low_pass(values: np.ndarray, tau_ms: float, dt_ms: float) -> np.ndarray:
    """Return values smoothed by an exponential kernel, beginning with the first value.

    Parameters
    ----------
    values : ndarray of shape (n,)
    tau_ms, dt_ms : float
        Time constant, and interval between the values, in ms.
    """
    kept = float(np.exp(-dt_ms / tau_ms))
    smooth = np.empty(len(values))
    last = values[0]
    for index, value in enumerate(values):
        last = kept * last + (1.0 - kept) * value
        smooth[index] = last
    return smooth


def _weights(arrays: Mapping[str, np.ndarray], rule_text: str) -> Panel:
    times_s = arrays["weight_times_ms"] * 1e-3
    weights, teacher = arrays["weights_pa"], arrays["teacher_weights_pa"]
    student = [
        series(f"input {index}", times_s, weights[:, index], color=index)
        for index in range(weights.shape[1])
    ]
    goals = [
        series(
            f"teacher, input {index}",
            [times_s[0], times_s[-1]],
            [weight, weight],
            color=index,
            is_dashed=True,
            legend="",
        )
        for index, weight in enumerate(teacher)
    ]
    distances = np.abs(weights[[0, -1]] - teacher).max(axis=1)
    return panel(
        "4C",
        "Weights",
        x_label="time (s)",
        y_label="weight (pA)",
        series=[*student, *goals],
        summary=f"Weights of the student, and of the teacher (dashed), by {rule_text}: the largest "
        f"distance is {distances[0]:.3g} pA at first and {distances[1]:.3g} pA at the end.",
    )
