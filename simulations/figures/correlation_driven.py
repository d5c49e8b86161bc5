"""Figure 5: a neuron learns without a teacher to detect a pattern in its inputs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from simulations import stdp_window
from simulations.figures.base import PaperFigure, PaperRule
from simulations.figures.panel import panel, series
from simulations.learning_tasks._correlation_driven_inputs import DT_MS, draw_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nest_build.rules import PlasticityRule
    from simulations.figures.panel import Panel
    from simulations.parameters import TaskParameters

#: Duration of the raster and of each look at the potential, in ms.
RASTER_MS = 1100.0
LOOK_MS = 1000.0
#: Weights for which windows are drawn.
WEIGHTS = (0.25, 0.5, 0.75)
_INTERVALS_MS = np.arange(-150.0, 151.0, 1.0)
#: Spikes so far apart, in ms, count as alone in the paper's effective windows.
FAR_MS = 200.0

LR1 = PaperRule("LR1 (run 10)", ("w*E - w - E", "E - w"), 9)
LR2 = PaperRule("LR2 (run 19)", ("E/w - w", "(w*E)**w - 1"), 18)
HOMEOSTATIC = PaperRule("Homeostatic STDP", ("0", "E - 0.15"))


class CorrelationDrivenFigure(PaperFigure):
    """See the module's description."""

    name: ClassVar[str] = "fig5"
    number: ClassVar[int] = 5
    title: ClassVar[str] = "Correlation-driven learning"
    summary: ClassVar[str] = (
        "A neuron learns without a teacher to detect a pattern that recurs in its inputs, by "
        "homeostatic STDP and by rules that evolution finds."
    )
    learning_task_name: ClassVar[str] = "correlation-driven"
    rules: ClassVar[tuple[PaperRule, ...]] = (LR1, LR2, HOMEOSTATIC)
    shown_rule: ClassVar[PaperRule] = HOMEOSTATIC
    layout: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("5B", "5C-early", "5C-middle", "5C-late"),
        ("5D", "5D-validation", "5E", "5F"),
        ("5G", "5H", "5I"),
    )
    simulated: ClassVar[dict[str, str]] = {
        "5C-early": "Potential, early",
        "5C-middle": "Potential, in the middle",
        "5C-late": "Potential, late",
    }
    runs_key: ClassVar[str] = "5D"
    baseline: ClassVar[str] = HOMEOSTATIC.name
    n_held_out: ClassVar[int] = 20
    # The authors showed twice the duration of their trials, with the weights of validation.
    changes: ClassVar[dict[str, Any]] = {"t_sim_ms": 200_000.0, "initial_weights": "fixed"}
    quick_changes: ClassVar[dict[str, Any]] = {"t_sim_ms": 20_000.0}
    quick_held_out_changes: ClassVar[dict[str, Any]] = {
        "t_sim_ms": 10_000.0,
        "replay_ms": 5_000.0,
    }

    def panels(
        self, arrays: Mapping[str, np.ndarray], parameters: TaskParameters, rule_text: str
    ) -> list[Panel]:
        """Return the potential in three of the seconds of learning; see :class:`PaperFigure`."""
        end_ms = parameters.t_sim_ms
        starts_ms = (0.0, end_ms / 4 - LOOK_MS, end_ms - LOOK_MS)
        return [
            _look(arrays, parameters, rule_text, key, title, start_ms)
            for (key, title), start_ms in zip(self.simulated.items(), starts_ms, strict=True)
        ]

    def panels_of_rule(self, rule: PlasticityRule | None) -> list[Panel]:
        """Return inputs and windows of spike timing; a chosen rule takes the place of LR1."""
        first = PaperRule(" ; ".join(rule.texts), rule.texts) if rule else LR1
        return [
            self._inputs(),
            self._window("5E", first, WEIGHTS),
            self._window("5F", LR2, WEIGHTS),
            # Its loss is by every postsynaptic spike, also by one before the presynaptic spike.
            self._window("5G", HOMEOSTATIC, (0.5,), far_ms=math.inf),
            self._window("5H", first, WEIGHTS, far_ms=FAR_MS, share=0.5),
            self._window("5I", LR2, WEIGHTS, far_ms=FAR_MS, share=0.5),
        ]

    def _inputs(self) -> Panel:
        statistics = replace(self.preset.task_parameters.input_statistics(), duration_ms=RASTER_MS)
        trains_ms = [
            steps * DT_MS for steps in draw_inputs(statistics, self.preset.seed, 0).spike_steps
        ]
        onsets_ms = statistics.pattern_onsets_ms()
        counts = [len(train_ms) for train_ms in trains_ms]
        return panel(
            "5B",
            "Inputs",
            x_label="time (s)",
            y_label="input",
            series=[
                series(
                    "input",
                    np.concatenate(trains_ms) * 1e-3,
                    np.repeat(np.arange(len(trains_ms)), counts),
                    "raster",
                    color="muted",
                )
            ],
            bands=_bands(onsets_ms, statistics.pattern_ms),
            band_label="pattern",
            summary=f"{sum(counts)} spikes of {len(trains_ms)} inputs. Shaded: the pattern, which "
            f"recurs {len(onsets_ms)} times in {RASTER_MS * 1e-3:g} s.",
        )

    def _window(
        self,
        key: str,
        rule: PaperRule,
        weights: tuple[float, ...],
        *,
        far_ms: float | None = None,
        share: float = 1.0,
    ) -> Panel:
        """Return the change by a pair of spikes, or, with ``far_ms``, by each of them as well."""
        p = self.preset.task_parameters
        texts = rule.expressions
        changes = (
            stdp_window.pair_window(texts, weights, _INTERVALS_MS, tau_ms=p.tau_plus_ms)
            if far_ms is None
            else stdp_window.whole_window(
                texts, weights, _INTERVALS_MS, tau_ms=p.tau_plus_ms, far_ms=far_ms
            )
        )
        changes = share * p.learning_rate * changes
        finite = changes[np.isfinite(changes)]
        is_effective = share != 1.0
        # A gap between the branches: the rule jumps at 0.
        is_before = _INTERVALS_MS < 0
        x = [*_INTERVALS_MS[is_before], None, *_INTERVALS_MS[~is_before]]
        return panel(
            key,
            f"{rule.name}, effective" if is_effective else rule.name,
            x_label="t_post − t_pre (ms)",
            y_label="effective Δw" if is_effective else "Δw",
            series=[
                series(f"w = {w:g}", x, [*row[is_before], None, *row[~is_before]], color=index)
                for index, (w, row) in enumerate(zip(weights, changes, strict=True))
            ],
            summary="Change of the weight, as a share of its maximum, by a pair of spikes"
            f"{', half of it with what each spike does alone' if is_effective else ''}. Depression "
            f"{texts[0]}, facilitation {texts[1]}: "
            + (
                f"between {finite.min() + 0.0:.3g} and {finite.max() + 0.0:.3g}."
                if len(finite)
                else "no value is finite."
            ),
        )


