"""Figure 3: a neuron learns by trial and error for which patterns to spike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from simulations.figures.base import PaperFigure, PaperRule
from simulations.figures.panel import panel, series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulations.figures.panel import Panel
    from simulations.parameters import TaskParameters

#: Training trials that are shown of the beginning and of the end.
N_SHOWN = 8
_RULE = PaperRule("E*(R - 1)", ("E*(R - 1)",))


class RewardDrivenFigure(PaperFigure):
    """See the module's description."""

    name: ClassVar[str] = "fig3"
    number: ClassVar[int] = 3
    title: ClassVar[str] = "Reward-driven learning"
    summary: ClassVar[str] = (
        "A neuron learns from rewards for which patterns of input spikes to spike itself, and "
        "evolution finds the rules that do this."
    )
    learning_task_name: ClassVar[str] = "reward-driven"
    rules: ClassVar[tuple[PaperRule, ...]] = (_RULE,)
    shown_rule: ClassVar[PaperRule] = _RULE
    layout: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("3B-early", "3B-late"),
        ("3C", "3C-validation", "3D"),
    )
    simulated: ClassVar[dict[str, str]] = {
        "3B-early": "Early training",
        "3B-late": "Late training",
    }
    runs_key: ClassVar[str] = "3C"
    path_key: ClassVar[str] = "3D"
    path_run_index: ClassVar[int] = 6
    n_held_out: ClassVar[int] = 10
    quick_changes: ClassVar[dict[str, Any]] = {"n_training_trials": 60}
    quick_held_out_changes: ClassVar[dict[str, Any]] = {"n_training_trials": 60}

    def panels(
        self, arrays: Mapping[str, np.ndarray], parameters: TaskParameters, rule_text: str
    ) -> list[Panel]:
        """Return the rasters of the first and of the last trials; see :class:`PaperFigure`."""
        n_trials = len(arrays["rewards"])
        if not n_trials:
            raise ValueError("The rule was not finite in the first training trial.")
        n_shown = min(N_SHOWN, n_trials)
        return [
            _raster(arrays, parameters, rule_text, key, title, first, first + n_shown)
            for (key, title), first in zip(
                self.simulated.items(), (0, n_trials - n_shown), strict=True
            )
        ]


def _raster(
    arrays: Mapping[str, np.ndarray],
    parameters: TaskParameters,
    rule_text: str,
    key: str,
    title: str,
    first: int,
    end: int,
) -> Panel:
    """Return the training trials from ``first`` to before ``end`` one after the other."""
    duration_ms, n_inputs = parameters.pattern_duration_ms, parameters.n_inputs
    times, rows = [], []
    for trial in range(first, end):
        own = arrays["pattern_ids"] == arrays["presented_patterns"][trial]
        times.append(trial * duration_ms + arrays["pattern_spike_times_ms"][own])
        rows.append(arrays["pattern_input_ids"][own])
    shown = (arrays["output_spike_trials"] >= first) & (arrays["output_spike_trials"] < end)
    output_ms = (
        arrays["output_spike_trials"][shown] * duration_ms + arrays["output_spike_times_ms"][shown]
    )
    trials = np.arange(first, end)
    rewards = arrays["rewards"][first:end]
    targets = arrays["target_classes"][arrays["presented_patterns"][first:end]]
    middle_s = (trials + 0.5) * duration_ms * 1e-3
    marks = [
        series(
            name,
            middle_s[rewards == reward],
            np.full((rewards == reward).sum(), n_inputs + 8.0),
            "points",
            mark=mark,
            color=color,
        )
        for name, reward, mark, color in (
            ("right: R = +1", 1.0, "triangle", 2),
            ("wrong: R = −1", -1.0, "x", 3),
        )
    ]
    return panel(
        key,
        title,
        x_label="time (s)",
        y_label="neuron",
        series=[
            series(
                "input", np.concatenate(times) * 1e-3, np.concatenate(rows), "raster", color="muted"
            ),
            series(
                "output", output_ms * 1e-3, np.full(len(output_ms), n_inputs + 3), "raster", color=1
            ),
            *marks,
        ],
        bands=[
            {"start": trial * duration_ms * 1e-3, "end": (trial + 1) * duration_ms * 1e-3}
            for trial, target in zip(trials.tolist(), targets, strict=True)
            if target > 0
        ],
        band_label="the neuron should spike",
        summary=f"Spikes of {n_inputs} inputs and, above them, of the output in the training "
        f"trials {first + 1} to {end} with {rule_text}: {(rewards > 0).sum()} of {end - first} "
        "answers are right. Shaded: trials in which the neuron should spike.",
    )