def _bands(onsets_ms: np.ndarray, length_ms: float) -> list[dict[str, float]]:
    return [
        {"start": onset * 1e-3, "end": (onset + length_ms) * 1e-3} for onset in onsets_ms.tolist()
    ]


def _look(
    arrays: Mapping[str, np.ndarray],
    parameters: TaskParameters,
    rule_text: str,
    key: str,
    title: str,
    start_ms: float,
) -> Panel:
    """Return the potential in one second."""
    end_ms = start_ms + LOOK_MS
    times_ms, potential_mv = arrays["times_ms"], arrays["potential_mv"]
    shown = (times_ms >= start_ms) & (times_ms < end_ms)
    spikes_ms = arrays["spike_times_ms"]
    spikes_ms = spikes_ms[(spikes_ms >= start_ms) & (spikes_ms < end_ms)]
    onsets_ms = parameters.input_statistics().pattern_onsets_ms()
    onsets_ms = onsets_ms[(onsets_ms >= start_ms) & (onsets_ms < end_ms)]
    is_in_pattern = (
        (spikes_ms[:, np.newaxis] > onsets_ms)
        & (spikes_ms[:, np.newaxis] <= onsets_ms + parameters.pattern_ms)
    ).any(axis=1)
    return panel(
        key,
        title,
        x_label="time (s)",
        y_label="potential (mV)",
        series=[
            series("potential", times_ms[shown] * 1e-3, potential_mv[shown]),
            series(
                "spikes",
                spikes_ms * 1e-3,
                np.full(len(spikes_ms), parameters.v_th_mv + 1),
                "raster",
                color=1,
            ),
        ],
        bands=_bands(onsets_ms, parameters.pattern_ms),
        band_label="pattern",
        summary=f"From {start_ms * 1e-3:g} to {end_ms * 1e-3:g} s of learning by {rule_text}: "
        f"{len(spikes_ms)} spikes, {is_in_pattern.sum()} of them in the {len(onsets_ms)} shaded "
        "windows with the pattern.",
    )
